"""Job options: the one list of keys, their checks, and which level wins.

``using`` > ``@task`` > ``Queue`` > ``App``: the nearest level that gives an option gives it whole; nothing is merged
key by key. What decides whether and when a job starts is stored at enqueue. ``timeout``, ``retry`` and ``keep_result``
are read from the code at each attempt, unless ``using`` or the ``Queue`` gave them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypedDict, cast

from ._backoff import Backoff
from ._codec import PLAIN
from ._durations import Duration, seconds
from ._names import key_list, name_of_task, queue_name
from .errors import BadOption, NaiveTime

if TYPE_CHECKING:
    from uuid import UUID

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
    tags: str | Sequence[str]  #: words to find it by; a bare str is one tag
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

    id: str | Unset
    delay: float | Unset  #: seconds
    at: int | Unset  #: µs since the epoch
    expires: float | Unset  #: seconds
    expires_at: int | Unset  #: µs since the epoch
    priority: int | Unset
    retry: Backoff | Unset
    timeout: float | None | Unset  #: seconds
    crash_fails: bool | Unset
    tags: tuple[str, ...] | Unset
    meta: str | Unset  #: JSON object, so that later changes to the mapping given do not count
    keep_result: float | bool | Unset  #: seconds, or True/False
    queue: str | Unset  #: only on ``@task``
    name: str | Unset  #: only on ``@task``
    aliases: tuple[str, ...] | Unset  #: only on ``@task``

    __slots__ = (
        "aliases",
        "at",
        "crash_fails",
        "delay",
        "expires",
        "expires_at",
        "id",
        "keep_result",
        "meta",
        "name",
        "priority",
        "queue",
        "retry",
        "tags",
        "timeout",
    )

    def __init__(self, **given: Any) -> None:
        """Take those that were given, under their names here."""
        for name in self.__slots__:
            setattr(self, name, given.get(name, UNSET))

    def given(self) -> dict[str, Any]:
        """Return what was given."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not UNSET}


#: No option given. ``check({}, …)`` returns this very object.
NONE = Options()

#: ``call`` is ``using`` of a task, which may also choose the queue.
Level = Literal["using", "call", "task", "Queue", "App"]


def check(options: Mapping[str, Any], where: str, level: Level = "using") -> Options:
    """Return checked options, or raise ``BadOption``, ``BadName`` or ``NaiveTime``, naming ``where`` they were given.

    ``level`` decides which options exist there: ``id`` and ``at`` belong to one job and only to ``using``; ``queue``,
    ``name`` and ``aliases`` to ``@task``.
    """
    if not options:
        return NONE
    found: dict[str, Any] = {}
    for key, value in options.items():
        checker = _CHECKS.get(key)
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
    for group in (("delay", "at"), ("expires", "expires_at")):
        if any(name in given for name in group):
            given = dict.fromkeys(group, UNSET) | given
    return Options(**(earlier.given() | given))


class Merged(NamedTuple):
    """Fields of ``_record.NewJob`` that come from options, under the same names."""

    priority: int
    delay: float
    at: int | None
    expires: float | None
    expires_at: int | None
    options: str | None
    crash_fails: bool
    tags: str | None
    meta: str | None


@lru_cache(maxsize=1024)
def merge(using: Options, task: Options, queue: Options, app: Options) -> Merged:
    """Return what is stored with a job, the nearest level winning option by option. ``NONE`` stands for no options."""
    levels = (using, task, queue, app)
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
    )


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


# -- checks: each returns the fields of Options it sets ---------------------------------------------------------------
def _check_id(value: object, where: str) -> dict[str, Any]:
    from uuid import UUID

    try:
        return {"id": str(value if isinstance(value, UUID) else _uuid_text(value))}
    except ValueError:
        raise BadOption(f"{where} takes a UUID or its text of 36 characters, not {value!r}. Nothing stored.") from None


