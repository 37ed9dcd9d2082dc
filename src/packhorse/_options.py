"""Job options: the one list of keys, their checks, and which level wins.

``using`` > ``@task`` > ``Queue`` > ``App``: the nearest level that gives an option gives it whole; nothing is merged
key by key. What decides whether and when a job starts is stored at enqueue. ``timeout``, ``retry`` and ``keep_result``
are read from the code at each attempt, unless ``using`` or the ``Queue`` gave them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypedDict

from ._backoff import Backoff
from ._durations import Duration
from ._option_checks import CHECKS
from .errors import BadOption

if TYPE_CHECKING:
    from uuid import UUID

    from ._job import Job
    from .flows import Flow

#: Functions have a time limit unless their code says otherwise.
DEFAULT_TIMEOUT = 3600.0
#: Failed jobs are not tried again unless their code says so.
DEFAULT_RETRY = Backoff(0)


class NamedQueue(Protocol):
    """What ``queue=`` accepts beside a name: a ``Queue``."""

    @property
    def name(self) -> str: ...


class JobOptions(TypedDict, total=False):
    """The options of one job: for ``using``, ``@task``, ``Queue`` and ``App``.

    Durations are seconds, ``"5m"`` or ``timedelta``.
    """

    id: str | UUID  #: only in ``using``: the job's id; the same id is never stored twice
    delay: Duration  #: start no sooner than so long after the enqueue
    at: datetime  #: only in ``using``: start no sooner than this, with a time zone; the past means now
    expires: Duration | datetime  #: cancelled, "expired", if it has not started by then
    priority: int  #: -100…100, higher first, default 0
    retry: int | Backoff  #: further attempts after a failed first one, default 0
    timeout: Duration | None  #: time limit of one attempt, default 1 h; None: no limit
    on_crash: Literal["retry", "fail"]  #: what becomes of it if its process dies; default "retry"
    unique: (
        str | bool
    )  #: one such job at a time: a key of its task (of all tasks: "//…"), or True: task and all arguments
    unique_until: (
        Literal["started", "finished"] | Duration
    )  #: how long the key is held; a duration counts from the enqueue
    span: Literal[
        "job", "flow"
    ]  #: whose end frees the key: the job's (default), or that of the flow it opens, or is given
    on_conflict: Literal["return", "replace", "raise"]  #: what becomes of a second one; default "return" (the first)
    reserves: str | Sequence[str]  #: what no other job may hold meanwhile; a bare str is one key
    shares: str | Sequence[str]  #: what no other job may reserve meanwhile
    limit: str | Sequence[str]  #: limits it counts towards, by name
    tags: str | Sequence[str]  #: words to find it by; a bare str is one tag
    flow: str | None  #: the flow it belongs to, default that of the job that enqueues it; None: none
    after: Job[Any] | Flow | str | Sequence[Job[Any] | Flow | str]  #: only in ``using``: start when these have ended
    after_failure: Literal["cancel", "run"]  #: what becomes of it if one of those does not succeed; default "cancel"
    meta: Mapping[str, Any]  #: data kept beside the arguments
    keep_result: Duration | bool  #: how long the result is kept; True (default): as long as the job; False: never


class TaskOptions(JobOptions, total=False):
    """The options of ``@task``: those of a job, and the task's own."""

    queue: str | NamedQueue  #: where its jobs go unless told otherwise, default "default"
    name: str  #: its name, instead of ``module:qualname``
    aliases: Sequence[str]  #: further names it answers to, such as those it once had


class Unset(Enum):
    """The type of ``UNSET``."""

    UNSET = "not given"


#: An option that was not given: for ``timeout``, None has a meaning of its own.
UNSET: Final = Unset.UNSET


