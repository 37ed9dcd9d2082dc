"""What a verdict makes of a job. Pure: rows in, rows out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..._record import FINAL, AttemptRecord, JobRecord, Settled, Verdict, rank
from .ending import ended
from .names import Names
from .records import Row
from .states import micros


def holds(job: JobRecord, token: str) -> bool:
    """Tell whether this token is the one the job is running under: the fence of every write by a worker."""
    return job.state == "running" and job.token == token


class Work:
    """One batch of verdicts on its way: what the jobs become, and what is written beside."""

    def __init__(self, now: int, rows: dict[str, Row], outcomes: dict[tuple[int, str], str], names: Names) -> None:
        self._now = now
        self._before = dict(rows)
        self._rows = dict(rows)
        self._outcomes = outcomes
        self._names = names
        self.attempts: list[tuple[int, AttemptRecord]] = []
        self.logs: list[tuple[int, str, str | None, int]] = []
        self.late: list[tuple[int, str, str]] = []
        self.ended: Counter[str] = Counter()  #: token → jobs that no longer run under it
        self.returns = False  #: a job may be claimed again, now or later

    def changes(self) -> Iterable[tuple[Row, Row]]:
        """Yield the jobs that have changed, as they were and as they are."""
        return ((old, self._rows[id]) for id, old in self._before.items() if self._rows[id] is not old)

    def settle(self, verdict: Verdict) -> Settled | None:
        """Apply one verdict, or say why not."""
        row = self._rows[verdict.job]
        if not holds(row.job, verdict.token):
            return self._refuse(row.job, verdict)
        new = self._apply(row, verdict)
        self._rows[verdict.job] = new
        self.ended[verdict.token] += 1
        self.returns = self.returns or new.job.state not in FINAL
        return (
            None if new.job.state == verdict.state else Settled(verdict.job, verdict.token, "cancelled", new.job.state)
        )

    def _refuse(self, job: JobRecord, verdict: Verdict) -> Settled:
        """Tell a verdict that was applied before from one that comes too late."""
        if self._was_applied(job, verdict):
            if verdict.elsewhere:
                self.logs.append((job.seq, verdict.token, verdict.log, verdict.log_dropped))
            return Settled(verdict.job, verdict.token, "repeated", job.state)
        late = verdict.result if verdict.result is not None else verdict.error
        if (job.seq, verdict.token) in self._outcomes and late is not None:
            self.late.append((job.seq, verdict.token, late))
        return Settled(verdict.job, verdict.token, "stale", job.state)

    def _was_applied(self, job: JobRecord, verdict: Verdict) -> bool:
        mine = job.token == verdict.token
        if verdict.elsewhere and mine and job.state in FINAL:
            return True
        outcome = self._outcomes.get((job.seq, verdict.token))
        if outcome is not None:
            return outcome == verdict.outcome
        return mine and (job.state in FINAL or verdict.outcome == "released")

    def _apply(self, row: Row, verdict: Verdict) -> Row:
        job = row.job
        started_at = job.started_at if verdict.started is None else self._now - micros(verdict.started)
        ended_at = self._now - micros(verdict.ended)
        if not verdict.plain and not (verdict.outcome == "released" and started_at is None):
            self.attempts.append((job.seq, _attempt(job, verdict, started_at, ended_at)))
            self._outcomes[job.seq, verdict.token] = verdict.outcome
        self.logs.append((job.seq, verdict.token, verdict.log, verdict.log_dropped))
        request = row.cancel_reason
        job = _counted(job._replace(started_at=started_at), verdict)
        if job.cancel_at is not None and verdict.state not in ("succeeded", "cancelled"):
            job = ended(job, "cancelled", ended_at, request)
        elif verdict.state in FINAL:
            job = self._final(job, verdict, ended_at, request)
        else:
            job = self._back(job, verdict, row.step)
        line = self._names.lines[job.line] if job.line != row.job.line else row.line
        return row._replace(job=job, cancel_reason=None, line=line)

    def _final(self, job: JobRecord, verdict: Verdict, ended_at: int, request: str | None) -> JobRecord:
        if verdict.state == "cancelled":
            return ended(job, "cancelled", ended_at, verdict.reason or request)
        until = None if verdict.keep is None else self._now + micros(verdict.keep)
        return ended(job._replace(result=verdict.result, result_until=until), verdict.state, ended_at, job.reason)

    def _back(self, job: JobRecord, verdict: Verdict, step: int) -> JobRecord:
        due_at = self._now + micros(verdict.delay) if verdict.state in ("retrying", "scheduled") else None
        snoozed = verdict.outcome == "snoozed" and due_at is not None
        return job._replace(
            state=verdict.state,
            due_at=due_at,
            scheduled_at=due_at if verdict.state == "scheduled" else job.scheduled_at,
            rank=rank(due_at, job.priority, step) if snoozed and due_at is not None else job.rank,
            line=verdict.line if verdict.state == "blocked" and verdict.line else job.line,
            parked=verdict.state == "blocked",
            suspect=verdict.suspect,
            started_at=None if verdict.outcome == "released" else job.started_at,
        )


def _attempt(job: JobRecord, verdict: Verdict, started_at: int | None, ended_at: int) -> AttemptRecord:
    return AttemptRecord(
        job=job.id,
        token=verdict.token,
        generation=job.generation,
        number=job.attempt,
        worker=job.worker,
        host=None,  # looked up where the worker has a row
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
