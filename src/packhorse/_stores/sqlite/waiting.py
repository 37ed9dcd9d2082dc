"""Those who wait for ``admit``, as one round moves them on: woken, judged, placed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..._record import BATCH
from .gates import Gates
from .queries import sql
from .rules import ASLEEP, NEW, SHUT, STANDS, UNPLACED

_OF_JOBS, _OF_FLOWS = 2, 3
#: So many are woken and judged in one round.
ROOM = 2 * BATCH


class Hopeless(NamedTuple):
    """One that gives up."""

    seq: int
    queue: int
    parent: str


class Flow(NamedTuple):
    """What followers have to know of a flow."""

    unended: int = 0
    failures: int = 0


class Waiting:
    """The jobs of a namespace that wait."""

    def __init__(self, db: sqlite3.Connection, ns: int) -> None:
        self._db, self._ns = db, ns
        self.gates = Gates(db, ns)
        self._flows: dict[str, Flow] = {}

    def has_news(self) -> bool:
        """Tell whether somebody is to be judged, to have a place, or to go where the gate of its queue lets it be."""
        return self.has_new() or any(self._is_amiss(queue) for queue in self.queues())

    def has_new(self) -> bool:
        """Tell whether somebody is to be judged."""
        return bool(self._db.execute(sql("admit", "new"), {"ns": self._ns, "room": 1}).fetchall())

    def _is_amiss(self, queue: int) -> bool:
        stages = (UNPLACED, SHUT) if self.gates.lets_through(queue) else (STANDS,)
        return any(self._at(queue, stage, 1) for stage in stages)

    # -- parents and flows ----------------------------------------------------------------------------------------
    def judge(self) -> list[Hopeless]:
        """Look at those who are new and at those whose parents or flows have moved; return, by seq, who gives up."""
        self._flows.clear()
        self._wake()
        values = {"ns": self._ns, "room": ROOM}
        hopeless, moved = [], []
        for row in self._db.execute(sql("admit", "new"), values).fetchall():
            found = self.judged(*row)
            if isinstance(found, Hopeless):
                hopeless.append(found)
            else:
                moved.append((found, row[0]))
        self._move(moved)
        return hopeless

    def judged(
        self,
        seq: int,
        queue: int,
        placed: int,
        after_flow: str | None,
        after_failed: int,
        waits: int,
        failed: str | None,
    ) -> Hopeless | int:
        """Return the stage to which a job comes, or that it gives up."""
        flow = self.flow(after_flow) if after_flow is not None else Flow()
        if failed is None and flow.failures and not flow.unended and after_flow is not None:
            failed = self._failure(after_flow)
        if failed is not None and not after_failed:
            return Hopeless(seq, queue, failed)
        if waits or flow.unended:
            return ASLEEP
        return self._stage_in(queue) if placed else UNPLACED

    def flow(self, name: str) -> Flow:
        """Return how a flow is getting on."""
        if name not in self._flows:
            row = self._db.execute(sql("admit", "flow"), {"ns": self._ns, "flow": name}).fetchone()
            self._flows[name] = Flow(*row) if row else Flow()
        return self._flows[name]

    def _failure(self, flow: str) -> str | None:
        row = self._db.execute(sql("admit", "flow_failure"), {"ns": self._ns, "flow": flow}).fetchone()
        return row[0] if row else None

    def _wake(self) -> None:
        """Make those new whose parents or flows have moved."""
        for kind, what, upto in self._db.execute(sql("admit", "to_follow"), {"ns": self._ns}).fetchall():
            values = {"ns": self._ns, "kind": kind, "what": what, "upto": upto, "room": ROOM, "over": True}
            if kind == _OF_FLOWS:
                values["over"] = not self.flow(what).unended
            name = "children" if kind == _OF_JOBS else "followers"
            rows = self._db.execute(sql("admit", name), values).fetchall()
            self._leave_lines(seq for seq, stage in rows if stage == STANDS)
            self._move([(NEW, seq) for seq, _ in rows])
            if len(rows) < ROOM:
                self._db.execute(sql("admit", "followed"), values)
            else:
                self._db.execute(sql("admit", "followed_upto"), {**values, "upto": rows[-1][0]})

    # -- queues ---------------------------------------------------------------------------------------------------
    def open_and_shut(self) -> None:
        """Move those who have a place to where the gate of their queue lets them be."""
        for queue in self.queues():
            stage = self._stage_in(queue)
            moved = self._at(queue, SHUT if stage == STANDS else STANDS)
            if stage == SHUT:
                self._leave_lines(moved)
            self._move([(stage, seq) for seq in moved])

    def queues(self) -> list[int]:
        """Return the queues of those who have what they wait for."""
        return [row[0] for row in self._db.execute(sql("admit", "queues"), {"ns": self._ns}).fetchall()]

    def _stage_in(self, queue: int) -> int:
        return STANDS if self.gates.lets_through(queue) else SHUT

    def _at(self, queue: int, stage: int, limit: int = -1) -> list[int]:
        values = {"ns": self._ns, "queue": queue, "stage": stage, "limit": limit}
        return [row[0] for row in self._db.execute(sql("admit", "at"), values).fetchall()]

    # -- places ---------------------------------------------------------------------------------------------------
    def unplaced(self, limit: int) -> Iterator[int]:
        """Return those who may have a place, and have none."""
        for queue in self.queues():
            if self.gates.lets_through(queue):
                yield from self._at(queue, UNPLACED, limit)

    def place(self, seqs: Sequence[int]) -> None:
        """Give places, in this order."""
        if not seqs:
            return
        last = self._db.execute(sql("admit", "last_place"), (self._ns,)).fetchone()[0]
        places = list(enumerate(seqs, last + 1))
        self._db.executemany(sql("admit", "place"), places)
        self._db.executemany(sql("admit", "place_holds"), places)
        self._db.execute(sql("admit", "set_last_place"), (last + len(seqs), self._ns))

    def _move(self, moved: Sequence[tuple[int, int]]) -> None:
        self._db.executemany(sql("admit", "stage"), moved)
        self._db.executemany(sql("rules", "hold_stages"), moved)

    def _leave_lines(self, seqs: Iterable[int]) -> None:
        self._db.executemany(sql("rules", "free_names"), [(seq,) for seq in seqs])


def as_json(seqs: Iterable[int]) -> str:
    """Return numbers as a statement takes them."""
    return json.dumps(list(seqs))
