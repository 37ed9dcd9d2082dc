"""The waiting rules as far as they are the same for every store: limits, rates, keys, and what is said of them. Pure.

Times are µs on the store's clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ._durations import seconds
from ._record import JobRecord, Mode, Scope, WorkerRecord
from .errors import BadOption, UniqueConflict, UnknownParent

_SCOPES: dict[str, Scope] = {"started": "started", "finished": "finished", "flow": "flow"}
#: Of these scopes, a key outlasts its job.
OUTLASTS: frozenset[Scope] = frozenset({"time", "flow"})

#: More at once is no limit but a mistake.
MOST = 1_000_000

_LIMIT = re.compile(
    r"\s*(?P<count>[0-9]{1,9})\s*(?:/\s*(?P<window>[^\s/][^/]*?)\s*(?:\sburst\s+(?P<burst>[0-9]{1,9})\s*)?)?"
)


# -- limits ---------------------------------------------------------------------------------------------------------
class Limit(NamedTuple):
    """What a value like "4", "10/1s" or "30/1m burst 10" means: so many at once, or a rate."""

    places: int | None = None  #: at once; None: it is a rate
    interval: int = 0  #: µs between two starts of a rate
    burst: int = 1  #: how many of a rate may start at once, after a rest


def limit(value: str) -> Limit:
    """Read a limit. ``BadOption`` says what is wrong with it."""
    match = _LIMIT.fullmatch(value)
    if match is None:
        raise BadOption(
            f'A limit is a number of jobs at once, or a rate, like "4", "10/1s" or "30/1m burst 10"; not {value!r}.'
        )
    count = _counted(match["count"], value)
    if match["window"] is None:
        return Limit(count)
    window = round(seconds(match["window"], f"the time in the limit {value!r}") * 1_000_000)
    if window < count:
        raise BadOption(f"The limit {value!r} lets more than one job start per microsecond. Leave it out.")
    # Rounded up: never more than was allowed.
    return Limit(None, -(-window // count), _counted(match["burst"] or "1", value))


def _counted(digits: str, value: str) -> int:
    if 1 <= int(digits) <= MOST:
        return int(digits)
    advice = "; `packhorse queues pause` stops a queue" if int(digits) == 0 else ""
    raise BadOption(f"The limit {value!r} must have numbers from 1 to {MOST:,}{advice}.")


def declared(names: Iterable[str], name: str) -> str | None:
    """Return the declaration among ``names`` that holds for a job's name: its own, else the longest beginning."""
    fitting = [each for each in names if meant(each, name)]
    return name if name in fitting else max(fitting, key=len, default=None)


def meant(declaration: str, name: str) -> bool:
    """Tell whether a declaration is for this name: it is its own, or ``tenant:*`` for all that begin so."""
    return declaration == name or (declaration.endswith("*") and name.startswith(declaration[:-1]))


# -- rates ----------------------------------------------------------------------------------------------------------
# GCRA: of each name one number is kept, the time from which on nothing of it is used up ("tat", theoretical arrival
# time). What is not kept, or past, is a name at rest.
def goes_at(tat: int, rate: Limit) -> int:
    """Return from when on the next one may start."""
    return tat - (rate.burst - 1) * rate.interval


def used(tat: int, now: int, rate: Limit) -> int:
    """Return the number to keep after a start."""
    return max(tat, now) + rate.interval


# -- what is stored ---------------------------------------------------------------------------------------------------
def holds_text(holds: Sequence[tuple[Mode, str]]) -> str | None:
    """Return holds as they are stored."""
    return json.dumps([list(hold) for hold in holds]) if holds else None


def after_text(after: Sequence[str]) -> str | None:
    """Return the ids of parents as they are stored."""
    return json.dumps(list(after)) if after else None


@lru_cache(maxsize=4096)
def held_names(holds: str | None) -> tuple[tuple[Mode, str], ...]:
    """Return stored holds as (mode, name)."""
    return tuple((mode, name) for mode, name in json.loads(holds)) if holds else ()


def parents(after: str | None) -> list[str]:
    """Return the ids of stored parents."""
    return list(json.loads(after)) if after else []


def scope(key: str | None, until: str | float) -> Scope | None:
    """Return what is stored of ``NewJob.unique_until``."""
    if key is None:
        return None
    return _SCOPES[until] if isinstance(until, str) else "time"


def holds_until(key: str | None, until: str | float, now: int) -> int | None:
    """Return when the holding of a key is over by itself."""
    return None if key is None or isinstance(until, str) else now + round(until * 1_000_000)


def serves(worker: WorkerRecord, queue: str) -> bool:
    """Tell whether a worker takes new work from this queue."""
    if worker.state != "live":
        return False
    return worker.queues is None or any(queue in group for group in _groups(worker.queues))


@lru_cache(maxsize=512)
def _groups(queues: str) -> list[list[str]]:
    return list(json.loads(queues))


# -- what is said -----------------------------------------------------------------------------------------------------
def gave_up(parent: JobRecord) -> str:
    """Return the reason of a job that was cancelled since this one, which it waited for, failed or was cancelled.

    One that gave up itself hands its own reason on: what counts is where it began, and a long chain makes no long text.
    """
    if parent.given_up is not None and parent.reason:
        return parent.reason
    how = "failed" if parent.state == "failed" else "was cancelled"
    return f"parent {parent.task} {parent.id} {how}" + (f": {parent.reason}" if parent.reason else "")


def replaced(by: str) -> str:
    """Return the reason of a job that gave its key to another one."""
    return f"replaced by {by}"


def unknown_parent(job: str, parent: str) -> UnknownParent:
    """Return the error for a job that is to wait for one that is not stored."""
    return UnknownParent(
        f"Job {job} is to start after job {parent}, which is not stored; nothing was stored. "
        "Enqueue that one first, in the same store and namespace, or leave it out of `after`.",
        parent,
    )


def key_held(key: str, holder: str) -> UniqueConflict:
    """Return the error for a key that another job holds, with ``on_conflict="raise"``."""
    spoken = key.partition("\x1f")[2] or key
    return UniqueConflict(
        f"The unique key '{spoken}' is held by job {holder}; nothing was stored. "
        f'`packhorse jobs show {holder}` shows it; without on_conflict="raise" that job is returned.',
        holder,
    )
