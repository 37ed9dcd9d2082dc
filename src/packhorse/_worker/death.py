"""What a child's death means for the jobs it had. Pure, but for reading what faulthandler left."""

from __future__ import annotations

import json
import os
import signal
import sys
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from .. import _failure, _outcome
from .._executor import interrupted
from .._record import Claimed, Verdict
from .exclusive import CUT_OFF, told
from .mailbox import Done

if TYPE_CHECKING:
    from .child_process import ChildProcess, Observed
    from .hearing import Hearing


_RUNNER = "the process that runs the commands of its worker died; the command was killed"
_CUT_OFF = "process killed: it had closed the descriptors through which it reports"


class Death:
    """How a process ended: its wait status and what it had used."""

    def __init__(self, status: int, usage: Any) -> None:
        """Take both as ``os.wait4`` gives them."""
        self.exit_code = os.waitstatus_to_exitcode(status)
        self.usage = usage

    @property
    def signal(self) -> str | None:
        """Return the name of the signal that ended it, or None."""
        if self.exit_code >= 0:
            return None
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"

    @property
    def text(self) -> str:
        """Return it in words."""
        if self.signal is None:
            return f"process exited without reporting (exit status {self.exit_code})"
        peak = f"peak memory {self.peak / 2**20:,.0f} MiB"
        likely = ", likely out of memory" if self.signal == "SIGKILL" else ""
        return f"process killed by {self.signal}{likely} ({peak})"

    @property
    def peak(self) -> int:
        """Return the peak resident memory in bytes."""
        return int(self.usage.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)

    def as_usage(self) -> str:
        """Return what is kept with the attempt, as JSON."""
        cpu = round(self.usage.ru_utime + self.usage.ru_stime, 3)
        return json.dumps({"exit": self.exit_code, "signal": self.signal, "peak_memory": self.peak, "child_cpu": cpu})


def verdicts(child: ChildProcess, death: Death, hearing: Hearing) -> list[Done]:
    """Return what becomes of the jobs that ran in a dead child. Jobs whose permit it had not taken are not among them."""
    now = monotonic_ns()
    running = list(child.jobs.items())
    child.jobs.clear()
    alone = len(running) == 1
    faults = child.fault_text()
    ended: list[Done] = []
    for index, job in running:
        seen = child.observed.get(index)
        hearing.last_news(job, seen)
        why = child.doomed.get(index)
        if why == "lost":
            continue  # it belongs to another run already
        if why == CUT_OFF:
            verdict = told(_outcome.stopped(job))
        elif why is not None:
            verdict = interrupted(job, hearing.policy(job), why)
        elif child.doomed:
            verdict = _outcome.released(job, _neighbour(child, running))
        elif child.commands:
            verdict = _outcome.lost(job, _RUNNER, started=True)
        else:
            verdict = _crashed(job, death, alone, faults, child.cut_off)
        if not child.commands:  # else what the process used is nothing that the command did
            verdict = verdict._replace(usage=death.as_usage())
        verdict = _with_log(verdict, seen, faults if why is None else "")
        ended.append((job, seen.since if seen else max(child.last_result, child.last_given), now, verdict))
    return ended


def _neighbour(child: ChildProcess, running: list[tuple[int, Claimed]]) -> str:
    jobs = dict(running)
    names = [f"job {jobs[index].id} ({why})" for index, why in child.doomed.items() if index in jobs]
    return f"its process was killed because of its neighbour {', '.join(names) or 'there'}"


def _crashed(job: Claimed, death: Death, alone: bool, faults: str, cut_off: bool) -> Verdict:
    what = "pipe closed" if cut_off else death.signal or f"exit status {death.exit_code}"
    code = "E210"
    text = _CUT_OFF if cut_off else death.text
    text = text if alone else f"{text}; other jobs ran in it, so this one is only suspected"
    error = _failure.plain("ProcessDied", text, code=code, traceback=faults, frames=[])
    return _outcome.crashed(job, error, what if alone else text, alone=alone)


def _with_log(verdict: Verdict, seen: Observed | None, faults: str) -> Verdict:
    tail = seen.tail if seen is not None else None
    if tail is None and not faults:
        return verdict
    text = (tail.text() if tail else "") + faults
    return verdict._replace(log=text, log_dropped=tail.dropped if tail else 0)
