"""Changing waiting jobs, and the switches of queues."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..._record import DEFAULT_STEP, JobRecord
from ..._steering import Edit, edited, pause_end, refuse_bad_edit, step_of
from ..._store import Changed
from ...errors import StoreUnavailable
from .look import Looking
from .records import rest_of
from .states import micros

#: So often an edit is merged anew with what somebody else wrote in between.
_TRIES = 20
#: No job's options or meta: a job that was not there when they were read is read again.
_UNKNOWN = ("?", "", "?", "")


class Steering(Looking):
    """The verbs by which people steer."""

    def edit(self, ids: Sequence[str], edit: Edit, *, dry: bool = False) -> Changed:
        """Change waiting jobs, as ``_steering.edited`` says; running and ended ones are refused."""
        refuse_bad_edit(ids, edit)
        words, different = _words(edit), list(dict.fromkeys(ids))
        for _ in range(_TRIES):
            each = self._merged(different, edit)
            how, *answer = self._run("edit", "dry" if dry else "", words, len(each[0]) if each else 1, *sum(each, ()))
            if how != "again":
                done, refused, stirred = answer
                self._did(how, stirred)
                return Changed(done=tuple(done), refused=tuple(refused))
        raise StoreUnavailable(
            f"{self.url}: the options or the meta of {different[0]}, or of others with it, change faster than they can be merged."
        )

    def _merged(self, ids: Sequence[str], edit: Edit) -> list[tuple[str, ...]]:
        """Return what the script takes of each job: its id; where they are merged, its options and meta as well."""
        if edit.options is None and edit.meta is None:
            return [(id,) for id in ids]
        part = Edit(options=edit.options, meta=edit.meta)
        found = {job.id: _before_and_after(job, part) for job in self._records(self._run("get", *ids))}
        return [(id, *found.get(id, _UNKNOWN)) for id in ids]

    # -- switches of queues -------------------------------------------------------------------------------------
    def pause(
        self, queue: str, *, by: str = "", reason: str = "", seconds: float | None = None, until: int | None = None
    ) -> bool:
        """Stop claims from a queue; jobs are not touched. Return False if it was paused already."""
        span, end = "" if seconds is None else micros(seconds), "" if until is None else until
        done, *now = self._run("pause", queue, by, reason, span, end)
        if now:
            pause_end(int(now[0]), seconds, until)  # says what is wrong
        self._did(1, done)
        return bool(done)

    def resume(self, queue: str) -> bool:
        """Undo ``pause``. Return False if it was not paused."""
        done = self._run("resume", queue)
        self._did(done, done)
        return bool(done)

    def set_step(self, queue: str, step: int | None) -> bool:
        """Say how much waiting outweighs one step of priority in a queue. Return False if it was so already."""
        wanted = step_of(step)
        done = self._run("set_step", queue, "" if wanted == DEFAULT_STEP else wanted)
        self._did(done)
        return bool(done)


def _before_and_after(job: JobRecord, edit: Edit) -> tuple[str, ...]:
    """Return a job's options, and what becomes of them; the same of its meta."""
    after = edited(job, edit, 0, (DEFAULT_STEP, DEFAULT_STEP))
    return (job.options or "", after.options or "", job.meta or "", after.meta or "")


def _words(edit: Edit) -> str:
    """Return what becomes of all jobs alike, as the script takes it."""
    rest_of(edit.payload or "0", None, edit.options, edit.tags, edit.meta, None)  # raises where it cannot be kept so
    parts: dict[str, Any] = {
        "queue": edit.queue,
        "priority": edit.priority,
        "delay": None if edit.delay is None else micros(edit.delay),
        "at": None if edit.at is None else str(edit.at),
        "expires": None if edit.expires is None else micros(edit.expires),
        "expires_at": None if edit.expires_at is None else str(edit.expires_at),
        "tags": None if edit.tags is None else edit.tags if json.loads(edit.tags) else "",
        "payload": edit.payload,
    }
    return json.dumps({name: part for name, part in parts.items() if part is not None})
