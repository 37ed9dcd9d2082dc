"""Letting go what waits: one round of admit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..._admission import Admitted
from ..._record import JobRecord
from ..._rules import gave_up, used
from ._ending import ended
from ._lines import Gates, Lines, made_it_give_up
from ._tables import Tables


class Seen(NamedTuple):
    """A waiting job, and what stands before the lines, as it was when the round began."""

    job: JobRecord
    parent: JobRecord | None  #: because of which it gives up
    ready: bool  #: nothing stands before the lines


def admit(tables: Tables, now: int, limit: int) -> Admitted:
    """Do one round."""
    seen = _look(tables)
    examined = _examined(seen)[:limit]
    cancelled = sum(_examine(tables, now, one) for one in examined)
    admitted, following = _let_go(tables, now, _able(tables, seen), limit - cancelled)
    return Admitted(
        admitted,
        cancelled,
        more=cancelled > 0 or len(examined) == limit or admitted == limit,
        waits=len(seen) > admitted + cancelled,
        next=following,
    )


def _look(tables: Tables) -> list[Seen]:
    """Return all that waits, oldest first."""
    gates = Gates(tables)
    return [Seen(job, made_it_give_up(tables, job), gates.obstacle(job) is None) for job in tables.linked("waits")]


def _examined(seen: Sequence[Seen]) -> list[Seen]:
    """Return those that give up or get a place."""
    return [one for one in seen if one.parent is not None or (one.job.place is None and one.ready)]


def _examine(tables: Tables, now: int, one: Seen) -> bool:
    """Let a job give up, or give it a place; tell whether it gave up."""
    if one.parent is None:
        tables.put(one.job._replace(place=tables.next_place()))
        return False
    job = ended(one.job, "cancelled", now, gave_up(one.parent))
    tables.put(job._replace(given_up=one.parent.id))
    return True


def _able(tables: Tables, seen: Sequence[Seen]) -> list[JobRecord]:
    """Return those who may stand in lines, by place."""
    jobs = [tables.jobs[one.job.id] for one in seen if one.ready and one.parent is None]
    return sorted((job for job in jobs if job.place is not None), key=lambda job: job.place or 0)


def _let_go(tables: Tables, now: int, able: Sequence[JobRecord], limit: int) -> tuple[int, float | None]:
    """Make queued what has no obstacle; return how many, and in how many seconds a rate lets the next one go."""
    lines = Lines(tables, now)
    count = 0
    held_back: list[JobRecord] = []
    for job in able:
        is_open = lines.is_open(job)
        if is_open and count < limit and lines.rate(job) is None:
            tables.put(_queued(tables, now, lines, job))
            lines.has(job)
            count += 1
        else:
            lines.stands(job)
            held_back += [job] if is_open else []
    times = [rate.at for job in held_back if (rate := lines.rate(job)) is not None and rate.at is not None]
    return count, (min(times) - now) / 1_000_000 if times else None


def _queued(tables: Tables, now: int, lines: Lines, job: JobRecord) -> JobRecord:
    """Return a job that is let go; what it needs of its rates is used."""
    for name, rate in lines.rates(job):
        tables.rates[name] = used(tables.rates.get(name, 0), now, rate)
    return job._replace(state="queued")
