"""Storing jobs, and letting time pass over them: enqueue, promote, expire, prune."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice

from ..._record import FINAL, Enqueued, JobRecord, NewJob, State, rank
from ...errors import IdConflict
from ._clock import micros
from ._tables import Tables

_HOUR = 3600.0
_DAY = 24 * 3600 * 1_000_000


def enqueue(tables: Tables, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store jobs, all or none."""
    refuse_conflicts(tables, jobs)
    return [_enqueue_one(tables, now, job) for job in jobs]


def refuse_conflicts(tables: Tables, jobs: Sequence[NewJob]) -> None:
    """Refuse a known id with another content, before anything is stored."""
    known: dict[str, tuple[str, str, str]] = {}
    for job in jobs:
        content = (job.task, job.queue, job.payload)
        stored = tables.jobs.get(job.id)
        first = (stored.task, stored.queue, stored.payload) if stored else known.setdefault(job.id, content)
        if first != content:
            raise IdConflict(
                f"Job {job.id} is stored already with another task, queue or arguments; nothing was stored. "
                "Enqueue it under an id of its own.",
                job.id,
            )


def _enqueue_one(tables: Tables, now: int, job: NewJob) -> Enqueued:
    stored = tables.jobs.get(job.id)
    existing = stored is not None
    if stored is None:
        stored = new_record(tables.next_seq(), now, job)
        tables.put(stored)
    return Enqueued(stored.id, stored.state, stored.created_at, stored.scheduled_at, existing)


def new_record(seq: int, now: int, job: NewJob) -> JobRecord:
    """Return a new job as it is first stored."""
    ready = job.at if job.at is not None else now + micros(job.delay)
    expires_at = job.expires_at
    if expires_at is None and job.expires is not None:
        expires_at = now + micros(job.expires)
    later = ready if ready > now else None
    return JobRecord(
        id=job.id,
        seq=seq,
        task=job.task,
        queue=job.queue,
        state="scheduled" if later else "queued",
        payload=job.payload,
        priority=job.priority,
        rank=rank(max(ready, now), job.priority),
        created_at=now,
        scheduled_at=later,
        due_at=later,
        started_at=None,
        finished_at=None,
        expires_at=expires_at,
        options=job.options,
        crash_fails=job.crash_fails,
        suspect=False,
        failures=0,
        crashes=0,
        losses=0,
        snoozes=0,
        generation=0,
        fence=0,
        token=None,
        worker=None,
        line=job.queue,
        tags=job.tags,
        meta=job.meta,
        by=job.by,
        parent=job.parent,
        result=None,
        result_until=None,
        error=None,
        reason=None,
        progress=None,
        cancel_at=None,
        cancel_by=None,
    )


def promote(tables: Tables, now: int, limit: int) -> tuple[int, float | None]:
    """Make due jobs queued."""
    due = [job for job in islice(tables.inside("due"), limit) if job.due_at is not None and job.due_at <= now]
    for job in due:
        tables.put(job._replace(state="queued", due_at=None))
    following = tables.first("due")
    return len(due), None if following is None else max(0.0, (following - now) / 1_000_000)


def passed(expires_at: int | None, now: int) -> bool:
    """Tell whether the time until which a job must have started is over."""
    return expires_at is not None and expires_at <= now


def expire(tables: Tables, now: int, limit: int) -> list[str]:
    """Cancel waiting jobs whose time is over."""
    over = [job for job in islice(tables.inside("expiring"), limit) if passed(job.expires_at, now)]
    for job in over:
        tables.put(job._replace(state="cancelled", due_at=None, finished_at=now, suspect=False, reason="expired"))
    return [job.id for job in over]


def prune(tables: Tables, now: int, keep: Mapping[State, float], limit: int) -> int:
    """Delete what ended long ago."""
    old = list(islice((job for job in tables.inside("ended") if prunable(job, now, keep)), limit))
    for job in old:
        tables.drop(job)
    _drop_results(tables, now, limit)
    _drop_workers(tables, now)
    return len(old)


def prunable(job: JobRecord, now: int, keep: Mapping[State, float]) -> bool:
    """Tell whether a job is final and has been so for longer than it is kept, and for an hour."""
    if job.state not in FINAL or job.state not in keep or job.finished_at is None:
        return False
    return job.finished_at < now - micros(max(keep[job.state], _HOUR, kept_for(job)))


def kept_for(job: JobRecord) -> float:
    """Return how many seconds a job stays after its end, whatever the rule for its state: one that a relay may send again."""
    return float(json.loads(job.options).get("kept_for", 0)) if job.options else 0.0


def _drop_results(tables: Tables, now: int, limit: int) -> None:
    for job in list(islice(tables.inside("results"), limit)):
        if job.result_until is not None and job.result_until <= now:
            tables.put(job._replace(result=None))


def _drop_workers(tables: Tables, now: int) -> None:
    for row in list(tables.workers.values()):
        if row.state == "dead" and row.seen_at < now - _DAY:
            del tables.workers[row.id]
