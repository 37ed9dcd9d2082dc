"""What people do with jobs: cancel, requeue, delete."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from ..._record import FINAL, STATES, WAITING, JobRecord, State, rank
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from .counts import Counts
from .produce import ODD_LIVE, ODD_SOLO
from .queries import sql
from .search import Searching
from .states import CANCELLED, NUMBER, QUEUED, SCHEDULED, micros
from .upkeep import delete_jobs

_REQUEUED: frozenset[State] = FINAL | {"scheduled", "retrying"}


class Operating(Searching):
    """The verbs of people."""

    # -- cancel -------------------------------------------------------------------------------------------------
    def cancel(self, which: JobFilter, *, by: str = "", reason: str = "", dry: bool = False) -> Changed:
        """Cancel waiting jobs at once; ask for it where they run. An empty filter is refused."""
        _refuse_empty(which, "cancel")
        if dry:
            return self._read(lambda db: self._to_cancel(db, which)[1])
        return self._write(self._cancel, which, by or None, reason or "cancelled")

    def _to_cancel(self, db: sqlite3.Connection, which: JobFilter) -> tuple[list[JobRecord], Changed]:
        movable = self.choose(db, which, _in_order(WAITING | {"running"}), BATCH + 1)
        jobs = movable[:BATCH]
        done = _ids(job for job in jobs if job.state != "running")
        asked = _ids(job for job in jobs if job.state == "running")
        refused = _ids(self.choose(db, which, _in_order(FINAL), BATCH))
        return jobs, Changed(done, asked, refused, len(movable) > BATCH)

    def _cancel(self, db: sqlite3.Connection, now: int, which: JobFilter, by: str | None, reason: str) -> Changed:
        jobs, answer = self._to_cancel(db, which)
        counts = Counts()
        for job in jobs:
            values = {"seq": job.seq, "ns": self._ns, "now": now, "by": by, "reason": reason}
            if job.state == "running":
                db.execute(sql("operate", "ask"), values)
                db.execute(sql("operate", "make_live"), values)
                self._plain.clear()
                continue
            db.execute(sql("operate", "cancel"), values)
            db.execute(sql("operate", "cancel_details"), values)
            counts.move(self._queue_of(db, job), NUMBER[job.state], CANCELLED)
        counts.write(db)
        return answer

    def _queue_of(self, db: sqlite3.Connection, job: JobRecord) -> int:
        return self._names.kind(db, self._ns, job.queue, job.task)[1]

    # -- requeue ------------------------------------------------------------------------------------------------
    def requeue(self, which: JobFilter, *, delay: float = 0.0, by: str = "", dry: bool = False) -> Changed:
        """Make ended jobs run again, and scheduled or retrying ones run now (or after ``delay``)."""
        _refuse_empty(which, "requeue")
        if dry:
            return self._read(lambda db: self._movable(db, which, _REQUEUED)[1])
        return self._write(self._requeue, which, delay)

    def _movable(
        self, db: sqlite3.Connection, which: JobFilter, states: frozenset[State]
    ) -> tuple[list[JobRecord], Changed]:
        movable = self.choose(db, which, _in_order(states), BATCH + 1)
        refused = self.choose(db, which, _in_order(frozenset(STATES) - states), BATCH)
        return movable[:BATCH], Changed(done=_ids(movable[:BATCH]), refused=_ids(refused), more=len(movable) > BATCH)

    def _requeue(self, db: sqlite3.Connection, now: int, which: JobFilter, delay: float) -> Changed:
        jobs, answer = self._movable(db, which, _REQUEUED)
        counts = Counts()
        due_at = now + micros(delay) if delay > 0 else None
        for job in jobs:
            queue = self._queue_of(db, job)
            counts.move(queue, NUMBER[job.state], QUEUED if due_at is None else SCHEDULED)
            self._requeue_one(db, job, queue, due_at, due_at or now)
        counts.write(db)
        return answer

    def _requeue_one(self, db: sqlite3.Connection, job: JobRecord, queue: int, due_at: int | None, ready: int) -> None:
        values: dict[str, Any] = {
            "id": job.id,
            "seq": job.seq,
            "ns": self._ns,
            "line": queue,
            "state": QUEUED if due_at is None else SCHEDULED,
            "due_at": due_at,
            "rank": rank(ready, job.priority),
            "odd": ODD_SOLO if job.crash_fails or (job.suspect and job.state not in FINAL) else ODD_LIVE,
        }
        if job.state == "succeeded":
            db.execute(sql("operate", "first_success"), values)
        how = "renew" if job.state in FINAL else "hasten"
        db.execute(sql("operate", how), values)
        db.execute(sql("operate", f"{how}_details"), values)
        if job.result is not None:
            db.execute(sql("delete", "results"), {"seqs": json.dumps([job.seq])})

    # -- delete -------------------------------------------------------------------------------------------------
    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs. Running ones are refused. An empty filter is refused."""
        _refuse_empty(which, "delete")
        states: frozenset[State] = FINAL | WAITING
        if dry:
            return self._read(lambda db: self._movable(db, which, states)[1])

        def step(db: sqlite3.Connection, now: int) -> Changed:
            jobs, answer = self._movable(db, which, states)
            counts = Counts()
            for job in jobs:
                counts.move(self._queue_of(db, job), NUMBER[job.state], None)
            delete_jobs(db, [job.seq for job in jobs], counts)
            counts.write(db)
            return answer

        return self._write(step)


def _in_order(states: frozenset[State]) -> Sequence[State]:
    return [state for state in STATES if state in states]


def _ids(jobs: Iterable[JobRecord]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs)


def _refuse_empty(which: JobFilter, verb: Literal["cancel", "requeue", "delete"]) -> None:
    if which.empty:
        raise BadOption(
            f"{verb} was given no condition, which would mean every job; nothing was changed. "
            "Name ids, a queue, a state or another condition."
        )