class Options:
    """Checked options of one level, never changed. ``UNSET`` is what was not given there; compared by identity."""

    id: str | Unset = UNSET
    delay: float | Unset = UNSET  #: seconds
    at: int | Unset = UNSET  #: µs since the epoch
    expires: float | Unset = UNSET  #: seconds
    expires_at: int | Unset = UNSET  #: µs since the epoch
    priority: int | Unset = UNSET
    retry: Backoff | Unset = UNSET
    timeout: float | None | Unset = UNSET  #: seconds
    crash_fails: bool | Unset = UNSET
    unique: str | bool | Unset = UNSET
    unique_until: Literal["started", "finished"] | float | Unset = UNSET  #: seconds
    span: Literal["job", "flow"] | Unset = UNSET
    on_conflict: Literal["return", "replace", "raise"] | Unset = UNSET
    reserves: tuple[str, ...] | Unset = UNSET
    shares: tuple[str, ...] | Unset = UNSET
    limit: tuple[str, ...] | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    flow: str | None | Unset = UNSET
    after: tuple[str, ...] | Unset = UNSET  #: ids
    after_flow: str | None | Unset = UNSET
    after_failed: bool | Unset = UNSET
    meta: str | Unset = UNSET  #: JSON object, so that later changes to the mapping given do not count
    keep_result: float | bool | Unset = UNSET  #: seconds, or True/False
    queue: str | Unset = UNSET  #: only on ``@task``
    name: str | Unset = UNSET  #: only on ``@task``
    aliases: tuple[str, ...] | Unset = UNSET  #: only on ``@task``

    def __init__(self, **given: Any) -> None:
        """Take those that were given, under their names here."""
        self.__dict__ = given

    def given(self) -> dict[str, Any]:
        """Return what was given."""
        return {name: value for name, value in self.__dict__.items() if value is not UNSET}


#: No option given. ``check({}, …)`` returns this very object.
NONE = Options()

#: ``call`` is ``using`` of a task, which may also choose the queue.
Level = Literal["using", "call", "task", "Queue", "App"]


def check(options: Mapping[str, Any], where: str, level: Level = "using") -> Options:
    """Return checked options, or raise ``BadOption``, ``BadName`` or ``NaiveTime``, naming ``where`` they were given.

    ``level`` decides which options exist there: ``id``, ``at`` and ``after`` belong to one job and only to ``using``; ``queue``,
    ``name`` and ``aliases`` to ``@task``.
    """
    if not options:
        return NONE
    found: dict[str, Any] = {}
    for key, value in options.items():
        checker = CHECKS.get(key)
        if checker is None or not _belongs(key, level):
            raise _refused(key, where, level)
        found.update(checker(value, f"{where}: {key}"))
    _exclude(found, where)
    return Options(**found)


def extend(earlier: Options, later: Options) -> Options:
    """Return ``q.using(**earlier).using(**later)``: what is given later replaces what was given before."""
    if earlier is NONE:
        return later
    given = later.given()
    for group in (("delay", "at"), ("expires", "expires_at"), ("after", "after_flow")):
        if any(name in given for name in group):
            given = dict.fromkeys(group, UNSET) | given
    return Options(**(earlier.given() | given))


class Waiting(NamedTuple):
    """What a job was told to wait for, as it was given: the names of ``Options``."""

    reserves: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    after_flow: str | None = None
    after_failed: bool = False
    flow: str | None | Unset = UNSET  #: not given: that of the job that enqueues it
    unique: str | bool = False
    unique_until: Literal["started", "finished"] | float = "finished"
    span: Literal["job", "flow"] = "job"
    on_conflict: Literal["return", "replace", "raise"] = "return"

    @property
    def opens(self) -> bool:
        """Tell whether the job begins a flow of its own, for which its key is held, unless it is given one."""
        return self.span == "flow" and bool(self.unique)


#: Nothing to wait for.
AT_ONCE = Waiting()
_WAITING = frozenset(Waiting._fields)


class Merged(NamedTuple):
    """What is stored with a job. The fields but the last are those of ``_record.NewJob``, under the same names."""

    priority: int
    delay: float
    at: int | None
    expires: float | None
    expires_at: int | None
    options: str | None
    crash_fails: bool
    tags: str | None
    meta: str | None
    waiting: Waiting


@lru_cache(maxsize=1024)
def merge(using: Options, task: Options, queue: Options, app: Options) -> Merged:
    """Return what is stored with a job, the nearest level winning option by option. ``NONE`` stands for no options."""
    levels = tuple(level for level in (using, task, queue, app) if level is not NONE)
    start = _nearest(levels, "delay", "at")
    end = _nearest(levels, "expires", "expires_at")
    tags = _first(levels, "tags")
    return Merged(
        priority=_first(levels, "priority") or 0,
        delay=_or(start.delay, 0.0),
        at=_or(start.at, None),
        expires=_or(end.expires, None),
        expires_at=_or(end.expires_at, None),
        options=_stored(using, queue),
        crash_fails=bool(_first(levels, "crash_fails")),
        tags=json.dumps(tags, separators=(",", ":")) if tags else None,
        meta=_first(levels, "meta"),
        waiting=_waiting(levels),
    )


def _waiting(levels: Sequence[Options]) -> Waiting:
    if all(_WAITING.isdisjoint(level.__dict__) for level in levels):
        return AT_ONCE  # most jobs
    given = {name: value for name in Waiting._fields if (value := _first(levels, name, UNSET)) is not UNSET}
    return Waiting(**given) if given else AT_ONCE


