"""Jobs that ended themselves in a transaction of the user's own: only settling their runs tells how they ended."""

from __future__ import annotations

import logging

from .._completing import committed
from .._record import FINAL, Settled, Verdict
from . import mailbox as m
from .telling import tell

_log = logging.getLogger("packhorse.worker")


def tell_elsewhere(settled: list[m.Done], odd: list[Settled], main: m.Mailbox) -> None:
    """Log those that were not committed, and let the middleware hear of every end."""
    runs = [run for run in settled if run[3] is not None and run[3].elsewhere]
    if not runs:
        return
    answers = {each.job: each for each in odd}
    for run in runs:
        job, verdict = run[0], run[3]
        assert verdict is not None
        end = _end(verdict, answers.get(job.id))
        if end is None or end.state != "succeeded":
            tell(run, 0)
        if end is not None:
            main.put(m.Final(job, end))


def _end(verdict: Verdict, answer: Settled | None) -> Verdict | None:
    """Return how the job ended, None if it did not, or another run decides."""
    if answer is None:
        return verdict if verdict.state in FINAL else None
    if answer.how == "repeated":
        return committed(verdict) if answer.state == "succeeded" else verdict
    return verdict._replace(state="cancelled") if answer.how == "cancelled" else None
