"""Storing jobs, and letting time pass over them: enqueue, promote, expire."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ... import _rules
from ..._record import Enqueued, JobRecord, NewJob, State, rank
from ...errors import IdConflict
from ._clock import micros
from ._ending import ended
from ._planning import Step, plan
from ._steering import end_pauses, next_end
from ._tables import Tables
from ._unique import let_go


def enqueue(tables: Tables, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store jobs, all or none."""
    refuse_conflicts(tables, jobs)
    return [_take_step(tables, now, step) for step in plan(tables, now, jobs)]


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


def _take_step(tables: Tables, now: int, step: Step) -> Enqueued:
    if step.answers is not None:
        return _answer(tables.jobs[step.answers], True)
    if step.replaces is not None:
        replaced = tables.jobs[step.replaces]
        tables.put(ended(replaced, "cancelled", now, _rules.replaced(step.job.id)))
    let_go(tables, step.job.unique)
    stored = new_record(tables.next_seq(), now, step.job, tables.step(step.job.queue))
    tables.put(stored)
    return _answer(stored, False)


def _answer(job: JobRecord, existing: bool) -> Enqueued:
    return Enqueued(job.id, job.state, job.created_at, job.scheduled_at, existing)


def new_record(seq: int, now: int, job: NewJob, step: int) -> JobRecord:
    """Return a new job as it is first stored in a queue with this step."""
    ready = job.at if job.at is not None else now + micros(job.delay)
    expires_at = job.expires_at
    if expires_at is None and job.expires is not None:
        expires_at = now + micros(job.expires)
    later = ready if ready > now else None
    record = JobRecord(
        id=job.id,
        seq=seq,
        task=job.task,
        queue=job.queue,
        state="scheduled" if later else "queued",
        payload=job.payload,
        priority=job.priority,
        rank=rank(max(ready, now), job.priority, step),
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
    record = _with_rules(record, now, job)
    return record if later else record._replace(state=ready_state(record))


def _with_rules(record: JobRecord, now: int, job: NewJob) -> JobRecord:
    """Return a new job with what it waits for, and what it is a part of."""
    return record._replace(
        holds=_rules.holds_text(job.holds),
        after=_rules.after_text(job.after),
        after_flow=job.after_flow,
        after_failed=job.after_failed,
        flow=job.flow,
        unique_key=job.unique,
        unique_until=_rules.scope(job.unique, job.unique_until),
        unique_held=job.unique is not None,
        unique_end=_rules.holds_until(job.unique, job.unique_until, now),
    )


def ready_state(job: JobRecord) -> State:
    """Return where a job goes that nothing but its rules keeps from running."""
    return "blocked" if job.has_rules else "queued"


def promote(tables: Tables, now: int, limit: int) -> tuple[int, float | None]:
    """Make due jobs queued, and end pauses that are over."""
    end_pauses(tables, now)
    due = [job for job in islice(tables.inside("due"), limit) if job.due_at is not None and job.due_at <= now]
    for job in due:
        tables.put(job._replace(state=ready_state(job), due_at=None))
    following = min((at for at in (tables.first("due"), next_end(tables)) if at is not None), default=None)
    return len(due), None if following is None else max(0.0, (following - now) / 1_000_000)


def passed(expires_at: int | None, now: int) -> bool:
    """Tell whether the time until which a job must have started is over."""
    return expires_at is not None and expires_at <= now


def expire(tables: Tables, now: int, limit: int) -> list[str]:
    """Cancel waiting jobs whose time is over."""
    over = [job for job in islice(tables.inside("expiring"), limit) if passed(job.expires_at, now)]
    for job in over:
        tables.put(ended(job, "cancelled", now, "expired"))
    return [job.id for job in over]
