"""Jobs that reserve or share something, while the store does not answer: nobody may begin them, or what they keep out, before
they have surely ended.

Whoever takes back the jobs of a worker that is dead to the store gives those so much longer
(``_rescue``). So a worker that has had no answer to a beat for ``exclusive_patience`` stops them; all others go on.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from .. import _rescue
from .._durations import spoken
from .._outcome import STOPPED
from .._record import Claimed, Verdict
from .child_process import ChildProcess, Observed

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

#: Why such a job was stopped, beside "timeout", "cancelled" and "shutdown".
CUT_OFF = "cut off"
REASON = "stopped: its worker had no answer from the store for so long that another one might have begun it"


def boottime() -> float:
    """Return seconds on a clock that goes on while the host sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Contact:
    """When the last beat that was answered began; shared by the beat thread, which notes it, and main."""

    def __init__(self) -> None:
        """As of now."""
        self.since = boottime()


class Exclusive:
    """Stops those jobs in time. What it stops is released, uncounted, and keeps its reservation."""

    def __init__(self, supervisor: Supervisor, patience: float) -> None:
        """Serve this supervisor; ``patience`` is its ``exclusive_patience``."""
        self.contact = Contact()
        self._supervisor = supervisor
        self._patience = patience
        self._said = False

    def look(self, now: int) -> None:
        """Stop what must not run any longer; ``now`` in nanoseconds of the monotonic clock."""
        if not self._cut_off():
            self._said = False
            return
        supervisor = self._supervisor
        if any(map(has_reservation, supervisor.dispatch.waiting)):
            supervisor.give_back(supervisor.dispatch.take_waiting(), REASON)
        for child in list(supervisor.crew.children.values()):
            if any(map(has_reservation, child.jobs.values())):
                self._stop(child, now)

    def still_ours(self, jobs: list[Claimed]) -> list[Claimed]:
        """Return those of a claim that may begin: this process may have been paused between the claim and now."""
        late = [job for job in jobs if has_reservation(job)] if self._cut_off() else []
        if not late:
            return jobs
        self._supervisor.give_back(late, REASON)
        return [job for job in jobs if not has_reservation(job)]

    def _cut_off(self) -> bool:
        return boottime() - self.contact.since >= self._patience

    def _stop(self, child: ChildProcess, now: int) -> None:
        self._supervisor.give_back(child.withdraw(), REASON)
        for index in child.running():
            if not has_reservation(child.jobs[index]):
                continue
            seen = child.observed.setdefault(index, Observed(max(child.last_result, child.last_given)))
            if seen.stop_at is None:
                self._say()
                self._supervisor.timers.stop(child, index, seen, CUT_OFF, now, _rescue.KILL)

    def _say(self) -> None:
        if not self._said:
            self._said = True
            _log.error(
                "no beat was answered for %s: stopping the jobs that reserve or share something, before others begin",
                spoken(self._patience),
            )


def has_reservation(job: Claimed) -> bool:
    """Tell whether a job reserves or shares something. One more than a limit lets run does no such harm."""
    return job.holds is not None and any(mode != "l" for mode, _ in json.loads(job.holds))


def told(verdict: Verdict) -> Verdict:
    """Return what became of a job that was stopped so: what a shutdown would have made of it, with the true reason."""
    return verdict._replace(reason=REASON) if verdict.reason == STOPPED else verdict
