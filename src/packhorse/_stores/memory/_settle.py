"""Applying verdicts, fenced by job, token and running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ... import _outcome
from ..._record import FINAL, AttemptRecord, JobRecord, Settled, Verdict, rank
from ._claim import holds, same_token
from ._clock import micros
from ._ending import ended
from ._tables import Tables


def settle(tables: Tables, now: int, verdicts: Sequence[Verdict]) -> list[Settled]:
    """Apply verdicts; return those that were not applied as asked."""
    answers = (_settle_one(tables, now, verdict) for verdict in verdicts)
    return [answer for answer in answers if answer is not None]


def _settle_one(tables: Tables, now: int, verdict: Verdict) -> Settled | None:
    job = tables.jobs.get(verdict.job)
    if job is None:
        return unknown(verdict)
    if not holds(job, verdict.token):
        return _refuse(tables, job, verdict)
    problem = unstorable(verdict)
    if problem is not None:
        verdict = _outcome.unstorable(verdict, problem)
    job = _apply(tables, now, job, verdict)
    if problem is not None:
        return Settled(verdict.job, verdict.token, "unstorable", job.state)
    if job.state != verdict.state:
        return Settled(verdict.job, verdict.token, "cancelled", job.state)
    return None


def unknown(verdict: Verdict) -> Settled:
    """Answer for a job that is not stored."""
    return Settled(verdict.job, verdict.token, "stale", None)


def _refuse(tables: Tables, job: JobRecord, verdict: Verdict) -> Settled:
    if ended_elsewhere(job, verdict):
        tables.put_log(job.id, verdict.token, verdict.log, verdict.log_dropped)
        return Settled(verdict.job, verdict.token, "repeated", job.state)
    if was_applied(tables, job, verdict):
        return Settled(verdict.job, verdict.token, "repeated", job.state)
    keep_late(tables, verdict)
    return Settled(verdict.job, verdict.token, "stale", job.state)


def ended_elsewhere(job: JobRecord, verdict: Verdict) -> bool:
    """Tell whether the run ended its job itself, as it said."""
    return verdict.elsewhere and same_token(job, verdict.token) and job.state in FINAL


def was_applied(tables: Tables, job: JobRecord, verdict: Verdict) -> bool:
    """Tell whether this verdict has been applied before: its reply was lost."""
    row = tables.attempt(job.id, verdict.token)
    if row is not None:
        return row.outcome == verdict.outcome
    if not same_token(job, verdict.token):
        return False
    return job.state in FINAL or verdict.outcome == "released"


def keep_late(tables: Tables, verdict: Verdict) -> None:
    """Keep what came after the attempt had been given up."""
    row = tables.attempt(verdict.job, verdict.token)
    late = verdict.result if verdict.result is not None else verdict.error
    if row is not None and late is not None:
        tables.put_attempt(row._replace(late=late))
        tables.version += 1


def unstorable(verdict: Verdict) -> str | None:
    """Say why a verdict cannot be written, which is what a store of bytes would find out by trying."""
    try:
        for value in verdict:
            if isinstance(value, str):
                value.encode()
    except UnicodeEncodeError as error:
        return str(error)
    return None


def _apply(tables: Tables, now: int, job: JobRecord, verdict: Verdict) -> JobRecord:
    started_at = job.started_at if verdict.started is None else now - micros(verdict.started)
    ended_at = now - micros(verdict.ended)
    if writes_row(verdict, started_at):
        tables.put_attempt(_row(tables, job, verdict, started_at, ended_at))
    tables.put_log(job.id, verdict.token, verdict.log, verdict.log_dropped)
    request = tables.cancel_reasons.pop(job.id, None)
    job = _counted(job._replace(started_at=started_at), verdict)
    if takes_precedence(job, verdict):
        job = ended(job, "cancelled", ended_at, request)
    elif verdict.state in FINAL:
        job = _final(job, now, verdict, ended_at, request)
    else:
        job = _back(job, now, verdict, tables.step(job.queue))
    tables.put(job)
    return job


def writes_row(verdict: Verdict, started_at: int | None) -> bool:
    """Tell whether this end of a run is written down as an attempt."""
    never_ran = verdict.outcome == "released" and started_at is None
    return not verdict.plain and not never_ran


def _row(tables: Tables, job: JobRecord, verdict: Verdict, started_at: int | None, ended_at: int) -> AttemptRecord:
    return AttemptRecord(
        job=job.id,
        token=verdict.token,
        generation=job.generation,
        number=job.attempt,
        worker=job.worker,
        host=tables.host(job.worker),
        started_at=started_at,
        ended_at=ended_at,
        outcome=verdict.outcome,
        error=verdict.error,
        reason=verdict.reason,
        usage=verdict.usage,
        late=None,
    )


def _counted(job: JobRecord, verdict: Verdict) -> JobRecord:
    return job._replace(
        failures=job.failures + verdict.failures,
        crashes=job.crashes + verdict.crashes,
        losses=job.losses + verdict.losses,
        snoozes=job.snoozes + verdict.snoozes,
        reason=verdict.reason,
        error=None if verdict.state == "succeeded" else verdict.error or job.error,
    )


def takes_precedence(job: JobRecord, verdict: Verdict) -> bool:
    """Tell whether a cancel that was asked for decides instead of the verdict."""
    return job.cancel_at is not None and verdict.state not in ("succeeded", "cancelled")


def _final(job: JobRecord, now: int, verdict: Verdict, ended_at: int, request: str | None) -> JobRecord:
    if verdict.state == "cancelled":
        return ended(job, "cancelled", ended_at, verdict.reason or request)
    until = None if verdict.keep is None else now + micros(verdict.keep)
    state: Literal["succeeded", "failed"] = "succeeded" if verdict.state == "succeeded" else "failed"
    return ended(job._replace(result=verdict.result, result_until=until), state, ended_at, job.reason)


def _back(job: JobRecord, now: int, verdict: Verdict, step: int) -> JobRecord:
    due_at = now + micros(verdict.delay) if verdict.state in ("retrying", "scheduled") else None
    return job._replace(
        state=verdict.state,
        due_at=due_at,
        scheduled_at=due_at if verdict.state == "scheduled" else job.scheduled_at,
        rank=next_rank(job, verdict, due_at, step),
        line=verdict.line if verdict.state == "blocked" and verdict.line else job.line,
        parked=verdict.state == "blocked",
        suspect=verdict.suspect,
        started_at=None if verdict.outcome == "released" else job.started_at,
    )


def next_rank(job: JobRecord, verdict: Verdict, due_at: int | None, step: int) -> int:
    """Return the place in the line: a new one after a snooze, else the one it had."""
    return rank(due_at, job.priority, step) if verdict.outcome == "snoozed" and due_at is not None else job.rank
