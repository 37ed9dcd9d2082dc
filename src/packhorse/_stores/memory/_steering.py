"""What people do to steer: edit waiting jobs, pause queues, set their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..._steering import Edit, edited, may_edit, pause_end, refuse_bad_edit, step_of
from ..._store import Changed
from ._tables import Switches, Tables


def edit(tables: Tables, now: int, ids: Sequence[str], change: Edit, dry: bool) -> Changed:
    """Change waiting jobs."""
    refuse_bad_edit(ids, change)
    jobs = [tables.jobs[id] for id in dict.fromkeys(ids) if id in tables.jobs]
    for job in [] if dry else jobs:
        if may_edit(job):
            tables.put(edited(job, change, now, (tables.step(job.queue), tables.step(change.queue or job.queue))))
    return Changed(
        done=tuple(job.id for job in jobs if may_edit(job)),
        refused=tuple(job.id for job in jobs if not may_edit(job)),
    )


def pause(tables: Tables, now: int, queue: str, by: str, reason: str, seconds: float | None, until: int | None) -> bool:
    """Stop claims from a queue; tell whether they were not stopped before."""
    end = pause_end(now, seconds, until)
    old = tables.queues.get(queue, Switches())
    since = now if old.paused_at is None else old.paused_at
    tables.flip(queue, Switches(since, by or None, reason or None, end, old.step))
    return old.paused_at is None


def resume(tables: Tables, queue: str) -> bool:
    """Let claims go on."""
    if not tables.paused(queue):
        return False
    tables.flip(queue, Switches(step=tables.step(queue)))
    return True


def end_pauses(tables: Tables, now: int) -> None:
    """Resume the queues whose pause is over."""
    for queue, until in _ends(tables):
        if until <= now:
            resume(tables, queue)


def next_end(tables: Tables) -> int | None:
    """Return when the next pause is over."""
    return min((until for _, until in _ends(tables)), default=None)


def _ends(tables: Tables) -> list[tuple[str, int]]:
    return [(name, queue.paused_until) for name, queue in tables.queues.items() if queue.paused_until is not None]


def set_step(tables: Tables, queue: str, step: int | None) -> bool:
    """Set a queue's step; tell whether it was another."""
    wanted = step_of(step)
    if tables.step(queue) == wanted:
        return False
    tables.queues[queue] = replace(tables.queues.get(queue, Switches()), step=wanted)
    tables.version += 1
    return True
