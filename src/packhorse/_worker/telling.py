"""What a worker's log says of jobs that did not go well: one line for people, the error beneath it."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from .._durations import spoken
from .._record import Claimed, Verdict
from . import mailbox as m

_log = logging.getLogger("packhorse.worker")


def tell(run: m.Done, retries: int) -> None:
    """Log a run that failed, crashed or was given up; the others are no news."""
    job, start, end, verdict = run
    if verdict is None or verdict.outcome not in ("retry", "failed", "crashed", "lost"):
        return
    level = logging.ERROR if verdict.state == "failed" else logging.WARNING
    took = f" after {spoken((end - start) / 1e9)}" if start else ""
    head = f"✗ {job.task}  {_attempt(job, retries)} {_what(verdict)}{took}{_next(verdict)}   job {job.id[-8:]}"
    _log.log(level, "%s%s", head, _error(verdict))


def _attempt(job: Claimed, retries: int) -> str:
    lost = job.crashes + job.losses  # they have a number each, and use up no retry
    number, most = 1 + job.failures + lost, 1 + retries + lost
    return f"attempt {number} of {most}" if number <= most and retries else f"attempt {number}"


def _what(verdict: Verdict) -> str:
    return "failed" if verdict.outcome in ("retry", "failed") else verdict.outcome


def _next(verdict: Verdict) -> str:
    if verdict.state == "retrying":
        return f", retry in {spoken(verdict.delay)}"
    if verdict.state == "queued":
        return ", runs again at once"
    return f", {verdict.reason}" if verdict.reason else ""


def _error(verdict: Verdict) -> str:
    if not verdict.error:
        return ""
    error: dict[str, Any] = json.loads(verdict.error)
    message = str(error.get("message", "")).split("\n", 1)[0][:300] + _said(error)
    code = error.get("code", "E200")
    return f"\n  {error.get('type')}: {message}{_place(error)}  [{code}]"


def _said(error: dict[str, Any]) -> str:
    """Return the last line that a command wrote to its stderr: most say there what is wrong."""
    if error.get("frames") or not error.get("traceback"):
        return ""
    return f"\n    {str(error['traceback']).rstrip().rpartition(chr(10))[2][:300]}"


def _place(error: dict[str, Any]) -> str:
    frames = error.get("frames") or []
    if not frames:
        return ""
    last = frames[-1]
    return f"   {os.path.basename(last['file'])}:{last['line']} in {last['function']}"
