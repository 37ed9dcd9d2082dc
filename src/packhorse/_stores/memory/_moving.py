"""Closing a namespace, and taking jobs with all that belongs to them from one store to another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ..._record import JobRecord, Parcel
from ._tables import Tables


def freeze(tables: Tables, to: str) -> None:
    """Close the namespace."""
    tables.closed = to
    tables.version += 1


def thaw(tables: Tables) -> None:
    """Open it again."""
    tables.closed = None
    tables.stir()


def rests(tables: Tables) -> bool:
    """Tell whether upkeep has nothing to do: the jobs stay as they are until they are elsewhere."""
    return tables.closed is not None


def export(tables: Tables, after: int, limit: int) -> list[Parcel]:
    """Return jobs with all that belongs to them, oldest first."""
    jobs = (job for job in tables.jobs.values() if job.seq > after)
    return [_parcel(tables, job) for job in islice(jobs, limit)]


def _parcel(tables: Tables, job: JobRecord) -> Parcel:
    runs = job.state == "running"
    return Parcel(
        job=job,
        cancel_reason=tables.cancel_reasons.get(job.id) if runs else None,
        claim_no=tables.claim_numbers.get(job.id) if runs else None,
        attempts=tuple(tables.attempts.get(job.id, {}).values()),
        logs=tuple((token, log.text, log.dropped) for token, log in tables.logs.get(job.id, {}).items()),
    )


def import_jobs(tables: Tables, parcels: Sequence[Parcel]) -> int:
    """Store jobs as they were elsewhere."""
    known = len(tables.jobs)
    for parcel in parcels:
        _place(tables, parcel)
    return len(tables.jobs) - known


def _place(tables: Tables, parcel: Parcel) -> None:
    id = parcel.job.id
    stored = tables.jobs.get(id)
    for table in (tables.attempts, tables.logs, tables.claim_numbers, tables.cancel_reasons):
        table.pop(id, None)
    tables.put(parcel.job._replace(seq=stored.seq if stored else tables.next_seq()))
    if parcel.claim_no is not None:
        tables.claim_numbers[id] = parcel.claim_no
    if parcel.cancel_reason is not None:
        tables.cancel_reasons[id] = parcel.cancel_reason
    for row in parcel.attempts:
        tables.put_attempt(row)
    for token, text, dropped in parcel.logs:
        tables.put_log(id, token, text, dropped)
