"""What people do with jobs: cancel, requeue, delete."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Literal

from ..._record import FINAL, STATES, WAITING, JobRecord, State
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from . import records
from .counts import Counts
from .produce import ODD_LIVE, ODD_SOLO
from .queries import sql
from .ranks import ranked
from .search import Searching
from .states import BLOCKED, CANCELLED, NUMBER, QUEUED, SCHEDULED, micros
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
            counts.touch(job.seq)
        self._write_counts(db, counts)
        return answer

    def _queue_of(self, db: sqlite3.Connection, job: JobRecord) -> int:
        return self._names.kind(db, self._ns, job.queue, job.task)[1]

    # -- requeue ------------------------------------------------------------------------------------------------
    def requeue(self, which: JobFilter, *, delay: float = 0.0, by: str = "", dry: bool = False) -> Changed:
        """Make ended jobs run again, and scheduled or retrying ones run now (or after ``delay``)."""
        _refuse_empty(which, "requeue")
        if dry:
            return self._read(lambda db: self._movable(db, which, _REQUEUED, self._keys(db, self.now()))[1])
        return self._write(self._requeue, which, delay)

    def _movable(
        self, db: sqlite3.Connection, which: JobFilter, states: frozenset[State], sieve: Sieve
    ) -> tuple[list[JobRecord], Changed]:
        movable = self.choose(db, which, _in_order(states), BATCH + 1, sieve)
        others = self.choose(db, which, _in_order(frozenset(STATES) - states), BATCH)
        refused = sorted((*others, *sieve.refused), key=attrgetter("seq"))[:BATCH]
        return movable[:BATCH], Changed(done=_ids(movable[:BATCH]), refused=_ids(refused), more=len(movable) > BATCH)

    def _requeue(self, db: sqlite3.Connection, now: int, which: JobFilter, delay: float) -> Changed:
        jobs, answer = self._movable(db, which, _REQUEUED, self._keys(db, now))
        counts = Counts()
        due_at = now + micros(delay) if delay > 0 else None
        for job in jobs:
            self._requeue_one(db, job, due_at, due_at or now, counts)
        again = [job for job in jobs if job.state in FINAL]
        while again:
            again = self._bring_back(db, now, again, counts)
        self._write_counts(db, counts)
        return answer

    def _bring_back(
        self, db: sqlite3.Connection, now: int, parents: Sequence[JobRecord], counts: Counts
    ) -> list[JobRecord]:
        """Make those run again that gave up because of these jobs; return them."""
        behind = sql("rules", "those_behind")
        seqs = {row[0] for parent in parents for row in db.execute(behind, (self._ns, parent.id)).fetchall()}
        gave_up = records.by_seq(db, json.dumps(sorted(seqs))) if seqs else []
        back = self._keys(db, now)(gave_up)
        for job in back:
            self._requeue_one(db, job, None, now, counts)
        return back

    def _keys(self, db: sqlite3.Connection, now: int) -> Sieve:
        """Return a sieve that keeps back jobs whose unique key another one holds; of equal ones the first passes."""
        taken: set[str] = set()

        def is_free(job: JobRecord) -> bool:
            if not _wants_key(job) or job.unique_key is None:
                return True
            values = {"ns": self._ns, "key": job.unique_key, "now": now}
            holder = db.execute(sql("rules", "held_by"), values).fetchone()
            if job.unique_key in taken or (holder is not None and holder[0] != job.seq):
                return False
            taken.add(job.unique_key)
            return True

        return Sieve(lambda jobs: list(filter(is_free, jobs)))

    def _take_key(self, db: sqlite3.Connection, job: JobRecord) -> None:
        """Let an ended job begin anew: with its key, if it had one for as long as it lives."""
        if _wants_key(job):
            db.execute(sql("rules", "let_go_of"), (self._ns, job.unique_key))
        db.execute(sql("rules", "renew"), (job.seq,))

    def _requeue_one(
        self, db: sqlite3.Connection, job: JobRecord, due_at: int | None, ready: int, counts: Counts
    ) -> None:
        queue = self._queue_of(db, job)
        state = SCHEDULED if due_at is not None else BLOCKED if job.has_rules else QUEUED
        counts.move(queue, NUMBER[job.state], state)
        counts.touch(job.seq)
        values: dict[str, Any] = {
            "id": job.id,
            "seq": job.seq,
            "ns": self._ns,
            "line": queue,
            "state": state,
            "due_at": due_at,
            "rank": ranked(db, queue, ready, job.priority),
            "odd": ODD_SOLO if job.crash_fails or job.holds or (job.suspect and job.state not in FINAL) else ODD_LIVE,
        }
        if job.state == "succeeded":
            db.execute(sql("operate", "first_success"), values)
        how = "renew" if job.state in FINAL else "hasten"
        db.execute(sql("operate", how), values)
        db.execute(sql("operate", f"{how}_details"), values)
        if job.state in FINAL:
            self._take_key(db, job)
        if job.result is not None:
            db.execute(sql("delete", "results"), {"seqs": json.dumps([job.seq])})

    # -- delete -------------------------------------------------------------------------------------------------
    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs. Running ones are refused, and those that others are to follow."""
        _refuse_empty(which, "delete")
        states: frozenset[State] = FINAL | WAITING
        if dry:
            return self._read(lambda db: self._movable(db, which, states, self._named(db))[1])

        def step(db: sqlite3.Connection, now: int) -> Changed:
            jobs, answer = self._movable(db, which, states, self._named(db))
            counts = Counts()
            for job in jobs:
                counts.move(self._queue_of(db, job), NUMBER[job.state], None)
            delete_jobs(db, [job.seq for job in jobs], counts)
            self._write_counts(db, counts)
            return answer

        return self._write(step)

    def _named(self, db: sqlite3.Connection) -> Sieve:
        """Return a sieve that keeps back what a job that has not ended names as its parent."""

        def passing(jobs: list[JobRecord]) -> list[JobRecord]:
            values = {"ns": self._ns, "ids": json.dumps([job.id for job in jobs])}
            named = {row[0] for row in db.execute(sql("rules", "named"), values).fetchall()}
            return [job for job in jobs if job.id not in named]

        return Sieve(passing)


class Sieve:
    """Says which jobs a verb may change, and remembers those that it may not."""

    def __init__(self, passing: Callable[[list[JobRecord]], list[JobRecord]]) -> None:
        self._passing = passing
        self.refused: list[JobRecord] = []

    def __call__(self, jobs: list[JobRecord]) -> list[JobRecord]:
        """Return those that pass."""
        found = self._passing(jobs)
        passed = {job.seq for job in found}
        self.refused += [job for job in jobs if job.seq not in passed]
        return found


def _wants_key(job: JobRecord) -> bool:
    """Tell whether a job takes a unique key when it is requeued."""
    return job.state in FINAL and job.unique_key is not None and job.unique_until != "time"


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
