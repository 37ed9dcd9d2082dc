"""Letting go what waits: one round of admit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..._admission import Admitted
from ..._record import JobRecord
from ..._rules import gave_up, used
from ._ending import ended
from ._lines import Lines, before_the_lines, made_it_give_up
from ._tables import Tables


class Seen(NamedTuple):
    """A waiting job, and what stands before the lines, as it was when the round began."""

    job: JobRecord
    parent: JobRecord | None  #: because of which it gives up
    ready: bool  #: nothing stands before the lines


def admit(tables: Tables, now: int, limit: int) -> Admitted:
    """Do one round."""
    seen = _look(tables)
    examined = _examined(seen, limit)
    hopeless = [one for one in examined if one.parent is not None]
    for one in hopeless:
        _give_up(tables, now, one)
    for one in examined:
        if one.parent is None:
            tables.put(one.job._replace(place=tables.next_place()))
    able = _able(tables, seen)
    admitted = _let_go(tables, now, able, limit - len(hopeless))
    return _answer(tables, now, admitted, len(hopeless))


def _look(tables: Tables) -> list[Seen]:
    """Return all that waits, oldest first."""
    return [
        Seen(job, made_it_give_up(tables, job), before_the_lines(tables, job) is None) for job in tables.linked("waits")
    ]


def _examined(seen: Sequence[Seen], limit: int) -> list[Seen]:
    """Return those that give up or get a place."""
    return [one for one in seen if one.parent is not None or (one.job.place is None and one.ready)][:limit]


def _give_up(tables: Tables, now: int, one: Seen) -> None:
    assert one.parent is not None
    job = ended(one.job, "cancelled", now, gave_up(one.parent))
    tables.put(job._replace(given_up=one.parent.id))


def _able(tables: Tables, seen: Sequence[Seen]) -> list[JobRecord]:
    """Return those who may stand in lines, by place."""
    jobs = [tables.jobs[one.job.id] for one in seen if one.ready and one.parent is None]
    return sorted((job for job in jobs if job.place is not None), key=lambda job: job.place or 0)


def _let_go(tables: Tables, now: int, able: Sequence[JobRecord], limit: int) -> int:
    """Make queued what has no obstacle, and return how many."""
    lines = Lines(tables, now)
    count = 0
    for job in able:
        if count < limit and lines.obstacle(job) is None:
            _use_rates(tables, now, lines, job)
            job = job._replace(state="queued")
            tables.put(job)
            lines.has(job)
            count += 1
        else:
            lines.stands(job)
    return count


def _use_rates(tables: Tables, now: int, lines: Lines, job: JobRecord) -> None:
    for name, rate in lines.rates(job):
        tables.rates[name] = used(tables.rates.get(name, 0), now, rate)


def _answer(tables: Tables, now: int, admitted: int, cancelled: int) -> Admitted:
    """Tell what was done, and whether another round would do more."""
    seen = _look(tables)
    lines = Lines(tables, now)
    more = bool(_examined(seen, 1))
    times = []
    for job in _able(tables, seen):
        obstacle = lines.obstacle(job)
        more = more or obstacle is None
        if obstacle is not None and obstacle.at is not None:
            times.append(obstacle.at)
        lines.stands(job)
    following = (min(times) - now) / 1_000_000 if times else None
    return Admitted(admitted, cancelled, more, bool(seen), following)
