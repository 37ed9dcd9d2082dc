"""Who holds a unique key."""

from __future__ import annotations

from ..._record import JobRecord
from ._tables import Tables


def holder(tables: Tables, now: int, key: str) -> JobRecord | None:
    """Return the job that holds a key."""
    return next((job for job in tables.linked("key", key) if holds_still(job, now)), None)


def holds_still(job: JobRecord, now: int) -> bool:
    """Tell whether the time is not over for which a job holds its key."""
    return job.unique_held and (job.unique_end is None or job.unique_end > now)


def let_go(tables: Tables, key: str | None) -> None:
    """Take a key from those whose time is over: another job takes it."""
    for job in tables.linked("key", key) if key is not None else ():
        tables.put(job._replace(unique_held=False))


def holds_again(job: JobRecord) -> bool:
    """Tell whether an ended job has its key again once it is requeued."""
    return job.unique_key is not None and job.unique_until != "time"
