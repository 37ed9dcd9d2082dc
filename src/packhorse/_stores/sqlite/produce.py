"""Storing new jobs."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from ..._record import Enqueued, NewJob, rank
from ...errors import IdConflict
from . import batches, closed
from .connection import Connection
from .counts import STRETCH, Counts, all_counted
from .failures import BUSY, code_of, is_the_stores, translated
from .queries import sql
from .states import NAMES, QUEUED, SCHEDULED, micros

#: Values of ``odd``: what a claim has to know before it looks at the details.
ODD_STILL, ODD_LIVE, ODD_SOLO = 1, 2, 3
#: Values a job in ``enqueue.jobs``.
_WIDTH = 9

_JOB, _ALONE = sql("enqueue", "job"), sql("enqueue", "alone")


class Producing(Connection):
    """The producer's verb."""

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs, all or none, in the order given."""
        if not jobs:
            return []
        try:
            alone = self._insert_alone(jobs[0]) if len(jobs) == 1 else None
            return self._write(self._insert, jobs) if alone is None else [alone]
        except sqlite3.IntegrityError:
            # An id is known already. Rare, so only then is it asked which.
            return self._write(self._insert_new, jobs)

    def _insert_alone(self, job: NewJob) -> Enqueued | None:
        """Store one plain job by a single statement, which is a transaction by itself. None: it takes a longer way."""
        with self.gate:
            db = self._live()
            if db.in_transaction or not self._names.knows(self._ns, job.queue, job.task):
                return None
            now = self.now()
            row, detail, answer = self._row(db, now, job)
            seq = None if detail is not None else self._execute_alone(db, (self._ns, now, *row, closed.key(self._ns)))
            if seq is None:
                return None
            if not seq % STRETCH:
                self._write(_count_stretch)
            self._checkpoints.after_commit()
            return answer

    def _execute_alone(self, db: sqlite3.Connection, values: tuple[Any, ...]) -> int | None:
        """Return the number of the job; None if others have the lock, or the namespace is closed."""
        try:
            cursor = db.execute(_ALONE, values)
        except sqlite3.Error as error:
            if code_of(error) in BUSY:
                return None
            if is_the_stores(error):
                raise translated(error, self._path) from error
            raise
        return cursor.lastrowid if cursor.rowcount else None

    def _insert_new(self, db: sqlite3.Connection, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
        known = self._known(db, [job.id for job in jobs])
        first: dict[str, NewJob] = {}
        for job in jobs:
            content = known[job.id][1] if job.id in known else _content(first.setdefault(job.id, job))
            if content != _content(job):
                raise _conflict(job.id)
        new = self._insert(db, now, list(first.values())) if first else []
        answers = {answer.id: answer for answer in new}
        found = []
        for job in jobs:
            existing = known[job.id][0] if job.id in known else answers[job.id]
            found.append(existing)
            answers[job.id] = existing._replace(existing=True)
        return found

    def _known(self, db: sqlite3.Connection, ids: list[str]) -> dict[str, tuple[Enqueued, tuple[str, str, str]]]:
        rows = db.execute(sql("enqueue", "known"), {"ns": self._ns, "ids": json.dumps(ids)})
        return {
            id: (Enqueued(id, NAMES[state], created, scheduled, True), (task, queue, payload))
            for id, state, created, scheduled, task, queue, payload in rows.fetchall()
        }

    def _insert(self, db: sqlite3.Connection, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
        closed.refuse(db, self._ns, self)
        if len(jobs) == 1:
            return [self._insert_one(db, now, jobs[0])]
        values: list[Any] = []
        details, answers = [], []
        for place, job in enumerate(jobs):
            row, detail, answer = self._row(db, now, job)
            values += row
            answers.append(answer)
            if detail is not None:
                details.append((place, detail))
        _, last = batches.write(db, "enqueue", "jobs", (self._ns, now), values, _WIDTH)
        # The rows of one insert are numbered one after the other, in order.
        first = last - len(jobs) + 1
        self._insert_details(db, [(first + place, *detail) for place, detail in details])
        _count(db, first, last, zip(values[2::_WIDTH], values[3::_WIDTH], strict=True))
        return answers

    def _insert_one(self, db: sqlite3.Connection, now: int, job: NewJob) -> Enqueued:
        row, detail, answer = self._row(db, now, job)
        seq = db.execute(_JOB, (self._ns, now, *row)).lastrowid
        if detail is not None:
            self._insert_details(db, [(seq, *detail)])
        assert seq is not None
        if row[3] != QUEUED or not seq % STRETCH:
            _count(db, seq, seq, [row[2:4]])
        return answer

    def _insert_details(self, db: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            batches.write(db, "enqueue", "details", (self._ns,), list(chain.from_iterable(rows)), len(rows[0]))

    def _row(
        self, db: sqlite3.Connection, now: int, job: NewJob
    ) -> tuple[tuple[Any, ...], tuple[Any, ...] | None, Enqueued]:
        """Return what is stored of a job, in its own row and beside it, and the answer for it."""
        kind, line = self._names.kind(db, self._ns, job.queue, job.task)
        later = _later(job, now) if job.delay or job.at is not None else None
        expires = _expires(job, now)
        state = SCHEDULED if later else QUEUED
        odd = _odd(job, later, expires)
        row = (job.id, kind, line, state, odd, job.priority, rank(later or now, job.priority), job.by, job.payload)
        detail = (later, expires, job.crash_fails, job.parent, job.options, job.tags, job.meta) if odd else None
        return row, detail, Enqueued(job.id, NAMES[state], now, later, False)


def _count(db: sqlite3.Connection, first: int, last: int, jobs: Iterable[tuple[int, int]]) -> None:
    """Count new jobs by queue and state, with those before them; or leave it to others while they are few and queued."""
    numbers = Counter(jobs)
    if (first - 1) // STRETCH == last // STRETCH and all(state == QUEUED for _, state in numbers):
        return
    counts = Counts()
    counts.catch_up(db, first)
    for (queue, state), number in numbers.items():
        counts.move(queue, None, state, number)
    counts.write(db)
    all_counted(db)


def _count_stretch(db: sqlite3.Connection, now: int) -> None:
    counts = Counts()
    counts.catch_up(db)
    counts.write(db)
    all_counted(db)


def _later(job: NewJob, now: int) -> int | None:
    """Return when the job is ready, None if it is so now."""
    ready = job.at if job.at is not None else now + micros(job.delay)
    return ready if ready > now else None


def _expires(job: NewJob, now: int) -> int | None:
    if job.expires_at is None and job.expires is not None:
        return now + micros(job.expires)
    return job.expires_at


def _odd(job: NewJob, later: int | None, expires: int | None) -> int:
    if job.crash_fails:
        return ODD_SOLO
    if expires is not None:
        return ODD_LIVE
    return ODD_STILL if later or job.options or job.tags or job.meta or job.parent else 0


def _content(job: NewJob) -> tuple[str, str, str]:
    return job.task, job.queue, job.payload


def _conflict(job_id: str) -> IdConflict:
    return IdConflict(
        f"Job {job_id} is stored already with another task, queue or arguments; nothing was stored. "
        "Enqueue it under an id of its own.",
        job_id,
    )
