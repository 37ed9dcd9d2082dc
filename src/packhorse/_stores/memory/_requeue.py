"""Making jobs run again: requeue, and what it brings back with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..._record import FINAL, JobRecord, rank
from ..._store import BATCH, Changed, JobFilter
from ._clock import micros
from ._enqueue import ready_state
from ._operate import chosen, first_success
from ._tables import Tables
from ._unique import holder, holds_again, let_go

REQUEUED = FINAL | {"scheduled", "retrying"}


def requeue(tables: Tables, now: int, which: JobFilter, delay: float, dry: bool) -> Changed:
    """Make ended jobs run again, and those that wait for their time run now."""
    jobs = chosen(tables, which, "requeue")
    movable = _with_keys(tables, now, [job for job in jobs if may_requeue(job)])
    moved = {job.id for job in movable}
    refused = [job for job in jobs if job.id not in moved]
    if not dry:
        _requeue_all(tables, now, movable[:BATCH], delay)
    return Changed(done=_ids(movable[:BATCH]), refused=_ids(refused[:BATCH]), more=len(movable) > BATCH)


def may_requeue(job: JobRecord) -> bool:
    """Tell whether a job may be put back."""
    return job.state in REQUEUED


def _with_keys(tables: Tables, now: int, jobs: Iterable[JobRecord]) -> list[JobRecord]:
    """Return those whose unique key nobody else holds; of equal ones the first."""
    found: list[JobRecord] = []
    taken: set[str] = set()
    for job in jobs:
        key = job.unique_key if wants_key(job) else None
        if key is not None and (key in taken or holder(tables, now, key) not in (None, job)):
            continue
        taken |= {key} if key is not None else set()
        found.append(job)
    return found


def wants_key(job: JobRecord) -> bool:
    """Tell whether a job takes a unique key when it is requeued."""
    return job.state in FINAL and holds_again(job)


def _requeue_all(tables: Tables, now: int, jobs: Sequence[JobRecord], delay: float) -> None:
    for job in jobs:
        _requeue_one(tables, now, job, delay)
    again: Sequence[JobRecord] = [job for job in jobs if job.state in FINAL]
    while again:
        again = bring_back(tables, now, again)


def bring_back(tables: Tables, now: int, parents: Sequence[JobRecord]) -> list[JobRecord]:
    """Make those run again that gave up because of these jobs; return them."""
    gave_up = {job.id: job for parent in parents for job in tables.linked("gave up", parent.id)}
    back = _with_keys(tables, now, sorted(gave_up.values(), key=lambda job: job.seq))
    for job in back:
        _requeue_one(tables, now, job, 0.0)
    return back


def _requeue_one(tables: Tables, now: int, job: JobRecord, delay: float) -> None:
    made_up = first_success(tables, job)
    if made_up is not None:
        tables.put_attempt(made_up)
    if wants_key(job):
        let_go(tables, job.unique_key)
    if job.state in FINAL:
        job = _renewed(job)
    due_at = now + micros(delay) if delay > 0 else None
    tables.put(
        job._replace(
            state=ready_state(job) if due_at is None else "scheduled",
            due_at=due_at,
            scheduled_at=due_at,
            rank=rank(due_at or now, job.priority, tables.step(job.queue)),
            line=job.queue,
        )
    )


def _renewed(job: JobRecord) -> JobRecord:
    """Return an ended job as if it had just been stored; its id, fence, token and history stay."""
    return job._replace(
        generation=job.generation + 1,
        failures=0,
        crashes=0,
        losses=0,
        snoozes=0,
        suspect=False,
        started_at=None,
        finished_at=None,
        expires_at=None,
        result=None,
        result_until=None,
        error=None,
        reason=None,
        progress=None,
        cancel_at=None,
        cancel_by=None,
        place=None,
        given_up=None,
        unique_held=job.unique_held or holds_again(job),
    )


def _ids(jobs: Iterable[JobRecord]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs)
