"""What is in the way of one waiting job, as it is at this moment: ``admit`` may not have looked yet at what has changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ..._admission import Holders, Obstacle
from ..._record import Mode
from ..._rules import held_names
from .connection import Connection
from .gates import Gates
from .lines import END, Lines
from .queries import sql

_MODES: tuple[Mode, ...] = ("x", "s", "l")


class Explaining(Connection):
    """The verb that says why something waits."""

    def obstacles(self, ids: Sequence[str]) -> list[Obstacle | None]:
        """Return what is in the way of each job."""
        now = self.now()

        def step(db: sqlite3.Connection) -> list[Obstacle | None]:
            look = _Look(db, self._ns, now)
            return [look.at(id) for id in ids]

        return self._read(step)

    def holders(self, name: str, modes: Sequence[Mode], limit: int = 20) -> Holders:
        """Return how many hold a name, and the oldest of them."""
        values = {"ns": self._ns, "name": name, "modes": json.dumps(list(modes)), "limit": limit}
        rows = self._read(lambda db: db.execute(sql("obstacles", "oldest"), values).fetchall())
        return Holders(rows[0][1], tuple(row[0] for row in rows)) if rows else Holders()

    def holding(self, names: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return how many hold each of these names, by mode."""
        values = {"ns": self._ns, "names": json.dumps(list(names))}
        rows = self._read(lambda db: db.execute(sql("obstacles", "holding"), values).fetchall())
        counts = {(name, mode): number for name, mode, number in rows}
        found = [[counts.get((name, mode), 0) for mode in _MODES] for name in names]
        return [(first, second, third) for first, second, third in found]


class _Job(NamedTuple):
    """One that waits."""

    seq: int
    queue: int
    place: int | None
    holds: str | None
    after_flow: str | None


class _Crowd(NamedTuple):
    """Those who keep a job from a name."""

    holders: int
    oldest: int | None
    before: Sequence[int]

    @property
    def size(self) -> int:
        """Return how many they are."""
        return self.holders + len(self.before)


class _Look:
    """One look at those who wait."""

    def __init__(self, db: sqlite3.Connection, ns: int, now: int) -> None:
        self._db, self._ns, self._now = db, ns, now
        self._gates, self._lines = Gates(db, ns), Lines(db, ns, now)
        self._flows: dict[str, int] = {}

    def at(self, id: str) -> Obstacle | None:
        """Return what is in the way of a job; None: nothing, or it does not wait."""
        row = self._db.execute(sql("obstacles", "job"), {"ns": self._ns, "id": id}).fetchone()
        if row is None:
            return None
        job = _Job._make(row)
        return self._before_the_lines(job) or self._in_lines(job) or self._rate(job)

    # -- before the lines -----------------------------------------------------------------------------------------
    def _before_the_lines(self, job: _Job) -> Obstacle | None:
        parent = self._db.execute(sql("obstacles", "parent"), {"seq": job.seq}).fetchone()
        if parent is not None:
            return Obstacle("after", parent[0])
        if job.after_flow is not None and self._unended(job.after_flow):
            return Obstacle("flow", job.after_flow, place=self._unended(job.after_flow))
        gate = self._gates.gate(job.queue)
        if gate.unpaused and gate.served:
            return None
        return Obstacle("unserved" if gate.unpaused else "paused", gate.name)

    def _unended(self, flow: str) -> int:
        if flow not in self._flows:
            row = self._db.execute(sql("admit", "flow"), {"ns": self._ns, "flow": flow}).fetchone()
            self._flows[flow] = row[0] if row else 0
        return self._flows[flow]

    # -- in the lines ---------------------------------------------------------------------------------------------
    def _in_lines(self, job: _Job) -> Obstacle | None:
        for mode, name in held_names(job.holds):
            allowed = self._lines.limit(name) if mode == "l" else None
            if mode == "l" and allowed is None:
                return Obstacle("undeclared", name)
            crowd = self._crowd(job, name, _MODES if mode == "x" else ("x",))
            if crowd.size:
                return self._held(name, crowd)
            if allowed is not None and allowed.places is not None:
                crowd = self._crowd(job, name, ("l",))
                if crowd.size >= allowed.places:
                    return self._held(name, crowd)
        return None

    def _crowd(self, job: _Job, name: str, modes: Sequence[Mode]) -> _Crowd:
        place = END if job.place is None else job.place
        values = {"ns": self._ns, "name": name, "modes": json.dumps(modes), "place": place, "seq": job.seq}
        holders, oldest = self._db.execute(sql("obstacles", "holders"), values).fetchone()
        rows = self._db.execute(sql("obstacles", "before"), values).fetchall()
        before = [seq for seq, _, queue, flow, waits in rows if not waits and self._is_able(queue, flow)]
        return _Crowd(holders, oldest, before)

    def _is_able(self, queue: int, flow: str | None) -> bool:
        return self._gates.lets_through(queue) and (flow is None or not self._unended(flow))

    def _held(self, name: str, crowd: _Crowd) -> Obstacle:
        seq = crowd.before[0] if crowd.oldest is None else crowd.oldest
        id, since = self._db.execute(sql("obstacles", "holder"), {"seq": seq}).fetchone()
        return Obstacle("held", name, id, since, 1 + len(crowd.before))

    def _rate(self, job: _Job) -> Obstacle | None:
        behind = self._lines.used_up(held_names(job.holds))
        return None if behind is None else Obstacle("rate", behind.name, at=behind.at)
