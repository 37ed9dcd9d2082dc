"""What people do to steer: edit waiting jobs, pause queues, set their steps."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..._steering import Edit, edited, may_edit, pause_end, refuse_bad_edit, step_of
from ..._store import Changed
from .link import Link
from .records import Row
from .rows import Rows
from .words import encoded


class Steering(Rows):
    """The verbs that change waiting jobs and queues."""

    # -- jobs ---------------------------------------------------------------------------------------------------
    def edit(self, ids: Sequence[str], edit: Edit, *, dry: bool = False) -> Changed:
        """Change waiting jobs."""
        refuse_bad_edit(ids, edit)
        wanted, queue = list(dict.fromkeys(ids)), edit.queue
        naming = None if queue is None or dry else lambda link: self._name_kinds(link, wanted, queue)
        return self._write(self._edit, wanted, edit, dry, names=naming)

    def _name_kinds(self, link: Link, ids: list[str], queue: str) -> None:
        """See that there are numbers for the jobs' tasks on a queue."""
        for (task,) in self._rows(link, "steer", "tasks", self._ns, ids):
            self._names.kind(link, self._ns, queue, task)

    def _edit(self, link: Link, now: int, ids: list[str], edit: Edit, dry: bool) -> Changed:
        seqs = [row[0] for row in self._rows(link, "search", "by_id", self._ns, ids)]
        rows = {row.job.id: row for row in (self._whole(link, seqs) if dry else self._locked(link, seqs))}
        done = tuple(id for id in ids if id in rows and may_edit(rows[id].job))
        if done and not dry:
            step = None if edit.queue is None else self._step_of(link, edit.queue)
            self._change(link, [(rows[id], self._edited(link, rows[id], edit, now, step)) for id in done])
            self._news(link)
        return Changed(done, refused=tuple(id for id in ids if id in rows and id not in done))

    def _step_of(self, link: Link, queue: str) -> int:
        return int(self._rows(link, "steer", "step", self._names.line(link, self._ns, queue))[0][0])

    def _edited(self, link: Link, row: Row, edit: Edit, now: int, step: int | None) -> Row:
        """Return a job as it is to be; ``step`` is that of the queue it goes to."""
        job = edited(row.job, edit, now, (row.step, row.step if step is None else step))
        kind, queue = row.kind, row.queue
        if job.queue != row.job.queue:
            kind, queue = self._names.kind(link, self._ns, job.queue, job.task)
        return row._replace(job=job, kind=kind, queue=queue, line=row.line if job.line == row.job.line else queue)

    def _change(self, link: Link, changes: Sequence[tuple[Row, Row]]) -> None:
        rewritten = [_rewritten(old, new) for old, new in changes if _kept(old) != _kept(new)]
        if rewritten:
            self._rows(link, "steer", "rewrite", json.dumps(rewritten))
        self._put(link, changes)

    # -- queues -------------------------------------------------------------------------------------------------
    def pause(
        self, queue: str, *, by: str = "", reason: str = "", seconds: float | None = None, until: int | None = None
    ) -> bool:
        """Stop claims from a queue; jobs are not touched. Return False if it was paused already."""

        def step(link: Link, now: int) -> bool:
            end = pause_end(now, seconds, until)
            line = self._names.line(link, self._ns, queue)
            words = (encoded(by) or None, encoded(reason) or None)
            ((since,),) = self._rows(link, "steer", "pause", line, now, *words, end)
            self._rows(link, "steer", "known", line)
            return since is None

        done = self._write(step, names=lambda link: self._names.line(link, self._ns, queue))
        self.freed = True
        return done

    def resume(self, queue: str) -> bool:
        """Undo ``pause``. Return False if it was not paused."""

        def step(link: Link, now: int) -> bool:
            done = self._rows(link, "steer", "resume", self._ns, queue)
            self._news(link)
            return bool(done)

        self.freed = True
        return self._write(step)

    def set_step(self, queue: str, step: int | None) -> bool:
        """Say after how long of waiting a job has overtaken one of a higher priority."""
        wanted = step_of(step)
        return self._write(
            lambda link, now: self._set_step(link, queue, wanted),
            names=lambda link: self._names.line(link, self._ns, queue),
        )

    def _set_step(self, link: Link, queue: str, step: int) -> bool:
        line = self._names.line(link, self._ns, queue)
        done = self._rows(link, "steer", "set_step", line, step)
        if done:
            self._rows(link, "steer", "known", line)
        return bool(done)


def _kept(row: Row) -> tuple[object, ...]:
    """Return what ``put`` does not write."""
    job = row.job
    ready = (row.line, job.rank, job.priority, job.expires_at) if job.state == "queued" else None
    return row.kind, job.options, job.tags, job.payload, ready


def _rewritten(old: Row, new: Row) -> dict[str, object]:
    job = new.job
    return {
        "seq": job.seq,
        "kind": new.kind,
        "options": job.options,
        "tags": job.tags,
        "payload": job.payload,
        "stays": job.state == old.job.state == "queued",
        "old_line": old.line,
        "old_rank": old.job.rank,
        "line": new.line,
        "rank": job.rank,
        "priority": job.priority,
        "expires_at": job.expires_at,
    }
