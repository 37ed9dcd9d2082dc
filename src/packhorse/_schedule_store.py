"""The part of the store contract that is about schedules: a book of them, and firing each tick once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ._record import NewJob
from ._schedule_record import Book, Fired, RunOutcome, RunRecord, ScheduleRecord


class Schedules(Protocol):
    """The verbs of schedules."""

    def schedules(self, known: int = -1) -> Book:
        """Return the schedules of this namespace by name. Cheap where ``known`` is the version there still is: then none is
        read. Watermarks move without a new version."""

    def put_schedules(
        self, version: int, schedules: Sequence[ScheduleRecord], *, gone: Sequence[str] = (), builds: str | None = None
    ) -> bool:
        """Store schedules by id, new or changed, and forget those whose ids are ``gone``, with their runs; all, and only if
        the book still has this version; else return False. The book's version becomes one more, and the ``revision`` of what
        was put is that number. A watermark never goes back. ``builds`` replaces the book's, None leaves it.

        ``_owning`` decides what is put; that no two names are the same is its business."""

    def fire(
        self,
        schedule: ScheduleRecord,
        watermark: int,
        job: NewJob | None,
        outcome: RunOutcome = "fired",
        missed: int = 0,
    ) -> Fired:
        """Deal with a tick, once: move the watermark of a schedule forwards and enqueue the tick's job (None: none), and record
        the run, all or nothing.

        Only if revision and watermark are those of ``schedule`` as it was read; else nothing is done and the present watermark
        is answered, None if the schedule was changed or is gone. A ``job`` whose unique key another one holds makes no second
        one: the outcome on record is "overlap". The tick on record is ``watermark``; the last ``RUNS_KEPT`` runs are kept.
        In a closed namespace it rests: nothing is done, the answer is that of a change."""

    def runs(self, schedule: str, limit: int = 20) -> list[RunRecord]:
        """Return the last runs of a schedule (by its id), newest first."""
