"""What is stored beside a job that has rules, a flow or a unique key, or that others wait for.

A job's own row is the truth. Whoever changes the states of such jobs brings what stands beside them up to that in the same
transaction, by ``follow``: which stage a job is at, the names it wants or has, whom it waits for, how many of a flow are where;
and notes what became free by it for ``admit``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from ..._rules import OUTLASTS, held_names, parents
from .queries import sql
from .states import BLOCKED, FIRST, QUEUED, RUNNING, SUCCEEDED

#: Stages of a job; see the schema.
ENDED, ELSEWHERE, NEW, ASLEEP, UNPLACED, SHUT, STANDS, HAS = range(8)
WAITS = (NEW, ASLEEP, UNPLACED, SHUT, STANDS)

_TOUCHED, _STATES, _STAGES = sql("rules", "touched"), sql("rules", "states"), sql("rules", "stages")


#: (namespace, name)
Flows = set[tuple[int, str]]


class Job(NamedTuple):
    """One such job: as it was when its row was last brought up to it, and as it is."""

    seq: int
    ns: int
    id: str
    was: int | None  #: state; None: its row is new
    state: int
    stage: int  #: as it was
    parked: int
    holds: str | None
    after: str | None
    after_flow: str | None
    flow: str | None
    until: str | None
    held: int
    created_at: int
    finished_at: int | None

    @property
    def lives(self) -> bool:
        """Tell whether it has not ended."""
        return self.state < SUCCEEDED

    @property
    def lived(self) -> bool:
        """Tell whether it was stored, and had not ended."""
        return self.was is not None and self.was < SUCCEEDED

    @property
    def keeps_key(self) -> bool:
        """Tell whether the key it holds, if it does, is its own still."""
        if self.until in OUTLASTS:
            return True
        return self.lives and not (self.until == "started" and self.state == RUNNING)

    def next_stage(self) -> int:
        """Return the stage at which it is now."""
        if not self.lives:
            return ENDED
        if self.holds is None and self.after is None and self.after_flow is None:
            return ELSEWHERE
        if self.state in (QUEUED, RUNNING):
            return HAS
        if self.state == BLOCKED and not self.parked:
            return self.stage if self.stage in WAITS and self.was == BLOCKED else NEW
        return ELSEWHERE


class Changes:
    """What follows from the changes of one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._flows: dict[tuple[int, str], list[Any]] = {}
        self._joined: set[tuple[int, str]] = set()  #: flows of which a member ended, came or went
        self.stirred = False  #: something may go now that could not

    def follow(self, seqs: Iterable[int], anew: Collection[int] = ()) -> None:
        """Bring what stands beside these jobs up to their states; jobs without any of it are passed over. Of those that wait,
        some begin ``anew``: with the place they have, if they have one."""
        rows = self._db.execute(_TOUCHED, {"seqs": json.dumps(sorted(set(seqs)))}).fetchall()
        jobs = list(map(Job._make, rows))
        for job in jobs:
            if job.lives and not job.lived:
                self._enter(job)
        self._write_stages([(job, _first(job.next_stage(), job.seq in anew)) for job in jobs])
        self._free_those_after([job for job in jobs if job.lives != job.lived or job.was is None])
        for job in jobs:
            if job.lived and not job.lives:
                self._leave(job)
            if job.flow is not None and job.state != job.was:
                self._count(job, job.was, job.state)
        self._write_flows()

    def forget(self, seqs: Iterable[int]) -> Flows:
        """Take away what stands beside jobs that are deleted; return their flows, which may be gone with them."""
        rows = self._db.execute(_TOUCHED, {"seqs": json.dumps(list(seqs))}).fetchall()
        flows: Flows = set()
        jobs = list(map(Job._make, rows))
        self._free_those_after(jobs)
        for job in jobs:
            self._free_names(job, None)
            self._leave(job)
            self._db.execute(sql("rules", "drop"), (job.seq,))
            if job.flow is not None:
                self._count(job, job.was, None)
                flows.add((job.ns, job.flow))
        self._write_flows()
        return flows

    # -- names and parents ----------------------------------------------------------------------------------------
    def _enter(self, job: Job) -> None:
        """Write down what a job that begins, or begins anew, wants and waits for."""
        holds = [(job.seq, name, mode, job.stage) for mode, name in held_names(job.holds)]
        self._db.executemany(sql("rules", "add_hold"), holds)
        after = parents(job.after)
        if after:
            edges = [(job.seq, n, job.ns, parent) for n, parent in enumerate(after)]
            self._db.executemany(sql("rules", "add_edge"), edges)
            mark(self._db, job.ns, after)

    def _leave(self, job: Job) -> None:
        if job.holds is not None:
            self._db.execute(sql("rules", "drop_holds"), (job.seq,))
        if job.after is not None:
            self._db.execute(sql("rules", "drop_edges"), (job.seq,))

    def _write_stages(self, jobs: Sequence[tuple[Job, int]]) -> None:
        still = [(job.state, job.held and job.keeps_key, job.seq) for job, stage in jobs if stage == job.stage]
        moved = [(job, stage) for job, stage in jobs if stage != job.stage]
        for job, stage in moved:
            self._free_names(job, stage)
        self._db.executemany(_STATES, still)
        self._db.executemany(_STAGES, [(job.state, job.held and job.keeps_key, stage, job.seq) for job, stage in moved])
        holds = [(stage, job.seq) for job, stage in moved if job.holds is not None]
        self._db.executemany(sql("rules", "hold_stages"), holds)
        self.stirred = self.stirred or any(stage in WAITS for _, stage in jobs)

    def _free_names(self, job: Job, stage: int | None) -> None:
        if job.holds is not None and job.stage in (STANDS, HAS) and not (job.stage == STANDS and stage == HAS):
            self._db.execute(sql("rules", "free_names"), (job.seq,))
            self.stirred = True

    def _free_those_after(self, jobs: Sequence[Job]) -> None:
        """Have those looked at that wait for one of these jobs, which has ended, begun anew, come or gone, or for its flow."""
        if not jobs:
            return
        ids = json.dumps([job.id for job in jobs])
        for parent in self._db.execute(sql("rules", "named"), {"ns": jobs[0].ns, "ids": ids}).fetchall():
            self._db.execute(sql("rules", "free_children"), (jobs[0].ns, *parent))
            self.stirred = True
        self._joined.update((job.ns, job.flow) for job in jobs if job.flow is not None)

    # -- flows ----------------------------------------------------------------------------------------------------
    def _count(self, job: Job, old: int | None, new: int | None) -> None:
        assert job.flow is not None
        change = self._flows.setdefault((job.ns, job.flow), [job.created_at, None, *[0] * 8])
        change[0] = min(change[0], job.created_at)
        if job.finished_at is not None:
            change[1] = max(change[1] or 0, job.finished_at)
        if old is not None:
            change[2 + old - FIRST] -= 1
        if new is not None:
            change[2 + new - FIRST] += 1

    def _write_flows(self) -> None:
        for key, change in self._flows.items():
            self._db.execute(sql("rules", "count_flow"), (*key, *change))
        for key in self._joined:
            if self._db.execute(sql("rules", "free_followers"), key).rowcount:
                self.stirred = True
        self._flows.clear()
        self._joined.clear()


def _first(stage: int, anew: bool) -> int:
    return NEW if anew and stage in WAITS else stage


def mark(db: sqlite3.Connection, ns: int, ids: Iterable[str]) -> None:
    """Note that others wait for these jobs: their ends are not passed over."""
    pairs = [(ns, id) for id in ids]
    db.executemany(sql("rules", "mark"), pairs)
    db.executemany(sql("rules", "mark_job"), pairs)


def forget_flows(db: sqlite3.Connection, flows: Iterable[tuple[int, str]]) -> None:
    """Forget flows that have no members left."""
    db.executemany(sql("rules", "forget_flow"), list(flows))
