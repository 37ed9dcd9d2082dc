"""Applying verdicts, fenced by job, token and running."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from ... import _outcome
from ..._record import FINAL, LOG_STORED, Settled, Verdict
from ...errors import StoreError
from . import batches
from .connection import Connection
from .counts import Counts
from .failures import TRANSIENT, code_of
from .plain import RESULTS, NotAll
from .produce import ODD_LIVE, ODD_SOLO
from .queries import sql
from .ranks import ranked
from .states import NAMES, NUMBER, RUNNING, micros


class _Job(NamedTuple):
    """A job as it stands before the verdict."""

    seq: int
    state: int
    token: str | None
    started_at: int | None
    failures: int
    crashes: int
    losses: int
    snoozes: int
    generation: int
    worker: str | None
    cancel_at: int | None
    cancel_reason: str | None
    error: str | None
    rank: int
    line: int
    queue: int
    scheduled_at: int | None
    due_at: int | None
    priority: int
    crash_fails: int
    expires_at: int | None
    result_until: int | None
    claim: int
    ruled: int  #: it has rules, a flow or a key, or others wait for it
    holds: int  #: it holds a name


class Settling(Connection):
    """The verb that ends attempts."""

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        """Apply verdicts; return only those that were not applied as asked."""
        if not verdicts:
            return []
        try:
            return self._write(self._settle, verdicts)
        except NotAll:
            return self.settle(worker, verdicts)  # which looks at each: what was remembered has been forgotten
        except Exception as error:
            if not is_the_verdicts(error):
                raise
            return self._settle_halves(verdicts, error)

    def _settle_halves(self, verdicts: Sequence[Verdict], error: Exception) -> list[Settled]:
        """Find the verdict that cannot be written, so that it holds up no other."""
        if len(verdicts) > 1:
            middle = len(verdicts) // 2
            return self.settle(None, verdicts[:middle]) + self.settle(None, verdicts[middle:])
        return self._write(self._settle_instead, verdicts[0], str(error))

    def _settle_instead(self, db: sqlite3.Connection, now: int, verdict: Verdict, problem: str) -> list[Settled]:
        counts = Counts()
        answer = self._settle_one(db, now, _outcome.unstorable(verdict, problem), counts)
        self._write_counts(db, counts)
        if answer is not None and answer.how != "cancelled":
            return [answer]
        return [Settled(verdict.job, verdict.token, "unstorable", answer.state if answer is not None else "failed")]

    def _settle(self, db: sqlite3.Connection, now: int, verdicts: Sequence[Verdict]) -> list[Settled]:
        counts, answers = Counts(), []
        for verdict in self._plain.settle(db, now, verdicts, counts):
            answer = self._settle_one(db, now, verdict, counts)
            if answer is not None:
                answers.append(answer)
        self._write_counts(db, counts)
        return answers

    def _settle_one(self, db: sqlite3.Connection, now: int, verdict: Verdict, counts: Counts) -> Settled | None:
        row = db.execute(sql("settle", "job"), {"ns": self._ns, "id": verdict.job}).fetchone()
        if row is None:
            return Settled(verdict.job, verdict.token, "stale", None)
        job = _Job._make(row)
        if job.state != RUNNING or job.token != verdict.token:
            return _refuse(db, job, verdict)
        state = self._apply(db, now, job, verdict)
        counts.move(job.queue, RUNNING, NUMBER[state])
        counts.end(job.claim)
        if job.ruled:
            counts.touch(job.seq)
        return None if state == verdict.state else Settled(verdict.job, verdict.token, "cancelled", state)

    def _apply(self, db: sqlite3.Connection, now: int, job: _Job, verdict: Verdict) -> Any:
        started_at = job.started_at if verdict.started is None else now - micros(verdict.started)
        ended_at = now - micros(verdict.ended)
        if not verdict.plain and not (verdict.outcome == "released" and started_at is None):
            _write_attempt(db, job, verdict, started_at, ended_at)
        write_log(db, job.seq, verdict.token, verdict.log, verdict.log_dropped)
        overruled = job.cancel_at is not None and verdict.state not in ("succeeded", "cancelled")
        state = "cancelled" if overruled else verdict.state
        values = _common(self._ns, job, verdict, started_at)
        if state in FINAL:
            values.update(_ending(now, job, verdict, state, overruled, ended_at))
        else:
            values.update(_returning(db, now, job, verdict))
            if verdict.state == "blocked" and verdict.line:
                values["line"] = self._names.line(db, self._ns, verdict.line, job.queue)
        values["state"], result = NUMBER[state], values["result"]
        values["has_result"] = RESULTS.get(result, 1)
        if state == "blocked" and job.ruled:
            db.execute(sql("rules", "park"), (True, job.seq))
        db.execute(sql("settle", "move"), values)
        db.execute(sql("settle", "details"), values)
        batches.write(db, "settle", "results", (), [job.seq, result] if values["has_result"] else [], 2)
        return state


def _common(ns: int, job: _Job, verdict: Verdict, started_at: int | None) -> dict[str, Any]:
    """Return what every verdict writes, as it is unless the kind of ending says otherwise."""
    return {
        "ns": ns,
        "seq": job.seq,
        "line": job.line,
        "rank": job.rank,
        "odd": ODD_SOLO if job.crash_fails or job.holds else ODD_LIVE,
        "started_at": started_at,
        "finished_at": None,
        "result": None,
        "result_until": None,
        "scheduled_at": job.scheduled_at,
        "due_at": None,
        "suspect": False,
        "failures": job.failures + verdict.failures,
        "crashes": job.crashes + verdict.crashes,
        "losses": job.losses + verdict.losses,
        "snoozes": job.snoozes + verdict.snoozes,
        "cancel_reason": None,
        "reason": verdict.reason,
        "error": None if verdict.state == "succeeded" else verdict.error or job.error,
        "final": verdict.state in FINAL,
    }


def _ending(now: int, job: _Job, verdict: Verdict, state: str, overruled: bool, ended_at: int) -> dict[str, Any]:
    """Return what a final state writes beside."""
    if overruled:
        return {"finished_at": ended_at, "reason": job.cancel_reason, "final": True}
    if state == "cancelled":
        return {"finished_at": ended_at, "reason": verdict.reason or job.cancel_reason}
    until = None if verdict.keep is None else now + micros(verdict.keep)
    return {"finished_at": ended_at, "result": verdict.result, "result_until": until}


def _returning(db: sqlite3.Connection, now: int, job: _Job, verdict: Verdict) -> dict[str, Any]:
    """Return what a state from which the job comes back writes beside."""
    values: dict[str, Any] = {"suspect": verdict.suspect}
    if verdict.suspect:
        values["odd"] = ODD_SOLO
    if verdict.state in ("retrying", "scheduled"):
        values["due_at"] = now + micros(verdict.delay)
        if verdict.state == "scheduled":
            values["scheduled_at"] = values["due_at"]
    if verdict.outcome == "snoozed" and "due_at" in values:
        values["rank"] = ranked(db, job.queue, values["due_at"], job.priority)
    if verdict.outcome == "released":
        values["started_at"] = None
    return values


def _write_attempt(db: sqlite3.Connection, job: _Job, verdict: Verdict, started_at: int | None, ended_at: int) -> None:
    values = {
        "seq": job.seq,
        "token": verdict.token,
        "generation": job.generation,
        "number": 1 + job.failures + job.crashes + job.losses,
        "worker": job.worker,
        "started_at": started_at,
        "ended_at": ended_at,
        "outcome": verdict.outcome,
        "error": verdict.error,
        "reason": verdict.reason,
        "usage": verdict.usage,
    }
    db.execute(sql("settle", "attempt"), values)


def write_log(db: sqlite3.Connection, seq: int, token: str, text: str | None, dropped: int) -> None:
    """Keep the log of an attempt: its newest part."""
    if text is None:
        return
    over = max(len(text) - LOG_STORED, 0)
    values = {"seq": seq, "token": token, "text": text[over:], "dropped": dropped + over}
    db.execute(sql("settle", "log"), values)


def _refuse(db: sqlite3.Connection, job: _Job, verdict: Verdict) -> Settled:
    """Tell a verdict that was applied before from one that comes too late."""
    state = NAMES[job.state]
    if verdict.elsewhere and state in FINAL and job.token == verdict.token:
        write_log(db, job.seq, verdict.token, verdict.log, verdict.log_dropped)
        return Settled(verdict.job, verdict.token, "repeated", state)
    row = db.execute(sql("settle", "outcome"), {"seq": job.seq, "token": verdict.token}).fetchone()
    mine = job.token == verdict.token and job.state != RUNNING
    applied = row[0] == verdict.outcome if row else mine and (state in FINAL or verdict.outcome == "released")
    if applied:
        return Settled(verdict.job, verdict.token, "repeated", state)
    late = verdict.result if verdict.result is not None else verdict.error
    if row and late is not None:
        db.execute(sql("settle", "late"), {"seq": job.seq, "token": verdict.token, "late": late})
    return Settled(verdict.job, verdict.token, "stale", state)


def is_the_verdicts(error: Exception) -> bool:
    """Tell whether a value in a verdict is to blame, and not the store."""
    return not isinstance(error, (StoreError, OSError, MemoryError)) and code_of(error) not in TRANSIENT
