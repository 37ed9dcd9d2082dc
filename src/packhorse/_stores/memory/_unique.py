"""Who holds a unique key."""

from __future__ import annotations

from ..._record import FINAL, JobRecord
from ._tables import Tables


def holder(tables: Tables, now: int, key: str) -> JobRecord | None:
    """Return the job that holds a key."""
    return next((job for job in tables.linked("key", key) if holds_still(tables, now, job)), None)


def holds_still(tables: Tables, now: int, job: JobRecord) -> bool:
    """Tell whether neither the time nor the flow is over for which a job holds its key."""
    if job.unique_until == "flow" and job.state in FINAL:
        return job.unique_held and goes_on(tables, job.flow)
    return job.unique_held and (job.unique_end is None or job.unique_end > now)


def goes_on(tables: Tables, flow: str | None) -> bool:
    """Tell whether a member of a flow has not ended."""
    return flow is not None and any(job.state not in FINAL for job in tables.linked("member", flow))


def let_go(tables: Tables, key: str | None) -> None:
    """Take a key from those whose time or flow is over: another job takes it."""
    for job in tables.linked("key", key) if key is not None else ():
        tables.put(job._replace(unique_held=False))


def holds_again(job: JobRecord) -> bool:
    """Tell whether an ended job has its key again once it is requeued."""
    return job.unique_key is not None and job.unique_until != "time"
