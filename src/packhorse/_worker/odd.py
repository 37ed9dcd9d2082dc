"""Outcomes that the store did not apply as asked."""

from __future__ import annotations

import logging

from .._record import Settled
from . import mailbox as m

_log = logging.getLogger("packhorse.store")


def judge(batch: list[m.Done], odd: list[Settled]) -> tuple[list[m.Done], list[m.Done]]:
    """Say what was not applied; return the runs that are done with, and those whose jobs are locked and must be settled again."""
    for each in odd:
        if each.how == "stale":
            _log.warning("job %s: a late outcome was refused, the job had been given to another run", each.job)
        elif each.how == "unstorable":
            _log.error("job %s: its outcome could not be stored; the job is failed", each.job)
    locked = {each.job for each in odd if each.how == "locked"}
    return [run for run in batch if run[0][0] not in locked], [run for run in batch if run[0][0] in locked]
