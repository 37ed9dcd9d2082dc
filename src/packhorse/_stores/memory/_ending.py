"""The one way in which a job ends."""

from __future__ import annotations

from typing import Literal

from ..._record import JobRecord
from ..._rules import OUTLASTS


def ended(
    job: JobRecord, state: Literal["succeeded", "failed", "cancelled"], finished_at: int, reason: str | None
) -> JobRecord:
    """Return a job that has ended. What it held is free by that alone, but for a key that outlasts it."""
    return job._replace(
        state=state,
        finished_at=finished_at,
        reason=reason,
        due_at=None,
        suspect=False,
        parked=False,
        unique_held=keeps_key(job),
    )


def keeps_key(job: JobRecord) -> bool:
    """Tell whether a job still has its unique key after its end."""
    return job.unique_held and job.unique_until in OUTLASTS