def _uuid_text(value: object) -> UUID:
    from uuid import UUID

    if not isinstance(value, str) or len(value) != 36:
        raise ValueError(value)
    return UUID(value)


def _check_at(value: object, where: str) -> dict[str, Any]:
    return {"at": micros(value, where)}


def micros(value: object, where: str) -> int:
    """Return an aware ``datetime`` as µs since the epoch. Raise ``NaiveTime`` for one without a time zone."""
    if not isinstance(value, datetime):
        raise BadOption(f"{where} takes a datetime with a time zone, not {value!r}.")
    if value.utcoffset() is None:
        raise NaiveTime(
            f"{where} is {value!r}, which has no time zone, so it could be hours away from what you mean. "
            f"Nothing stored. Write datetime(…, tzinfo=timezone.utc), or .astimezone() for local time."
        )
    return (value - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _check_expires(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, datetime):
        return {"expires_at": micros(value, where)}
    return {"expires": seconds(cast(Duration, value), where)}


def _check_priority(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int) or not -100 <= value <= 100:
        raise BadOption(f"{where} takes a whole number from -100 to 100 (higher runs first), not {value!r}.")
    return {"priority": value}


def _check_retry(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, (int, Backoff)) or (isinstance(value, int) and value < 0):
        raise BadOption(f"{where} takes a number of further attempts, from 0, or a Backoff; not {value!r}.")
    return {"retry": Backoff.of(value)}


def _check_timeout(value: object, where: str) -> dict[str, Any]:
    limit = None if value is None else seconds(cast(Duration, value), where)
    if limit == 0:
        raise BadOption(f"{where} of 0 would stop every run at once; None means no limit.")
    return {"timeout": limit}


def _check_on_crash(value: object, where: str) -> dict[str, Any]:
    if value not in ("retry", "fail"):
        raise BadOption(f'{where} takes "retry" or "fail", not {value!r}.')
    return {"crash_fails": value == "fail"}


def _check_meta(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadOption(f"{where} takes a mapping of str to data, not {value!r}.")
    return {"meta": PLAIN.encode_value(dict(value), where)}


def _check_keep(value: object, where: str) -> dict[str, Any]:
    return {"keep_result": value if isinstance(value, bool) else seconds(cast(Duration, value), where)}


def _check_queue(value: object, where: str) -> dict[str, Any]:
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise BadOption(f"{where} takes a queue's name or a Queue, not {value!r}.")
    return {"queue": queue_name(name, where)}


def _check_aliases(value: object, where: str) -> dict[str, Any]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence):
        raise BadOption(f"{where} takes a list of names, not {value!r}.")
    return {"aliases": tuple(name_of_task(name, where, alias=True) for name in names)}


_CHECKS: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "id": _check_id,
    "delay": lambda value, where: {"delay": seconds(value, where)},
    "at": _check_at,
    "expires": _check_expires,
    "priority": _check_priority,
    "retry": _check_retry,
    "timeout": _check_timeout,
    "on_crash": _check_on_crash,
    "tags": lambda value, where: {"tags": key_list(value, where)},
    "meta": _check_meta,
    "keep_result": _check_keep,
    "queue": _check_queue,
    "name": lambda value, where: {"name": name_of_task(value, where)},
    "aliases": _check_aliases,
}
_SAID: dict[Level, str] = {"using": "using()", "call": "using()", "task": "@task", "Queue": "a Queue", "App": "an App"}
_ONE_JOB = frozenset({"id", "at"})
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

    names = [name for name in _CHECKS if _belongs(name, level)]
    close = get_close_matches(str(key), names, 1)
    hint = f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(names)}."
    return BadOption(f"{where}: '{key}' is not an option.{hint} Nothing stored.")


def _exclude(found: Mapping[str, Any], where: str) -> None:
    if "delay" in found and "at" in found:
        raise BadOption(f"{where}: delay and at both say when to start; give one of them.")
