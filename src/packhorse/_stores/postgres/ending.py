"""The one way in which a job ends, and where it goes that nothing but its rules keeps from running."""

from __future__ import annotations

from ..._record import JobRecord, State
from ..._rules import OUTLASTS


def ended(job: JobRecord, state: State, finished_at: int, reason: str | None) -> JobRecord:
    """Return a job that has ended. It lets go its unique key, unless that outlasts it."""
    return job._replace(
        state=state,
        finished_at=finished_at,
        reason=reason,
        due_at=None,
        suspect=False,
        parked=False,
        unique_held=job.unique_held and job.unique_until in OUTLASTS,
    )


def ready_state(job: JobRecord) -> State:
    """Return where a job goes that nothing but its rules keeps from running."""
    return "blocked" if job.has_rules else "queued"
