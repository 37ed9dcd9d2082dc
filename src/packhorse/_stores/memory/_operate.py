"""What people do with jobs: cancel, delete, and how those are chosen that are meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..._record import WAITING, AttemptRecord, JobRecord
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from ._ending import ended
from ._find import matching
from ._tables import Tables


def cancel(tables: Tables, now: int, which: JobFilter, by: str, reason: str, dry: bool) -> Changed:
    """Cancel what waits, ask for it where it runs."""
    why = reason or "cancelled"
    waiting, running, others = _sort(
        chosen(tables, which, "cancel"),
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
    tables.put(ended(job._replace(cancel_by=by), "cancelled", now, why))


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
    """Delete jobs that do not run, and that no job waits for."""
    movable, _, others = _sort(
        chosen(tables, which, "delete"),
        lambda job: may_delete(job) and not is_named(tables, job),
        lambda job: False,
    )
    for job in [] if dry else movable[:BATCH]:
        tables.drop(job)
    return Changed(done=_ids(movable[:BATCH]), refused=_ids(others[:BATCH]), more=len(movable) > BATCH)


def may_delete(job: JobRecord) -> bool:
    """Tell whether a job may be deleted."""
    return job.state != "running"


def is_named(tables: Tables, job: JobRecord) -> bool:
    """Tell whether a job that has not ended names this one as its parent."""
    return tables.is_linked("child", job.id)


def chosen(tables: Tables, which: JobFilter, verb: str) -> list[JobRecord]:
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
