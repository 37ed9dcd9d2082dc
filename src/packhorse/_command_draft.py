"""Drafts of commands: raw ones with their whole command line, and command tasks by their names."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from . import _identity
from ._command import command_of, filled, stored
from ._command_fields import Value
from ._command_task import TRIED_IN, CommandTask, call, read_tasks, spelled, with_defaults
from ._defaults import given_defaults
from ._draft import Draft, Target
from ._names import is_given
from ._options import NONE, Merged, Options, check
from ._parameter import Parameter, restored
from ._retention import FOREVER, NOT_SAID, NotSaid, Retention, kept_for, retention_of
from ._settings import config_files, read_config
from ._templates import templates_of
from ._why import live, tasks_of
from .errors import BadArguments, BadOption, ConfigError, PackhorseError, StoreError

if TYPE_CHECKING:
    from ._queue import Queue
    from ._runtime import Connection

#: What workers tell is asked for again after so many seconds.
_FRESH = 5.0
_MOST = 1000


class ToldCommand(NamedTuple):
    """A command task as a worker tells of it: all that an enqueuer needs, and not its text."""

    name: str
    params: Mapping[str, Parameter]
    options: Options
    keep: float | NotSaid | None = NOT_SAID


Known = CommandTask | ToldCommand


class CommandTarget(Target):
    """A task for which there is no function."""

    __slots__ = ("known",)

    def __init__(self, task: str, known: Known | None = None) -> None:
        self.fn, self.task, self.options = None, task, NONE if known is None else known.options
        self.templates = None
        self.known = known
        self._anchor, self._home, self._path = None, None, ()
        if known is not None:
            self.templates = templates_of(known.options, lambda: _signature_of(known.params), f"[tasks.{task}]")

    def stored(self, merged: Merged) -> Merged:
        """Return the same, saying how long the record stays: for commands that is longer than for functions."""
        least = self.known.keep if self.known is not None and self.known.keep is not NOT_SAID else kept_here().commands
        return merged._replace(options=kept_for(merged.options, least))


def kept_here() -> Retention:
    """Return what the config file that holds here says of retention."""
    config = read_config(os.getcwd())
    return retention_of(config.values.get("retention", {}), config.source)


def _signature_of(params: Mapping[str, Parameter]) -> inspect.Signature:
    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    return inspect.Signature(
        [
            inspect.Parameter(name, kind, default=empty if each.default is None and not each.many else each.default)
            for name, each in params.items()
        ]
    )


# -- raw commands -----------------------------------------------------------------------------------------------------
def command_draft(queue: Queue, argv: object, keys: Mapping[str, Any], where: str) -> Draft[int]:
    """Return a draft of a raw command, tried with its fields filled. Raises ``BadOption`` and ``BadArguments``."""
    try:
        command = command_of(argv, keys, where)
        filled(command, command.params, TRIED_IN)
    except (BadOption, BadArguments) as error:
        refuse(error, where)
    key = ("command", command.task)
    plan = queue._plans.get(key)
    if plan is None:
        plan = queue._plans[key] = queue._plan_of(CommandTarget(command.task))
    args, kwargs = stored(command)
    return Draft(plan, plan.encode(args, kwargs), args, kwargs)


def refuse(error: PackhorseError, where: str) -> NoReturn:
    """Raise the same error, saying where, and that nothing was stored."""
    text = str(error).removesuffix(f"  [{error.code}]")
    said = text if text.startswith(where) else f"{where}: {text}"
    raise type(error)(said if "Nothing stored." in said else f"{said} Nothing stored.") from None


# -- command tasks ----------------------------------------------------------------------------------------------------
def task_draft(queue: Queue, known: Known, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Draft[int]:
    """Return a draft of a command task, its values checked. Raises ``BadArguments``, ``BadOption``, ``BadName``."""
    try:
        values = _checked(known, args, kwargs)
    except (BadOption, BadArguments) as error:
        refuse(error, known.name)
    key = ("task", known.name)
    plan = queue._plans.get(key)
    if plan is None or not isinstance(plan.target, CommandTarget) or plan.target.known is not known:
        plan = queue._plans[key] = queue._plan_of(CommandTarget(known.name, known))
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return Draft(plan, plan.encode((), plain), (), plain)


def _checked(known: Known, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Value]:
    if args:
        raise BadArguments(f"{known.name} takes its parameters by name — {known.name}{spelled(known.params)}.")
    given = call(known.name, known.params, kwargs)
    if isinstance(known, CommandTask):
        values = with_defaults(known.params, given)
        known.fill(values)
        if missing := known.missing(values):
            raise BadArguments(missing)
    return given


def named_draft(
    queue: Queue, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, ask: bool = True
) -> Draft[Any] | None:
    """Return a draft if this is the name of a command task; None if it is none, or nobody can say.

    ``ask``: what is not declared here is asked of the store, where workers tell of theirs.
    """
    known = find(name, _asked(queue) if ask else None)
    return None if known is None else task_draft(queue, known, args, kwargs)


def _asked(queue: Queue) -> Connection | None:
    """Return the store in which workers tell of their tasks; None where there is none to be asked."""
    try:
        return None if queue._writes_elsewhere else queue._connection
    except ConfigError:
        return None  # a draft needs no store


def retold(queue: Queue, draft: Draft[Any]) -> Draft[Any]:
    """Return a draft of a name that is not known here, as a worker tells of it; it is asked for in the store."""
    if isinstance(draft._plan.target, CommandTarget):
        return draft
    args, kwargs = draft._plan.codec.decode_call(draft._payload)
    return named_draft(queue, draft.task, tuple(args), kwargs) or draft


def find(name: str, connection: Connection | None) -> Known | None:
    """Return the command task of this name: of the config file here, else as a live worker tells of it; None: there is none.

    A function that this process declared under the name goes before. Raises ``ConfigError`` for a config file that is wrong.
    """
    if not is_given(name) or _identity.declared(name) is not None:
        return None
    found = declared_here().get(name)
    return found if found is not None or connection is None else _told(connection, name)


_read: tuple[tuple[str, int, int], dict[str, CommandTask]] | None = None


def declared_here() -> dict[str, CommandTask]:
    """Return the command tasks of the config file that holds here, read again when it has changed."""
    global _read
    files = config_files(os.getcwd())
    if not files:
        return {}
    status = os.stat(files[0])
    key = files[0], status.st_mtime_ns, status.st_size
    if _read is None or _read[0] != key:
        config = read_config(os.getcwd())
        _read = key, read_tasks(config.values.get("tasks", {}), config.path)
    return _read[1]


_heard: dict[tuple[Any, str], tuple[float, ToldCommand | None]] = {}


def _told(connection: Connection, name: str) -> ToldCommand | None:
    key, now = (connection, name), time.monotonic()
    known = _heard.get(key)
    if known is not None and now - known[0] < _FRESH:
        return known[1]
    if len(_heard) >= _MOST:
        _heard.clear()
    try:
        with connection as store:
            about = tasks_of(live(store.workers(), store.now())).get(name)
    except StoreError:
        return None  # whether it can be stored is said elsewhere
    found = told_command(name, about)
    _heard[key] = now, found
    return found


def told_command(name: str, about: Mapping[str, Any] | None) -> ToldCommand | None:
    """Return a command task of its entry in a catalogue; None if it is no command."""
    if not about or "params" not in about:
        return None
    params = {each: restored(plain) for each, plain in about["params"].items()}
    try:
        options = check(given_defaults(about.get("options") or {}), name, "task")
    except PackhorseError:
        options = NONE  # of a newer version
    keep = about.get("keep", NOT_SAID)
    return ToldCommand(name, params, options, None if keep == FOREVER else keep)
