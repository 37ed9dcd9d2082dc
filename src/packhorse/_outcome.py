"""What becomes of an attempt. Decided here and nowhere else; stores apply it (``Store.settle``).

Every function takes what happened and returns one ``Verdict``. ``job`` is anything that carries the counters:
the claimed job in a worker, the orphan in a rescue.
"""

from __future__ import annotations

import random
from typing import Protocol

from ._backoff import CRASH_BACKOFF, Backoff
from ._record import Verdict, side_line

MAX_CRASHES = 3
MAX_LOSSES = 10
MAX_SNOOZES = 1000
STOPPED = "stopped by shutdown"


class Run(Protocol):
    """What a decision needs to know of the job."""

    @property
    def id(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def crash_fails(self) -> bool: ...
    @property
    def failures(self) -> int: ...
    @property
    def crashes(self) -> int: ...
    @property
    def losses(self) -> int: ...
    @property
    def snoozes(self) -> int: ...
    @property
    def generation(self) -> int: ...


def untouched(job: Run) -> bool:
    """Tell whether this is the very first attempt: a success then needs no attempt row."""
    return not (job.failures or job.crashes or job.losses or job.snoozes or job.generation)


def succeeded(job: Run, result: str | None, *, reason: str | None = None, keep: float | None = None) -> Verdict:
    """The function returned. ``reason`` tells of a result that could not be stored."""
    plain = reason is None and untouched(job)
    return Verdict(job.id, job.token, "succeeded", "succeeded", plain=plain, result=result, reason=reason, keep=keep)


def failed(
    job: Run,
    policy: Backoff,
    error: str,
    *,
    retry: bool = True,
    reason: str | None = None,
    rng: random.Random | None = None,
) -> Verdict:
    """An exception, or a time limit. ``retry`` is False if the policy does not want this kind of error."""
    if retry and job.failures < policy.retries:
        delay = policy.delay(job.failures + 1, rng)
        return Verdict(job.id, job.token, "retry", "retrying", error=error, reason=reason, delay=delay, failures=1)
    return Verdict(job.id, job.token, "failed", "failed", error=error, reason=reason, failures=1)


def retried(job: Run, policy: Backoff, error: str, delay: float | None, *, rng: random.Random | None = None) -> Verdict:
    """The job asked for it (``Retry``): its own delay, or the policy's. It counts, and ends when none are left."""
    verdict = failed(job, policy, error, rng=rng)
    return verdict._replace(delay=delay) if delay is not None and verdict.state == "retrying" else verdict


def snoozed(job: Run, delay: float, reason: str | None = None) -> Verdict:
    """The job asked to be put back (``Snooze``). Not counted as an attempt, but not for ever either."""
    if job.snoozes >= MAX_SNOOZES:
        why = f"snoozed {MAX_SNOOZES:,} times" + (f", last: {reason}" if reason else "")
        return Verdict(job.id, job.token, "failed", "failed", reason=why, failures=1)
    return Verdict(job.id, job.token, "snoozed", "scheduled", reason=reason, delay=delay, snoozes=1)


def cancelled(job: Run, reason: str | None) -> Verdict:
    """The job stopped itself (``Cancel``), or was stopped because somebody cancelled it."""
    return Verdict(job.id, job.token, "cancelled", "cancelled", reason=reason)


def released(job: Run, reason: str | None = None) -> Verdict:
    """It never started, or may start anew without blame: uncounted."""
    return Verdict(job.id, job.token, "released", "queued", reason=reason)


def stopped(job: Run) -> Verdict:
    """A forced shutdown ended the run: released, unless the job must not run twice."""
    if job.crash_fails:
        return Verdict(job.id, job.token, "failed", "failed", reason=STOPPED, failures=1)
    return released(job, STOPPED)


def parked(job: Run, queue: str) -> Verdict:
    """No function of this name here: kept in the side line until a worker comes that knows it."""
    return Verdict(
        job.id,
        job.token,
        "released",
        "blocked",
        reason=f"no live worker knows the task '{job.task}'",
        line=side_line(queue, job.task),
    )


def crashed(job: Run, error: str, what: str, *, alone: bool = True, rng: random.Random | None = None) -> Verdict:
    """The process died under the job. ``alone`` is False if other jobs ran in it: then it is a suspect and runs next alone,
    and the death does not count towards poison."""
    if job.crash_fails:
        return Verdict(
            job.id, job.token, "crashed", "failed", error=error, reason=f"crashed, not retried: {what}", crashes=1
        )
    if not alone:
        return Verdict(job.id, job.token, "crashed", "queued", error=error, reason=what, suspect=True)
    crashes = job.crashes + 1
    if crashes >= MAX_CRASHES:
        poison = f"poison: crashed {crashes}×, last {what} in {job.task}"
        return Verdict(job.id, job.token, "crashed", "failed", error=error, reason=poison, crashes=1)
    if crashes == 1:
        return Verdict(job.id, job.token, "crashed", "queued", error=error, reason=what, crashes=1)
    delay = CRASH_BACKOFF.delay(crashes, rng)
    return Verdict(job.id, job.token, "crashed", "retrying", error=error, reason=what, delay=delay, crashes=1)


def lost(job: Run, what: str, *, started: bool) -> Verdict:
    """The worker is gone and its host with it, or it was never known to have started the job."""
    if started and job.crash_fails:
        return Verdict(job.id, job.token, "lost", "failed", reason=f"lost, not retried: {what}", losses=1)
    if job.losses + 1 >= MAX_LOSSES:
        poison = f"poison: lost {job.losses + 1}×, last: {what}"
        return Verdict(job.id, job.token, "lost", "failed", reason=poison, losses=1)
    return Verdict(job.id, job.token, "lost" if started else "released", "queued", reason=what, losses=1)


def unstorable(verdict: Verdict, problem: str) -> Verdict:
    """The store cannot write this verdict: the job fails, saying why, and holds up no other."""
    safe = problem.encode("ascii", "backslashreplace").decode()
    return Verdict(
        verdict.job,
        verdict.token,
        "failed",
        "failed",
        started=verdict.started,
        ended=verdict.ended,
        reason=f"outcome cannot be stored: {safe}",
        failures=1,
    )
