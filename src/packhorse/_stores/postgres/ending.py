"""The one way in which a job ends, and where it goes that nothing but its rules keeps from running."""

from __future__ import annotations

from ..._record import JobRecord, State


def ended(job: JobRecord, state: State, finished_at: int, reason: str | None) -> JobRecord:
    """Return a job that has ended. It lets go its unique key, unless it holds it for a time."""
    return job._replace(
        state=state,
        finished_at=finished_at,
        reason=reason,
        due_at=None,
        suspect=False,
        parked=False,
        unique_held=job.unique_held and job.unique_until == "time",
    )


def ready_state(job: JobRecord) -> State:
    """Return where a job goes that nothing but its rules keeps from running."""
    return "blocked" if job.has_rules else "queued"
