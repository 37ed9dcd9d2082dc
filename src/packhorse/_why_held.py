"""Why a job cannot have a name: who has it, or stands before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ._admission import Obstacle
from ._durations import spoken
from ._record import JobRecord, Mode
from ._rules import declared, held_names
from ._store import Store
from ._when import clock, rfc3339
from ._why import Why, nobody, paused

#: So many holders are named, and so many are facts.
_NAMED, _TOLD = 3, 20
_MODES: dict[Mode, str] = {"x": "reserves", "s": "shares", "l": "limit"}


class Crowd(NamedTuple):
    """Those who have a name, and keep another one from it."""

    number: int
    jobs: Sequence[JobRecord]  #: the oldest

    @property
    def text(self) -> str:
        """Name up to three of them."""
        names = [named(job, job.id) for job in self.jobs[:_NAMED]]
        more = self.number - len(names)
        if more > 0:
            return f"jobs {', '.join(names)} and {more:,} more" if names else f"{self.number:,} jobs"
        return f"job {names[0]}" if len(names) == 1 else f"jobs {', '.join(names[:-1])} and {names[-1]}"


def crowd(store: Store, record: JobRecord, obstacle: Obstacle) -> Crowd:
    """Return those who keep a job from the name of an obstacle by having it."""
    return _crowd(store, obstacle.name, _against(store, record, obstacle))


def _against(store: Store, record: JobRecord, obstacle: Obstacle) -> Sequence[Mode]:
    mode = _mode(record, obstacle.name)
    if mode != "l":
        return ("x", "s", "l") if mode == "x" else ("x",)
    first = next(iter(store.get([obstacle.holder])), None) if obstacle.holder else None
    return ("x",) if first is not None and _mode(first, obstacle.name) == "x" else ("l",)


def _mode(record: JobRecord, name: str) -> Mode:
    modes = {each: mode for mode, each in held_names(record.holds)}
    return modes.get(name, "x")


def _crowd(store: Store, name: str, modes: Sequence[Mode]) -> Crowd:
    holders = store.holders(name, modes, _TOLD)
    return Crowd(holders.number, store.get(holders.jobs) if holders.jobs else ())


def held(store: Store, record: JobRecord, obstacle: Obstacle, now: int) -> Why:
    """Return the answer for a job that cannot have a name."""
    against = _against(store, record, obstacle)
    there = _crowd(store, obstacle.name, against)
    holder = next(iter(store.get([obstacle.holder])), None) if obstacle.holder else None
    facts: dict[str, Any] = {
        "name": obstacle.name,
        "mode": _MODES[_mode(record, obstacle.name)],
        "holder": obstacle.holder,
        "task": holder.task if holder else None,
        "since": rfc3339(obstacle.since),
        "place": obstacle.place,
        "held": there.number,
        "holders": [{"id": job.id, "task": job.task, "state": job.state} for job in there.jobs],
    }
    first = f"job {named(holder, obstacle.holder or 'that is gone')}"
    if against == ("l",):
        text = _full(store, obstacle, there, first, facts)
    elif there.number:
        text = f"waits for '{obstacle.name}', held by {there.text}"
    else:
        text = f"waits for '{obstacle.name}' behind {first}, which waits too"
    if there.number:
        text += _since(store, obstacle, there, holder, now)
    place = f", place {obstacle.place} in the line" if obstacle.place is not None else ""
    return Why(f"{text}{place}.", "held", facts)


def _full(store: Store, obstacle: Obstacle, there: Crowd, first: str, facts: dict[str, Any]) -> str:
    facts["limit"] = value = declared_value(store, obstacle.name)
    if not there.number:
        return f"limit '{obstacle.name}' is full ({value} at once); before it stands {first}"
    return f"limit '{obstacle.name}' is full: {there.number:,} of {value}, held by {there.text}{_rest(obstacle, there, value)}"


def _rest(obstacle: Obstacle, there: Crowd, value: str | None) -> str:
    """Say for whom the places are that nobody has."""
    before = (obstacle.place or 1) - 1
    if there.number >= _number(value):
        return ""
    return f"; {'one' if before == 1 else f'{before:,}'} before it in the line"


def _number(value: str | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


def _since(store: Store, obstacle: Obstacle, there: Crowd, holder: JobRecord | None, now: int) -> str:
    """Say since when the oldest has it, or why it does not start: it keeps what it holds meanwhile."""
    which = "" if there.number == 1 else ", the first"
    if obstacle.since is not None:
        return f"{which} since {clock(obstacle.since, now)} ({ago(obstacle.since, now)})"
    if holder is None or holder.state != "queued":
        return ""
    stuck = paused(store, holder, now) or nobody(store, holder, now)
    is_ = ", which is" if there.number == 1 else ", the first is"
    return f"{is_} queued; but {stuck.text.rstrip('.')}" if stuck else f"{is_} queued and starts soon"


# -- words ------------------------------------------------------------------------------------------------------------
def declared_value(store: Store, name: str) -> str | None:
    """Return what is declared of a limit, by its own name or by one that is meant for it."""
    values = {limit.name: limit.value for limit in store.limits()}
    found = declared(values, name)
    return None if found is None else values[found]


def named(job: JobRecord | None, job_id: str) -> str:
    """Return a job's id, with its task if that is known."""
    return job_id if job is None else f"{job.id} ({job.task})"


def ago(moment: int, now: int) -> str:
    """Return for how long something has been so."""
    return spoken(max(0, now - moment) / 1e6)
