"""What is in the way of waiting jobs, for people: as it is at this moment, whatever admit last saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..._admission import Holders, Obstacle
from ..._record import JobRecord, Mode
from ..._rules import goes_at, held_names, parents
from .gates import is_served
from .limits import Declared, Limiting
from .link import Link
from .records import job_record
from .states import CANCELLED, FAILED, SUCCEEDED

_END = 1 << 62
_ALL: tuple[Mode, ...] = ("x", "s", "l")
_ENDED = (SUCCEEDED, FAILED, CANCELLED)


class Holder(NamedTuple):
    """One who has a name."""

    mode: Mode
    seq: int
    id: str
    since: int | None


class Stander(NamedTuple):
    """One who waits for a name and has a place."""

    mode: Mode
    place: int
    id: str
    queue: str
    after: str | None
    after_flow: str | None


class Obstacles(Limiting):
    """The verb that says why."""

    def obstacles(self, ids: Sequence[str]) -> list[Obstacle | None]:
        """Return what is in the way of each job. Aligned with ``ids``."""
        return self._write(self._obstacles, list(ids)) if ids else []

    def holders(self, name: str, modes: Sequence[Mode], limit: int = 20) -> Holders:
        """Return how many hold a name, and the oldest of them."""
        rows = self._write(self._oldest, name, list(modes), limit)
        return Holders(rows[0][1], tuple(row[0] for row in rows)) if rows else Holders()

    def holding(self, names: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return how many hold each of these names, by mode."""
        rows = self._write(self._holding, list(names)) if names else []
        counts = {(name, mode): number for name, mode, number in rows}
        found = [[counts.get((name, mode), 0) for mode in _ALL] for name in names]
        return [(first, second, third) for first, second, third in found]

    def _holding(self, link: Link, now: int, names: list[str]) -> list[Any]:
        return self._rows(link, "obstacles", "holding", self._ns, names)

    def _oldest(self, link: Link, now: int, name: str, modes: list[Mode], limit: int) -> list[Any]:
        return self._rows(link, "obstacles", "oldest", self._ns, name, modes, limit)

    def _obstacles(self, link: Link, now: int, ids: list[str]) -> list[Obstacle | None]:
        jobs = {row[0]: job_record(row) for row in self._rows(link, "look", "by_id", self._ns, ids)}
        view = View(self, link, now)
        return [view.obstacle(jobs[id]) if id in jobs else None for id in ids]


class View:
    """What was looked up for one call."""

    def __init__(self, store: Obstacles, link: Link, now: int) -> None:
        self._now = now
        self._store, self._link = store, link
        self._limits = Declared(store._limits(link))
        self._paused = {row[0] for row in store._rows(link, "admit", "paused", store._ns)}
        self._served = is_served([row[0] for row in store._rows(link, "admit", "served", store._ns)])
        self._rates = dict(store._rows(link, "limits", "rates", store._ns, None))
        self._states: dict[str, int | None] = {}
        self._flows: dict[str, int] = {}
        self._holders: dict[str, list[Holder]] = {}
        self._lines: dict[str, list[Stander]] = {}

    def _ask(self, name: str, *values: Any) -> list[Any]:
        return self._store._rows(self._link, "obstacles", name, self._store._ns, *values)

    def obstacle(self, job: JobRecord) -> Obstacle | None:
        """Return what is in the way of one job."""
        if not job.waits or not job.has_rules:
            return None
        first = self._before_the_lines(job.after, job.after_flow, job.queue)
        return first or self._in_the_lines(job) or self._rate(job)

    # -- before the lines ---------------------------------------------------------------------------------------
    def _before_the_lines(self, after: str | None, flow: str | None, queue: str) -> Obstacle | None:
        named = parents(after)
        self._learn([parent for parent in named if parent not in self._states])
        for parent in named:
            if self._states[parent] is not None and self._states[parent] not in _ENDED:
                return Obstacle("after", parent)
        if flow is not None and self._unended(flow):
            return Obstacle("flow", flow, place=self._unended(flow))
        if queue in self._paused:
            return Obstacle("paused", queue)
        return None if self._served(queue) else Obstacle("unserved", queue)

    def _learn(self, ids: list[str]) -> None:
        if ids:
            self._states.update(self._ask("states", ids))

    def _unended(self, flow: str) -> int:
        if flow not in self._flows:
            self._flows[flow] = self._ask("unended", flow)[0][0]
        return self._flows[flow]

    # -- in the lines -------------------------------------------------------------------------------------------
    def _in_the_lines(self, job: JobRecord) -> Obstacle | None:
        for mode, name in held_names(job.holds):
            places = self._limits.places(mode, name)
            if places == 0:
                return Obstacle("undeclared", name)
            found = self._held(job, mode, name, places)
            if found is not None:
                return found
        return None

    def _held(self, job: JobRecord, mode: Mode, name: str, places: int | None) -> Obstacle | None:
        holders, before = self._have(name), self._stand_before(job, name)
        against: tuple[Mode, ...] = _ALL if mode == "x" else ("x",)
        modes = [one.mode for one in holders] + [one.mode for one in before]
        if not any(other in against for other in modes):
            if places is None or modes.count("l") < places:
                return None
            against = ("l",)
        holders = [one for one in holders if one.mode in against]
        before = [one for one in before if one.mode in against]
        first, since = (holders[0].id, holders[0].since) if holders else (before[0].id, None)
        return Obstacle("held", name, first, since, 1 + len(before))

    def _have(self, name: str) -> list[Holder]:
        if name not in self._holders:
            self._holders[name] = [Holder(*row) for row in self._ask("holders", name)]
        return self._holders[name]

    def _stand_before(self, job: JobRecord, name: str) -> list[Stander]:
        """Return the able waiters for a name before a job, by place."""
        if name not in self._lines:
            self._lines[name] = [one for one in self._standing(name) if self._is_able(one)]
        place = _END if job.place is None else job.place
        return [one for one in self._lines[name] if one.place < place and one.id != job.id]

    def _standing(self, name: str) -> list[Stander]:
        return [Stander(*row) for row in self._ask("standing", name, _END)]

    def _is_able(self, one: Stander) -> bool:
        return self._before_the_lines(one.after, one.after_flow, one.queue) is None

    # -- rates --------------------------------------------------------------------------------------------------
    def _rate(self, job: JobRecord) -> Obstacle | None:
        times: list[tuple[str, Any]] = []
        for mode, name in held_names(job.holds):
            rate = self._limits.rate(mode, name)
            if rate is not None:
                times.append((name, goes_at(self._rates.get(name, 0), rate)))
        name, at = max(times, key=lambda pair: pair[1], default=("", 0))
        return Obstacle("rate", name, at=at) if at > self._now else None
