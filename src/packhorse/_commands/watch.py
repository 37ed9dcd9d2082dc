"""Whoever ends: commands, what they leave behind, and what has lost its own parent and fell to us."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING

from .asides import Asides
from .process import Process
from .strays import Stray, family, job_of, kill, strays

if TYPE_CHECKING:
    from .run import Run
    from .steps import Steps

#: While something is being ended, it is looked whether it has, if no signal tells (seconds).
_EVERY = 0.02
#: What is killed when the supervisor is gone has so long to end (seconds).
_LAST = 3.0


class Watch:
    """Collects processes that have ended, and ends what a command has left running before its job counts as ended."""

    def __init__(self, runs: dict[int, Run], asides: Asides) -> None:
        """Watch over these runs."""
        self._runs = runs
        self._asides = asides
        self._given_up: set[int] = set()
        self._woken = False

    def wake(self) -> None:
        """Note that some process has ended."""
        self._woken = True

    @property
    def due(self) -> float:
        """Return when to look, though no signal has come."""
        return monotonic() + _EVERY if any(run.clearing for run in self._runs.values()) else float("inf")

    def look(self, now: float) -> None:
        """Collect who has ended."""
        if not self._woken and self.due == float("inf"):
            return
        self._woken = False
        self._asides.collect()
        for run in list(self._runs.values()):
            if run.process is not None and (ended := run.process.ended()) is not None:
                run.exited(ended)
        self._end_strays()

    def _end_strays(self) -> None:
        found = strays(self._ours())
        left: set[int] = set()
        for stray in found:
            run = self._owner(stray)
            if run is not None and run.process is not None:
                continue  # of a command that runs: it may have a use for it
            if run is not None or not self._may_belong(stray):
                kill(stray.pid)
            if run is not None:
                left.add(run.index)
        for run in [each for each in self._runs.values() if each.clearing is not None]:
            if run.index not in left:
                run.cleared()

    def _ours(self) -> set[int]:
        running = {run.process.pid for run in self._runs.values() if run.process is not None}
        return running | self._asides.pids | self._given_up

    def _owner(self, stray: Stray) -> Run | None:
        """Return the run that has left a process: by its session, or by the job in its environment."""
        runs = list(self._runs.values())
        for run in runs:
            process = run.process or run.clearing
            if process is not None and stray.session == process.pid:
                return run
        job = job_of(stray.pid)
        return next((run for run in runs if run.job.id == job), None) if job is not None else None

    def _may_belong(self, stray: Stray) -> bool:
        """Tell whether one that denies its origin may be of a command that runs: such a one lives as long as any of them."""
        running = [run.process for run in self._runs.values() if run.process is not None]
        return job_of(stray.pid) is None and any(process.began <= stray.began for process in running)

    def kill_family(self, run: Steps) -> None:
        """Kill what descends from a run's process, also what has left its group, and what has fallen to us of it."""
        if run.process is not None:
            for pid in list(family(run.process.pid)):
                kill(pid)
        for stray in strays(self._ours()):
            if self._owner(stray) is run:
                kill(stray.pid)

    def abandon(self, process: Process) -> None:
        """Wait no more for a process that cannot be killed."""
        process.abandon()
        self._given_up.add(process.pid)

    def end_all(self) -> None:
        """Kill every command and every stray, and see them dead."""
        deadline = monotonic() + _LAST
        while monotonic() < deadline:
            for run in self._runs.values():
                if run.process is not None:
                    run.process.signal(signal.SIGKILL)
                    if run.process.ended() is not None:
                        run.process = None
            self._asides.collect()
            for pid in self._asides.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            found = strays(self._ours())
            for stray in found:
                kill(stray.pid)
            if not found and not self._ours() - self._given_up:
                return
            sleep(_EVERY / 4)
