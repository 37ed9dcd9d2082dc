"""Schedules: what is put, how far each has come, and what became of its ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from ..._record import Enqueued, NewJob
from ..._schedule_record import RUNS_KEPT, Book, Fired, RunOutcome, RunRecord, ScheduleRecord
from . import _enqueue, _moving
from ._tables import Tables


class Scheduling:
    """The verbs of schedules."""

    _call: Callable[[], AbstractContextManager[tuple[Tables, int]]]

    def schedules(self, known: int = -1) -> Book:
        """Return the schedules by name."""
        with self._call() as (tables, now):
            shelf = tables.shelf
            if shelf.version == known:
                return Book(now, known, None, shelf.builds)
            found = sorted(shelf.schedules.values(), key=lambda schedule: schedule.name)
            return Book(now, shelf.version, found, shelf.builds)

    def put_schedules(
        self, version: int, schedules: Sequence[ScheduleRecord], *, gone: Sequence[str] = (), builds: str | None = None
    ) -> bool:
        """Store schedules if the book still has this version."""
        with self._call() as (tables, _):
            shelf = tables.shelf
            if shelf.version != version:
                return False
            shelf.version += 1
            shelf.builds = shelf.builds if builds is None else builds
            for id in gone:
                shelf.schedules.pop(id, None)
                shelf.runs.pop(id, None)
            for new in schedules:
                watermark = furthest(shelf.schedules.get(new.id, new), new)
                shelf.schedules[new.id] = new._replace(watermark=watermark, revision=shelf.version)
            tables.version += 1
            return True

    def fire(
        self,
        schedule: ScheduleRecord,
        watermark: int,
        job: NewJob | None,
        outcome: RunOutcome = "fired",
        missed: int = 0,
    ) -> Fired:
        """Deal with a tick, once."""
        with self._call() as (tables, now):
            shelf = tables.shelf
            stored = shelf.schedules.get(schedule.id)
            if stored is None or not is_known(stored, schedule) or _moving.rests(tables):
                return Fired(False, None)
            if is_dealt_with(stored, schedule, watermark):
                return Fired(False, stored.watermark)
            made = _enqueue.enqueue(tables, now, [job])[0] if job is not None else None
            if made is not None and job is not None and is_another(made, job):
                outcome = "overlap"
            shelf.schedules[stored.id] = stored._replace(watermark=watermark)
            runs = shelf.runs.setdefault(stored.id, [])
            runs.append(RunRecord(watermark, now, outcome, made and made.id, missed))
            del runs[:-RUNS_KEPT]
            return Fired(True, watermark, made and made.id)

    def runs(self, schedule: str, limit: int = 20) -> list[RunRecord]:
        """Return the last runs, newest first."""
        with self._call() as (tables, _):
            return tables.shelf.runs.get(schedule, [])[::-1][:limit]


def furthest(old: ScheduleRecord, new: ScheduleRecord) -> int:
    """Return how far a schedule has come that is put: never less far than it was."""
    return max(old.watermark, new.watermark)


def is_known(stored: ScheduleRecord, read: ScheduleRecord) -> bool:
    """Tell whether whoever fires has read the schedule as it is."""
    return stored.revision == read.revision


def is_dealt_with(stored: ScheduleRecord, read: ScheduleRecord, watermark: int) -> bool:
    """Tell whether somebody else has come further meanwhile, or as far."""
    return stored.watermark != read.watermark or watermark <= stored.watermark


def is_another(made: Enqueued, job: NewJob) -> bool:
    """Tell whether another job was in the way of this one."""
    return made.id != job.id
