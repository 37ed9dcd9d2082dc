"""What becomes of an attempt, by how its command ended. The rules are those of ``_outcome``."""

from __future__ import annotations

import signal
from typing import Any

from .. import _failure, _outcome
from .._command import Command
from .._executor import interrupted
from .._options import Policy
from .._record import Claimed, Verdict
from .process import Ended
from .streams import ERR, Log

STATUS = "E212"
OVER = "E216"
_LINES, _CHARACTERS = 10, 2000


def succeeded(job: Claimed, policy: Policy, status: int) -> Verdict:
    """An accepted exit status. What the command used is always on record, so an attempt row is written."""
    keep = policy.keep_result
    result = None if keep is False else str(status)
    verdict = _outcome.succeeded(job, result, keep=None if isinstance(keep, bool) else keep)
    return verdict._replace(plain=False)


def of_ending(job: Claimed, policy: Policy, command: Command, ended: Ended, what: str, log: Log) -> Verdict | None:
    """Return the verdict on a step that ended by itself; None: it is a success."""
    if ended.exit is None:
        text = f"{what} was killed by {ended.signal}"
        if ended.signal == "SIGXCPU" and command.max_cpu is not None:
            return over(job, policy, f"{what} has used up its max_cpu of {command.max_cpu:g} s", log)
        return _outcome.failed(job, policy.retry, _error(text, log))
    ending = command.ending(ended.exit)
    text = f"exit status {ended.exit} of {what}"
    if ending.kind == "ok":
        return None
    if ending.kind == "snooze":
        return _outcome.snoozed(job, ending.delay or 0.0, text)
    if ending.kind == "cancel":
        return _outcome.cancelled(job, text)
    if ending.kind == "retry":
        return _outcome.retried(job, policy.retry, _error(text, log), ending.delay)
    # "fail" said outright means: for good.
    return _outcome.failed(job, policy.retry, _error(text, log), retry=ended.exit not in command.exits)


def stopped(job: Claimed, policy: Policy, command: Command, ended: Ended | None, reason: str) -> Verdict:
    """It was asked to stop. What its exit status means counts if it was given for that, as a job may end when interrupted."""
    if ended is not None and ended.exit in command.exits and reason != "cancelled":
        kind, delay = command.ending(ended.exit or 0)
        text = f"exit status {ended.exit}, when it was asked to stop ({reason})"
        if kind == "snooze":
            return _outcome.snoozed(job, delay or 0.0, text)
        if kind == "cancel":
            return _outcome.cancelled(job, text)
    return interrupted(job, policy, "shutdown" if reason in ("cut off", "lost") else reason)


def over(job: Claimed, policy: Policy, text: str, log: Log) -> Verdict:
    """It used more than it may."""
    return _outcome.failed(job, policy.retry, _error(text, log, "ResourceLimit", OVER))


def unfit(job: Claimed, policy: Policy, code: str, text: str, *, retry: bool = True) -> Verdict:
    """It could not be run as asked, or what it made could not be put in place."""
    error = _failure.plain(_TYPES.get(code, "CommandError"), text, code=code, frames=[])
    return _outcome.failed(job, policy.retry, error, retry=retry)


_TYPES = {
    "E121": "BadArguments",
    "E123": "BadOption",
    "E213": "NotStarted",
    "E214": "InputMissing",
    "E215": "OutputNotPlaced",
}


def _error(text: str, log: Log, kind: str = "ExitStatus", code: str = STATUS) -> str:
    last = log.last_lines(ERR, _LINES, _CHARACTERS)
    more: dict[str, Any] = {"traceback": last} if last else {}
    return _failure.plain(kind, f"{text}\n{last}" if last else text, code=code, frames=[], **more)


def parked(job: Claimed, name: str, reason: str) -> Verdict:
    """No program of this name here, or not allowed, or something it needs is missing: kept in a side line of its own."""
    return _outcome.parked(job._replace(task=name), job.queue)._replace(reason=reason)


TERM, KILL = signal.SIGTERM, signal.SIGKILL
