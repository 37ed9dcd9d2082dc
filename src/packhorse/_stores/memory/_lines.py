"""What is in the way of a waiting job: parents, flows, pauses, and the lines in which jobs wait for a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..._admission import Obstacle
from ..._record import FINAL, JobRecord, Mode
from ..._rules import Limit, declared, goes_at, held_names, limit, parents, serves
from ._tables import Tables

MODES: tuple[Mode, ...] = ("x", "s", "l")
_NO_LIMIT = Limit()


# -- what stands before the lines -------------------------------------------------------------------------------------
class Gates:
    """What stands before the lines, as it is now; each queue and flow is looked at once."""

    def __init__(self, tables: Tables) -> None:
        """Look at nothing as yet."""
        self._tables = tables
        self._queues: dict[str, Obstacle | None] = {}
        self._flows: dict[str, Obstacle | None] = {}

    def obstacle(self, job: JobRecord) -> Obstacle | None:
        """Return the parent, flow, pause or missing worker in the way of a job."""
        for parent in parents(job.after):
            if is_unended(self._tables.jobs.get(parent)):
                return Obstacle("after", parent)
        return (job.after_flow and self._flow(job.after_flow)) or self._queue(job.queue)

    def _flow(self, flow: str) -> Obstacle | None:
        if flow not in self._flows:
            unended = sum(map(is_unended, others(self._tables, flow)))
            self._flows[flow] = Obstacle("flow", flow, place=unended) if unended else None
        return self._flows[flow]

    def _queue(self, queue: str) -> Obstacle | None:
        if queue not in self._queues:
            self._queues[queue] = self._look_at(queue)
        return self._queues[queue]

    def _look_at(self, queue: str) -> Obstacle | None:
        if self._tables.paused(queue):
            return Obstacle("paused", queue)
        served = any(serves(worker, queue) for worker in self._tables.workers.values())
        return None if served else Obstacle("unserved", queue)


def is_unended(job: JobRecord | None) -> bool:
    """Tell whether a job is stored and has not ended."""
    return job is not None and job.state not in FINAL


def others(tables: Tables, flow: str | None) -> list[JobRecord]:
    """Return the members of a flow that do not wait for it themselves."""
    return [] if flow is None else [job for job in tables.linked("member", flow) if job.after_flow != flow]


def made_it_give_up(tables: Tables, job: JobRecord) -> JobRecord | None:
    """Return what this job waited for in vain."""
    if job.after_failed or (job.after is None and job.after_flow is None):
        return None
    after = (tables.jobs.get(parent) for parent in parents(job.after))
    members = others(tables, job.after_flow)
    ended = [] if any(map(is_unended, members)) else members
    return next((one for one in (*after, *ended) if one is not None and one.state in ("failed", "cancelled")), None)


# -- lines ------------------------------------------------------------------------------------------------------------
class Line:
    """Those who have one name, and those who stand before a job in waiting for it, by mode."""

    def __init__(self, name: str, holders: Iterable[JobRecord]) -> None:
        """Begin with nobody waiting."""
        self.holders = {mode: [job for job in holders if (mode, name) in held_names(job.holds)] for mode in MODES}
        self.before: dict[Mode, list[JobRecord]] = {mode: [] for mode in MODES}

    def in_the_way(self, mode: Mode, places: int | None) -> tuple[Mode, ...]:
        """Return the modes of those that keep out a job which wants the name so; none: it can have it."""
        against: tuple[Mode, ...] = MODES if mode == "x" else ("x",)
        if any(self.holders[other] or self.before[other] for other in against):
            return against
        full = mode == "l" and places is not None and len(self.holders["l"]) + len(self.before["l"]) >= places
        return ("l",) if full else ()

    def obstacle(self, name: str, against: Sequence[Mode]) -> Obstacle:
        """Tell of those in the way."""
        holders = [job for mode in against for job in self.holders[mode]]
        before = [job for mode in against for job in self.before[mode]]
        first = min(holders, key=lambda job: job.seq) if holders else min(before, key=lambda job: job.place or 0)
        since = first.started_at if first.state == "running" else None
        return Obstacle("held", name, first.id, since, 1 + len(before))


def holders(tables: Tables, name: str, modes: Sequence[Mode]) -> list[JobRecord]:
    """Return those who have a name in one of these modes, oldest first."""
    found = tables.linked("holder", name)
    return [job for job in found if any((mode, name) in held_names(job.holds) for mode in modes)]


def holding(tables: Tables, name: str) -> tuple[int, int, int]:
    """Return how many reserve a name, share it and count towards its limit."""
    reserve, share, count = (len(holders(tables, name, (mode,))) for mode in MODES)
    return reserve, share, count


class Lines:
    """All lines, as one job after the other comes to see whether it is let go."""

    def __init__(self, tables: Tables, now: int) -> None:
        """Look at the holders; nobody waits as yet."""
        self._tables = tables
        self._now = now
        self._lines: dict[str, Line] = {}
        self._limits: dict[str, Limit | None] = {}

    def line(self, name: str) -> Line:
        """Return the line of one name."""
        if name not in self._lines:
            self._lines[name] = Line(name, self._tables.linked("holder", name))
        return self._lines[name]

    def obstacle(self, job: JobRecord) -> Obstacle | None:
        """Return the name or the rate in the way of a job that comes after those who stand in the lines."""
        found = self._first_in_the_way(job)
        if found is None:
            return self.rate(job)
        name, against = found
        return self.line(name).obstacle(name, against) if against else Obstacle("undeclared", name)

    def is_open(self, job: JobRecord) -> bool:
        """Tell, without saying what is, whether no name is in the way."""
        return self._first_in_the_way(job) is None

    def _first_in_the_way(self, job: JobRecord) -> tuple[str, tuple[Mode, ...]] | None:
        """Return the first name that cannot be had, and the modes of those who have it; none: it is undeclared."""
        for mode, name in held_names(job.holds):
            allowed = self.limit(name) if mode == "l" else _NO_LIMIT
            against = allowed and self.line(name).in_the_way(mode, allowed.places)
            if allowed is None or against:
                return name, against or ()
        return None

    def limit(self, name: str) -> Limit | None:
        """Return what is declared of a name."""
        if name not in self._limits:
            found = declared(self._tables.limits, name)
            self._limits[name] = None if found is None else limit(self._tables.limits[found].value)
        return self._limits[name]

    def rates(self, job: JobRecord) -> list[tuple[str, Limit]]:
        """Return the rates among what a job holds."""
        named = [(name, self.limit(name)) for mode, name in held_names(job.holds) if mode == "l"]
        return [(name, rate) for name, rate in named if rate is not None and rate.places is None]

    def rate(self, job: JobRecord) -> Obstacle | None:
        """Return the rate in the way of a job."""
        times = [(name, goes_at(self._tables.rates.get(name, 0), rate)) for name, rate in self.rates(job)]
        name, at = max(times, key=lambda pair: pair[1], default=("", 0))
        return Obstacle("rate", name, at=at) if at > self._now else None

    def stands(self, job: JobRecord) -> None:
        """Let a job stand in its lines: whoever comes now comes after it."""
        self._each(job, lambda line, mode: line.before[mode].append(job))

    def has(self, job: JobRecord) -> None:
        """Let a job have what it wanted."""
        self._each(job, lambda line, mode: line.holders[mode].append(job))

    def _each(self, job: JobRecord, act: Callable[[Line, Mode], None]) -> None:
        for mode, name in held_names(job.holds):
            act(self.line(name), mode)


def obstacle(tables: Tables, now: int, job: JobRecord | None) -> Obstacle | None:
    """Return what is in the way of one job."""
    if job is None or not job.waits:
        return None
    gates, lines = Gates(tables), Lines(tables, now)
    first = gates.obstacle(job)
    if first is not None:
        return first
    for other in _earlier(tables, job):
        if gates.obstacle(other) is None:
            lines.stands(other)
    return lines.obstacle(job)


def _earlier(tables: Tables, job: JobRecord) -> list[JobRecord]:
    """Return the waiters for any of its names that have a place before a job."""
    waiters = {other.id: other for _, name in held_names(job.holds) for other in tables.linked("waiter", name)}
    return [other for other in waiters.values() if comes_before(other, job)]


def comes_before(other: JobRecord, job: JobRecord) -> bool:
    """Tell whether another job stands before this one in their lines."""
    if other.place is None or other.id == job.id:
        return False
    return job.place is None or other.place < job.place
