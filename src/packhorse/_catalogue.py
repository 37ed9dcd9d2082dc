"""What a worker tells of its tasks, so that others need not import them."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import _identity, _signature
from ._defaults import plain_defaults
from ._options import Options, Unset
from ._retention import FOREVER, NOT_SAID
from .errors import TaskNameTaken

if TYPE_CHECKING:
    from ._command_task import CommandTask

#: What ``@task`` says that is no option of a job.
_OF_THE_TASK = ("queue", "name", "aliases")
_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling this function makes a coroutine."""
    if getattr(getattr(fn, "__code__", None), "co_flags", 0) & _CO_COROUTINE:
        return True
    # A callable can be marked as one, but only with the help of ``inspect``, which takes long to load.
    return "inspect" in sys.modules and sys.modules["inspect"].iscoroutinefunction(fn)


def entry(name: str, target: Any, *, limited: bool) -> dict[str, Any]:
    """Return what is told of one task: signature, first line of its doc, options with their fields unfilled, aliases.

    ``limited``: the App gives its tasks a time limit, so that none of them has one only by default.
    """
    fn = _identity.unwrap(target)
    told: dict[str, Any] = {"signature": _signature.shown(fn, name), "async": is_async(fn)}
    doc = (fn.__doc__ or "").strip().splitlines()
    if doc:
        told["doc"] = doc[0].rstrip()
    if _identity.is_task(target):
        told.update(_told(target.options))
        if options := {key: value for key, value in plain_defaults(target.options).items() if key not in _OF_THE_TASK}:
            told["options"] = options
        if target.aliases:
            told["aliases"] = list(target.aliases)
    told["timeout_given"] = limited or "timeout" in told
    return told


def command_entry(task: CommandTask) -> dict[str, Any]:
    """Return the same of a task that is a command. Its text stays with those who run it: it may hold what is secret."""
    told: dict[str, Any] = {"signature": task.signature, "async": False, "timeout": None, "timeout_given": True}
    told["command"] = task.command.program
    told["params"] = {name: each.plain() for name, each in task.params.items()}
    if task.keep is not NOT_SAID:
        told["keep"] = FOREVER if task.keep is None else task.keep
    if task.doc:
        told["doc"] = task.doc.splitlines()[0].rstrip()
    told.update(_told(task.options))
    if options := {key: value for key, value in plain_defaults(task.options).items() if key not in _OF_THE_TASK}:
        told["options"] = options
    return told


def with_commands(catalogue: Mapping[str, Any], tasks: Mapping[str, CommandTask]) -> dict[str, Any]:
    """Return a catalogue with the commands that the config file declares. Raises ``TaskNameTaken``."""
    known: Mapping[str, Any] = catalogue.get("tasks", {})
    for name in tasks:
        if name in known:
            raise TaskNameTaken(
                f"the task name '{name}' is a function of the application and a command of {tasks[name].source}. The worker "
                f"does not start, since a job of that name could run either. Rename one of them."
            )
    return {**catalogue, "tasks": {**known, **{name: command_entry(task) for name, task in tasks.items()}}}


def _told(options: Options) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if not isinstance(options.timeout, Unset):
        told["timeout"] = options.timeout
    if not isinstance(options.retry, Unset):
        told["retry"] = options.retry.data()
    if not isinstance(options.queue, Unset):
        told["queue"] = options.queue
    return told


def digest(modules: Iterable[tuple[str, ModuleType]]) -> str:
    """Return 8 digits that change with the source of any of these modules."""
    # Tells one build from another, and guards nothing: a checksum will do, and hashlib would load OpenSSL at every start.
    digest = 0
    for name, module in modules:
        digest = zlib.crc32(name.encode(), digest)
        digest = zlib.crc32(_content(getattr(module, "__file__", None)), digest)
    return f"{digest:08x}"


def _content(file: str | None) -> bytes:
    if not file:
        return b""
    try:
        with open(file, "rb") as source:
            return source.read()
    except OSError:
        return b"?"