class Policy(NamedTuple):
    """What holds for one attempt."""

    retry: Backoff = DEFAULT_RETRY
    timeout: float | None = DEFAULT_TIMEOUT  #: seconds; None: no limit
    keep_result: float | bool = True  #: seconds, or True (as long as the job), or False (never)
    timeout_given: bool = False  #: False: the limit is only the default, and is announced before it strikes


@lru_cache(maxsize=4096)
def effective(options_json: str | None, task: Options | None = None, app: Options | None = None) -> Policy:
    """Return the policy of an attempt: stored options > ``@task`` > the queue's stored defaults > App > built in."""
    stored = json.loads(options_json) if options_json else {}
    levels = (_restored(stored), task or NONE, _restored(stored.get("queue", {})), app or NONE)
    timeout, retry, keep = (_first(levels, name, UNSET) for name in ("timeout", "retry", "keep_result"))
    return Policy(
        retry=_or(retry, DEFAULT_RETRY),
        timeout=_or(timeout, DEFAULT_TIMEOUT),
        keep_result=_or(keep, True),
        timeout_given=timeout is not UNSET,
    )


# -- levels -----------------------------------------------------------------------------------------------------------
def _first(levels: Iterable[Options], name: str, default: Any = None) -> Any:
    for level in levels:
        value = getattr(level, name)
        if value is not UNSET:
            return value
    return default


def _nearest(levels: Iterable[Options], *names: str) -> Options:
    """Return the nearest level that gives any of these: ``at`` in ``using`` replaces a ``delay`` of the queue."""
    return next((level for level in levels if any(getattr(level, name) is not UNSET for name in names)), NONE)


def _or(value: Any, default: Any) -> Any:
    return default if value is UNSET else value


_AT_EACH_ATTEMPT = ("timeout", "retry", "keep_result")


def _stored(using: Options, queue: Options) -> str | None:
    """Return the JSON that travels with the job: the worker has the code of ``@task`` and ``App``, not of these two."""
    if using is NONE and queue is NONE:
        return None
    data = _plain(using)
    if defaults := _plain(queue):
        data["queue"] = defaults
    return json.dumps(data, separators=(",", ":")) if data else None


def stored(options: Options) -> str | None:
    """Return those of these options that travel with a job, as they do; None: none of them."""
    return _stored(options, NONE)


def _plain(options: Options) -> dict[str, Any]:
    given = {name: value for name in _AT_EACH_ATTEMPT if (value := getattr(options, name)) is not UNSET}
    if "retry" in given:
        given["retry"] = given["retry"].data()
    return given


def _restored(data: Mapping[str, Any]) -> Options:
    given = {name: data[name] for name in _AT_EACH_ATTEMPT if name in data}
    if "retry" in given:
        given["retry"] = Backoff.of(given["retry"])
    return Options(**given) if given else NONE


# -- what exists where ---------------------------------------------------------------------------------------------------
_SAID: dict[Level, str] = {"using": "using()", "call": "using()", "task": "@task", "Queue": "a Queue", "App": "an App"}
_ONE_JOB = frozenset({"id", "at", "after"})
_TASK_ONLY = frozenset({"queue", "name", "aliases"})


def _belongs(key: str, level: Level) -> bool:
    if key in _ONE_JOB:
        return level in ("using", "call")
    if key == "queue":
        return level in ("task", "call")
    return level == "task" if key in _TASK_ONLY else True


def _refused(key: str, where: str, level: Level) -> BadOption:
    if key in _ONE_JOB:
        return BadOption(f"{where}: '{key}' belongs to one job, so it goes in using({key}=…), not on {_SAID[level]}.")
    if key in _TASK_ONLY:
        return BadOption(f"{where}: '{key}' is an option of @task, not of a job.")
    from difflib import get_close_matches

    names = [name for name in CHECKS if _belongs(name, level)]
    close = get_close_matches(str(key), names, 1)
    hint = f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(names)}."
    return BadOption(f"{where}: '{key}' is not an option.{hint} Nothing stored.")


def _exclude(found: Mapping[str, Any], where: str) -> None:
    both = set(found.get("reserves", ())) & set(found.get("shares", ()))
    if both:
        raise BadOption(f"{where}: {min(both)!r} is both in reserves and in shares; it can be held in one way only.")
    if "delay" in found and "at" in found:
        raise BadOption(f"{where}: delay and at both say when to start; give one of them.")
