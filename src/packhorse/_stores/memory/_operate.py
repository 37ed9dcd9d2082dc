"""What people do with jobs and queues: cancel, requeue, delete, pause, resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..._record import FINAL, WAITING, AttemptRecord, JobRecord, rank
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from ._clock import micros
from ._find import matching
from ._tables import Switches, Tables

REQUEUED = FINAL | {"scheduled", "retrying"}


def cancel(tables: Tables, now: int, which: JobFilter, by: str, reason: str, dry: bool) -> Changed:
    """Cancel what waits, ask for it where it runs."""
    why = reason or "cancelled"
    waiting, running, others = _sort(
        _chosen(tables, which, "cancel"),
        lambda job: job.state in WAITING,
        lambda job: job.state == "running",
    )
    asked_before = [job for job in running if job.cancel_at is not None]
    changes = sorted([*waiting, *(job for job in running if job.cancel_at is None)], key=lambda job: job.seq)
    for job in [] if dry else changes[:BATCH]:
        _cancel_one(tables, now, job, by or None, why)
    touched = changes[:BATCH]
    return Changed(
        done=_ids(job for job in touched if job.state in WAITING),
        asked=_ids(job for job in [*touched, *asked_before[:BATCH]] if job.state == "running"),
        refused=_ids(others[:BATCH]),
        more=len(changes) > BATCH,
    )


def _cancel_one(tables: Tables, now: int, job: JobRecord, by: str | None, why: str) -> None:
    if job.state == "running":
        tables.cancel_reasons[job.id] = why
        tables.put(job._replace(cancel_at=now, cancel_by=by))
        return
    tables.put(job._replace(state="cancelled", finished_at=now, due_at=None, suspect=False, cancel_by=by, reason=why))


def requeue(tables: Tables, now: int, which: JobFilter, delay: float, dry: bool) -> Changed:
    """Make ended jobs run again, and those that wait for their time run now."""
    movable, _, others = _sort(_chosen(tables, which, "requeue"), may_requeue, lambda job: False)
    for job in [] if dry else movable[:BATCH]:
        _requeue_one(tables, now, job, delay)
    return Changed(done=_ids(movable[:BATCH]), refused=_ids(others[:BATCH]), more=len(movable) > BATCH)


def may_requeue(job: JobRecord) -> bool:
    """Tell whether a job may be put back."""
    return job.state in REQUEUED


def _requeue_one(tables: Tables, now: int, job: JobRecord, delay: float) -> None:
    made_up = first_success(tables, job)
    if made_up is not None:
        tables.put_attempt(made_up)
    if job.state in FINAL:
        job = _renewed(job)
    due_at = now + micros(delay) if delay > 0 else None
    tables.put(
        job._replace(
            state="queued" if due_at is None else "scheduled",
            due_at=due_at,
            scheduled_at=due_at,
            rank=rank(due_at or now, job.priority),
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
    )


def first_success(tables: Tables, job: JobRecord) -> AttemptRecord | None:
    """Return the row that a success at the first attempt has not written."""
    if job.state != "succeeded" or job.token is None or tables.attempt(job.id, job.token) is not None:
        return None
    return AttemptRecord(
        job=job.id,
        token=job.token,
        generation=job.generation,
        number=job.attempt,
        worker=job.worker,
        host=tables.host(job.worker),
        started_at=job.started_at,
        ended_at=job.finished_at or 0,
        outcome="succeeded",
        error=None,
        reason=job.reason,
        usage=None,
        late=None,
    )


def delete(tables: Tables, which: JobFilter, dry: bool) -> Changed:
    """Delete jobs that do not run."""
    movable, _, others = _sort(_chosen(tables, which, "delete"), may_delete, lambda job: False)
    for job in [] if dry else movable[:BATCH]:
        tables.drop(job)
    return Changed(done=_ids(movable[:BATCH]), refused=_ids(others[:BATCH]), more=len(movable) > BATCH)


def may_delete(job: JobRecord) -> bool:
    """Tell whether a job may be deleted."""
    return job.state != "running"


def _chosen(tables: Tables, which: JobFilter, verb: str) -> list[JobRecord]:
    """Return the jobs that are meant, oldest first."""
    if which.empty:
        raise BadOption(
            f"{verb} was given no condition, which would mean every job; nothing was changed. "
            "Name ids, a queue, a state or another condition."
        )
    return sorted(matching(tables, which), key=lambda job: job.seq)


def _sort(
    jobs: Iterable[JobRecord], first: Callable[[JobRecord], bool], second: Callable[[JobRecord], bool]
) -> tuple[list[JobRecord], list[JobRecord], list[JobRecord]]:
    """Return the jobs for which the first holds, those for which the second holds, and the others."""
    piles: tuple[list[JobRecord], list[JobRecord], list[JobRecord]] = ([], [], [])
    for job in jobs:
        piles[0 if first(job) else 1 if second(job) else 2].append(job)
    return piles


def _ids(jobs: Iterable[JobRecord]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs)


def pause(tables: Tables, now: int, queue: str, by: str, reason: str) -> bool:
    """Stop claims from a queue."""
    if tables.paused(queue):
        return False
    tables.flip(queue, Switches(now, by or None, reason or None))
    return True


def resume(tables: Tables, queue: str) -> bool:
    """Let claims go on."""
    if not tables.paused(queue):
        return False
    tables.flip(queue, Switches())
    return True
