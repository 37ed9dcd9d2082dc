"""Schedules: the book of them, and firing each tick once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..._record import NewJob
from ..._schedule_record import RUNS_KEPT, Book, Fired, RunOutcome, RunRecord, ScheduleRecord
from . import closed
from .produce import Producing
from .queries import sql


class Scheduling(Producing):
    """The verbs of schedules."""

    # -- the book -----------------------------------------------------------------------------------------------
    def schedules(self, known: int = -1) -> Book:
        """Return the schedules by name."""
        return self._read(self._book, known)

    def _book(self, db: sqlite3.Connection, known: int) -> Book:
        version, builds = self._book_version(db)
        now = self.now()
        if version == known:
            return Book(now, version, None, builds)
        rows = db.execute(sql("schedules", "all"), (self._ns,)).fetchall()
        return Book(now, version, [ScheduleRecord(*row) for row in rows], builds)

    def _book_version(self, db: sqlite3.Connection) -> tuple[int, str]:
        row = db.execute(sql("schedules", "version"), (self._ns,)).fetchone()
        return row or (0, "{}")

    def put_schedules(
        self, version: int, schedules: Sequence[ScheduleRecord], *, gone: Sequence[str] = (), builds: str | None = None
    ) -> bool:
        """Store schedules if the book still has this version."""
        return self._write(self._put_schedules, version, schedules, gone, builds)

    def _put_schedules(
        self,
        db: sqlite3.Connection,
        now: int,
        version: int,
        schedules: Sequence[ScheduleRecord],
        gone: Sequence[str],
        builds: str | None,
    ) -> bool:
        if self._book_version(db)[0] != version:
            return False
        revision = version + 1
        db.execute(sql("schedules", "book"), {"ns": self._ns, "version": revision, "builds": builds})
        for id in gone:
            db.execute(sql("schedules", "forget_runs"), (self._ns, id))
            db.execute(sql("schedules", "forget"), (self._ns, id))
        rows = [(self._ns, *schedule._replace(revision=revision)) for schedule in schedules]
        db.executemany(sql("schedules", "put"), rows)
        return True

    # -- ticks --------------------------------------------------------------------------------------------------
    def fire(
        self,
        schedule: ScheduleRecord,
        watermark: int,
        job: NewJob | None,
        outcome: RunOutcome = "fired",
        missed: int = 0,
    ) -> Fired:
        """Deal with a tick, once."""
        return self._write(self._fire, schedule, watermark, job, outcome, missed)

    def _fire(
        self,
        db: sqlite3.Connection,
        now: int,
        schedule: ScheduleRecord,
        watermark: int,
        job: NewJob | None,
        outcome: RunOutcome,
        missed: int,
    ) -> Fired:
        row = db.execute(sql("schedules", "one"), (self._ns, schedule.id)).fetchone()
        if row is None or row[1] != schedule.revision or closed.target(db, self._ns) is not None:
            return Fired(False, None)
        number, _, stands = row
        if stands != schedule.watermark or watermark <= stands:
            return Fired(False, stands)
        made = self._insert_new(db, now, [job])[0].id if job is not None else None
        if job is not None and made != job.id:
            outcome = "overlap"
        db.execute(sql("schedules", "move"), (watermark, number))
        db.execute(sql("schedules", "run"), (number, watermark, now, outcome, made, missed))
        db.execute(sql("schedules", "trim"), {"n": number, "kept": RUNS_KEPT})
        return Fired(True, watermark, made)

    def runs(self, schedule: str, limit: int = 20) -> list[RunRecord]:
        """Return the last runs, newest first."""
        return self._read(self._runs, schedule, limit)

    def _runs(self, db: sqlite3.Connection, schedule: str, limit: int) -> list[RunRecord]:
        rows = db.execute(sql("schedules", "runs"), (self._ns, schedule, limit)).fetchall()
        return [RunRecord(*row) for row in rows]
