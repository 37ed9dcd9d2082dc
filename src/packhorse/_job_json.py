"""One job as JSON: a line of ``submit --from``, the body of ``POST /jobs/jobs``. Read strictly; nothing is looked up. Pure.

``{"task": "publish-book", "args": [], "kwargs": {"book": "b1"}, "queue": "default", …}`` or ``{"command": ["prog", "a"],
"params": {}, "inputs": {}, …}``, with the job options beside them, flat, under their own names.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ._codec import PLAIN, Codec
from ._command import KEYS
from ._durations import seconds
from ._names import queue_name
from ._option_checks import CHECKS as OPTION_CHECKS
from .errors import BadArguments, BadOption, NotSerialisable

_TASK = ("task", "args", "kwargs")
#: Options of one job, under the names that ``using`` knows.
OPTIONS = tuple(name for name in OPTION_CHECKS if name not in ("queue", "name", "aliases"))
_ALL = (*_TASK, "command", *KEYS, "queue", *OPTIONS)
#: Ids of lines are made in this space.
_SPACE = uuid.UUID("6f2ad8b2-52b5-5d2f-9a3e-0c1d7f6c9b11")


class Asked(NamedTuple):
    """One job as it was asked for: exactly one of ``task`` and ``command`` is there."""

    task: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    command: Any = None  #: the command line; ``Queue.draft_command`` checks it, and ``keys``
    keys: Mapping[str, Any] = {}
    queue: str | None = None
    options: Mapping[str, Any] = {}  #: as ``using`` takes them


def asked(text: str, codec: Codec = PLAIN, default: str | None = None) -> Asked:
    """Return the job that a JSON text asks for; ``default`` is the task of one that names neither task nor command.

    Raises ``BadArguments`` for text that is no JSON object, ``BadOption`` for an unknown key or a value of the wrong form.
    """
    try:
        data = codec.decode_value(text)
    except NotSerialisable as error:
        said = str(error).removesuffix(f"  [{error.code}]").removeprefix("stored data cannot be read as JSON: ")
        raise BadArguments(f"this is not JSON: {said}") from None
    if not isinstance(data, dict):
        raise BadArguments(f'a job is a JSON object, like {{"task": "tasks:add"}}; not {text[:60]!r}.')
    return asked_of(data, default)


def asked_of(data: Mapping[str, Any], default: str | None = None) -> Asked:
    """Return the job that data asks for. Raises ``BadOption``."""
    _refuse_unknown(data)
    if default is not None and "task" not in data and "command" not in data:
        data = {"task": default, **data}
    if ("task" in data) == ("command" in data):
        raise BadOption('a job has either "task" or "command".')
    queue = data.get("queue")
    options = {name: _option(name, data[name]) for name in OPTIONS if name in data}
    if queue is not None:
        queue_name(queue, "queue")
    return (_task if "task" in data else _command)(data, queue, options)


def _task(data: Mapping[str, Any], queue: str | None, options: Mapping[str, Any]) -> Asked:
    for key in KEYS:
        if key in data:
            raise BadOption(f"'{key}' belongs to a command; the arguments of a task are its args and kwargs.")
    task, args, kwargs = data["task"], data.get("args", []), data.get("kwargs", {})
    if not isinstance(task, str) or not task:
        raise BadOption(f"task is the name of one, not {task!r:.80}.")
    if not isinstance(args, (list, tuple)):
        raise BadOption(f"args is a list, not {args!r:.80}.")
    if not isinstance(kwargs, dict):
        raise BadOption(f"kwargs is an object, not {kwargs!r:.80}.")
    return Asked(task=task, args=tuple(args), kwargs=kwargs, queue=queue, options=options)


def _command(data: Mapping[str, Any], queue: str | None, options: Mapping[str, Any]) -> Asked:
    for key in ("args", "kwargs"):
        if key in data:
            raise BadOption(f"'{key}' belongs to a task; the values of a command's fields are its params.")
    keys = {key: data[key] for key in KEYS if key in data}
    return Asked(command=data["command"], keys=keys, queue=queue, options=options)


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    for key in data:
        if key not in _ALL:
            from difflib import get_close_matches

            close = get_close_matches(key, _ALL, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(_ALL)}."
            raise BadOption(f"unknown key '{key}'; {hint}")


def _option(name: str, value: Any) -> Any:
    """Return an option as ``using`` takes it: JSON has no times, so they are text there."""
    if not isinstance(value, str) or name not in ("at", "expires"):
        return value
    if name == "expires":
        try:
            return seconds(value)
        except BadOption:
            pass
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        more = "" if name == "at" else 'a duration like "5m" or '
        raise BadOption(f'{name} takes {more}a time like "2026-11-21T09:00:00Z", not {value!r:.80}.') from None


def line_id(text: str, number: int, queue: str) -> str:
    """Return the id of a job that a line of a file asks for and gives none: the same line of the same file is the same job."""
    return str(uuid.uuid5(_SPACE, f"{queue}\n{number}\n{text}"))
