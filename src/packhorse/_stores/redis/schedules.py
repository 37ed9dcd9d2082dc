"""Schedules: the book of them, and firing each tick once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from ..._record import NewJob
from ..._schedule_record import RUNS_KEPT, Book, Fired, RunOutcome, RunRecord, ScheduleRecord
from .produce import Producing

_SEPARATOR = "\x1e"
_OUTCOMES: dict[str, RunOutcome] = {name: name for name in get_args(RunOutcome)}
#: What stands elsewhere than in the text of a schedule.
_APART = ("id", "watermark", "revision")


class Scheduling(Producing):
    """The verbs of schedules."""

    # -- the book -----------------------------------------------------------------------------------------------
    def schedules(self, known: int = -1) -> Book:
        """Return the schedules by name."""
        version, builds, now, found = self._run("schedules", known)
        if int(version) == known:
            return Book(int(now), known, None, builds)
        schedules = [_read(*found[place : place + 3]) for place in range(0, len(found), 3)]
        return Book(int(now), int(version), sorted(schedules, key=lambda schedule: schedule.name), builds)

    def put_schedules(
        self, version: int, schedules: Sequence[ScheduleRecord], *, gone: Sequence[str] = (), builds: str | None = None
    ) -> bool:
        """Store schedules if the book still has this version."""
        words: list[str | int] = [version, builds or "", len(gone), *gone]
        for schedule in schedules:
            words += (schedule.id, _text(schedule), schedule.watermark)
        put = bool(self._run("put_schedules", *words))
        self._did(int(put))
        self._wait_for_disk()
        return put

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
        own = (schedule.id, schedule.revision, schedule.watermark, watermark, outcome, missed, RUNS_KEPT)
        words = [*(self._arguments([job]) if job is not None else ()), *map(str, own)]
        how, *rest = self._run("fire", *words)
        self._wait_for_disk()
        if how == "fired":
            return Fired(True, watermark, self._took_in(job, *rest))
        if how == "stale":
            return Fired(False, int(rest[0]))
        if how == "changed":
            return Fired(False, None)
        self._refuse([how, *rest])
        raise AssertionError("unreachable")

    def _took_in(self, job: NewJob | None, made: str, answer: list[Any]) -> str | None:
        """Note what an enqueue has changed; return the job that was made, or stands in its place."""
        if job is not None:
            self._did(answer[0], answer[4])
        return made or None

    def runs(self, schedule: str, limit: int = 20) -> list[RunRecord]:
        """Return the last runs, newest first."""
        if limit <= 0:
            return []
        return [_run_of(text) for text in self._run("runs", schedule, limit)]


def _text(schedule: ScheduleRecord) -> str:
    return json.dumps(
        {name: value for name, value in schedule._asdict().items() if name not in _APART and value is not None}
    )


def _read(id: str, text: str, watermark: str) -> ScheduleRecord:
    revision, _, rest = text.partition(_SEPARATOR)
    return ScheduleRecord(id=id, watermark=int(watermark), revision=int(revision), **json.loads(rest))


def _run_of(text: str) -> RunRecord:
    tick, at, outcome, job, missed = text.split(_SEPARATOR)
    return RunRecord(int(tick), int(at), _OUTCOMES[outcome], job or None, int(missed))
