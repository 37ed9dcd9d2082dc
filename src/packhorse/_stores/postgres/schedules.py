"""Schedules: the book of them, and firing each tick once."""

from __future__ import annotations

from collections.abc import Sequence

from ..._record import NewJob
from ..._schedule_record import RUNS_KEPT, Book, Fired, RunOutcome, RunRecord, ScheduleRecord
from ...errors import StoreMoved
from .link import Link
from .produce import Producing


class Scheduling(Producing):
    """The verbs of schedules."""

    # -- the book -----------------------------------------------------------------------------------------------
    def schedules(self, known: int = -1) -> Book:
        """Return the schedules by name."""
        # The version is read first: whatever changes in between is seen again by whoever knows it.
        ((version, builds, now),) = self._read("schedules", "version", self._ns_of(), self._time())
        if version == known:
            return Book(now, version, None, builds)
        rows = self._read("schedules", "all", self._ns)
        return Book(now, version, [ScheduleRecord(*row) for row in rows], builds)

    def _ns_of(self) -> int:
        """Return the number of the namespace, looked up if the store was opened before it had tables."""
        if not self._ns:
            self._attempted(self._require)
        return self._ns

    def put_schedules(
        self, version: int, schedules: Sequence[ScheduleRecord], *, gone: Sequence[str] = (), builds: str | None = None
    ) -> bool:
        """Store schedules if the book still has this version."""
        return self._write(self._put_schedules, version, schedules, list(gone), builds)

    def _put_schedules(
        self,
        link: Link,
        now: int,
        version: int,
        schedules: Sequence[ScheduleRecord],
        gone: list[str],
        builds: str | None,
    ) -> bool:
        if self._rows(link, "schedules", "open", self._ns)[0][0] != version:
            return False
        revision = version + 1
        self._rows(link, "schedules", "book", self._ns, revision, builds)
        if gone:
            self._rows(link, "schedules", "forget_runs", self._ns, gone)
            self._rows(link, "schedules", "forget", self._ns, gone)
        for schedule in schedules:
            self._rows(link, "schedules", "put", self._ns, *schedule._replace(revision=revision))
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
        naming = None if job is None else lambda link: self._names.kind(link, self._ns, job.queue, job.task)
        try:
            fired = self._write(self._fire, schedule, watermark, job, outcome, missed, names=naming)
        except StoreMoved:  # closed in this very moment
            return Fired(False, None)
        if fired.moved and job is not None:
            self._mine += 1
            self._tell(1)
        return fired

    def _fire(
        self,
        link: Link,
        now: int,
        schedule: ScheduleRecord,
        watermark: int,
        job: NewJob | None,
        outcome: RunOutcome,
        missed: int,
    ) -> Fired:
        rows = self._rows(link, "schedules", "one", self._ns, schedule.id)
        closed = self._rows(link, "enqueue", "closed", self._ns)[0][0]
        if not rows or rows[0][1] != schedule.revision or closed is not None:
            return Fired(False, None)
        number, _, stands = rows[0]
        if stands != schedule.watermark or watermark <= stands:
            return Fired(False, stands)
        made = self._enqueue_ruled(link, now, [job])[0].id if job is not None else None
        if job is not None and made != job.id:
            outcome = "overlap"
        self._rows(link, "schedules", "move", number, watermark)
        self._rows(link, "schedules", "run", number, watermark, now, outcome, made, missed)
        self._rows(link, "schedules", "trim", number, RUNS_KEPT)
        return Fired(True, watermark, made)

    def runs(self, schedule: str, limit: int = 20) -> list[RunRecord]:
        """Return the last runs, newest first."""
        rows = self._read("schedules", "runs", self._ns_of(), schedule, limit)
        return [RunRecord(*row) for row in rows]
