"""What people do to steer: edit waiting jobs, pause queues, set their steps."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from ..._record import JobRecord
from ..._steering import Edit, edited, may_edit, pause_end, refuse_bad_edit, step_of
from ..._store import Changed
from . import ranks, records
from .connection import Connection
from .counts import Counts, all_counted
from .queries import sql
from .states import NUMBER

#: What stands beside a job's own row.
_DETAILS = ("scheduled_at", "due_at", "expires_at", "options", "tags", "meta", "reason")


class Steering(Connection):
    """The verbs that change waiting jobs and queues."""

    # -- jobs ---------------------------------------------------------------------------------------------------
    def edit(self, ids: Sequence[str], edit: Edit, *, dry: bool = False) -> Changed:
        """Change waiting jobs."""
        refuse_bad_edit(ids, edit)
        if dry:
            return self._read(lambda db: _answer(self._meant(db, ids)))
        return self._write(self._edit, ids, edit)

    def _meant(self, db: sqlite3.Connection, ids: Sequence[str]) -> list[JobRecord]:
        return records.by_id(db, self._ns, json.dumps(list(dict.fromkeys(ids))))

    def _edit(self, db: sqlite3.Connection, now: int, ids: Sequence[str], edit: Edit) -> Changed:
        jobs = self._meant(db, ids)
        counts = Counts()
        if edit.queue is not None:
            counts.catch_up(db)  # by the queues in which they were stored
        for job in filter(may_edit, jobs):
            self._edit_one(db, now, job, edit, counts)
        self._write_counts(db, counts)
        if edit.queue is not None:
            all_counted(db)
        return _answer(jobs)

    def _edit_one(self, db: sqlite3.Connection, now: int, job: JobRecord, edit: Edit, counts: Counts) -> None:
        left = self._names.kind(db, self._ns, job.queue, job.task)[1]
        kind, queue = self._names.kind(db, self._ns, edit.queue or job.queue, job.task)
        after = edited(job, edit, now, (ranks.step_of(db, left), ranks.step_of(db, queue)))
        values = {name: getattr(after, name) for name in ("seq", "priority", "rank", "payload")}
        values.update(kind=kind, line=self._names.line(db, self._ns, after.line), state=NUMBER[after.state])
        db.execute(sql("steering", "job"), values)
        if any(getattr(job, name) != getattr(after, name) for name in _DETAILS):
            values = {name: getattr(after, name) for name in ("seq", *_DETAILS)}
            db.execute(sql("steering", "details"), {**values, "ns": self._ns})
            db.execute(sql("steering", "has_details"), (job.seq,))
        counts.move(left, NUMBER[job.state], None)
        counts.move(queue, None, NUMBER[after.state])
        self._bring_rules_up(db, job, after, queue, counts)

    def _bring_rules_up(
        self, db: sqlite3.Connection, job: JobRecord, after: JobRecord, queue: int, counts: Counts
    ) -> None:
        if after.queue != job.queue or after.parked != job.parked:
            db.execute(sql("steering", "rules"), (queue, job.seq))
            counts.look_again(job.seq)
        counts.touch(job.seq)

    # -- queues -------------------------------------------------------------------------------------------------
    def pause(
        self, queue: str, *, by: str = "", reason: str = "", seconds: float | None = None, until: int | None = None
    ) -> bool:
        """Stop claims from a queue; jobs are not touched. Return False if it was paused already."""

        def step(db: sqlite3.Connection, now: int) -> bool:
            values = {"now": now, "by": by or None, "reason": reason or None, "until": pause_end(now, seconds, until)}
            line = self._names.line(db, self._ns, queue)
            was_open = bool(db.execute(sql("admit", "queue"), (line,)).fetchone()[1])
            db.execute(sql("steering", "pause"), {**values, "queue": line})
            self.freed = self.freed or was_open
            return was_open

        return self._write(step)

    def resume(self, queue: str) -> bool:
        """Undo ``pause``. Return False if it was not paused."""

        def step(db: sqlite3.Connection, now: int) -> bool:
            resumed = db.execute(sql("steering", "resume"), {"ns": self._ns, "name": queue}).rowcount > 0
            self.freed = self.freed or resumed
            return resumed

        return self._write(step)

    def set_step(self, queue: str, step: int | None) -> bool:
        """Say after how long of waiting a job has overtaken one of a higher priority."""
        return self._write(self._set_step, queue, step_of(step))

    def _set_step(self, db: sqlite3.Connection, now: int, queue: str, step: int) -> bool:
        line = self._names.known_line(db, self._ns, queue)
        known = step_of(None) if line is None else ranks.step_of(db, line)
        if known != step:
            line = self._names.line(db, self._ns, queue)
            db.execute(sql("steering", "set_step"), {"queue": line, "step": step})
        return known != step


def _answer(jobs: Sequence[JobRecord]) -> Changed:
    return Changed(
        done=tuple(job.id for job in jobs if may_edit(job)),
        refused=tuple(job.id for job in jobs if not may_edit(job)),
    )
