"""How a worker stops: drain, wait for the grace, interrupt, kill, settle, sign off; every step bounded."""

from __future__ import annotations

import logging
import os
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING

from . import mailbox as m
from .crew import kill_strays, reap
from .death import Death

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

#: After the grace a job has so long to end; then its child is killed.
REACT = 5.0
#: Settling what is left may take so long when the store does not answer.
FINISH_LIMIT = 10.0
#: The store thread has so long beyond that to say that it has ended.
_LATE = 1.0
_STOPPING = "the worker is stopping"


class Ending:
    """The stop of one worker. Its steps happen once each, whatever is called how often."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Not begun."""
        self._supervisor = supervisor
        self._since: float | None = None
        self._forced = False
        self._finish_by: float | None = None
        self.signed_off = False  #: our row is gone from the store

    @property
    def begun(self) -> bool:
        """Tell whether the worker is stopping."""
        return self._since is not None

    def begin(self) -> None:
        """Claim nothing more, and give back what has not started."""
        supervisor = self._supervisor
        if self.begun:
            return
        self._since = monotonic()
        in_hand = supervisor.outstanding()
        _log.info("stopping: %d job%s in hand", in_hand, "" if in_hand == 1 else "s")
        if supervisor.store is None:
            supervisor.leave(0)
            return
        if not supervisor.opened:
            self._finish(self._since)
            return
        supervisor.store.inbox.put(m.Drain())
        supervisor.give_back(supervisor.dispatch.take_waiting(), _STOPPING)
        for child in supervisor.crew.children.values():
            supervisor.give_back(child.withdraw(), _STOPPING)

    def force(self) -> None:
        """Interrupt what runs; what does not end by that is killed, and goes back uncounted. Repeated until nothing runs, since
        one look may miss a job: among slots it cannot always be told which are the running ones."""
        self._forced = True
        self._supervisor.timers.stop_all("shutdown", monotonic_ns(), REACT)

    def further(self, now: float) -> None:
        """Take the next step if it is time."""
        assert self._since is not None
        if self._supervisor.store is None:
            return
        if self._finish_by is not None:
            self._give_up_waiting(now)
            return
        grace = self._supervisor.config.grace
        if self._forced or (grace is not None and now - self._since >= grace):
            self.force()
        if self._supervisor.outstanding() == 0:
            self._finish(now)

    def _finish(self, now: float) -> None:
        self._finish_by = now + FINISH_LIMIT
        crew, store = self._supervisor.crew, self._supervisor.store
        crew.stopping = True
        for child in crew.children.values():
            if not child.closing:
                child.close_permits()
        assert store is not None
        store.inbox.put(m.Finish(self._finish_by))

    def _give_up_waiting(self, now: float) -> None:
        """A store call may be under way that does not come back: the end does not wait for it."""
        assert self._finish_by is not None
        if now < self._finish_by + _LATE:
            return
        _, held = self._supervisor.held.snapshot()
        self.store_gone([job for job, _ in held])
        self.signed_off = False

    def store_gone(self, left: list[str], signed_off: bool = True) -> None:
        """The store thread has ended: so do we."""
        if left:
            shown = ", ".join(left[:20]) + (f" and {len(left) - 20} more" if len(left) > 20 else "")
            self._supervisor.say(f"packhorse worker: the store did not answer; left to the rescue: {shown}  [E101]")
        elif not signed_off:
            self._supervisor.say(
                "packhorse worker: the store did not answer to the sign-off; no job was in hand  [E101]"
            )
        self.signed_off = signed_off and not left
        self._supervisor.leave(0 if self.signed_off else 69)


def bury_all(supervisor: Supervisor, *, patient: bool) -> None:
    """See every child dead: after a clean stop they get time for their last hooks, else they are killed."""
    children = supervisor.crew.children
    for child in children.values():
        if not child.ready:
            child.kill()
    deadline = monotonic() + REACT if patient else 0.0
    while children and monotonic() < deadline:
        _collect(supervisor)
        supervisor.nap(0.01)
    for child in children.values():
        child.kill()
    for child in children.values():
        try:
            os.waitpid(child.pid, 0)
        except ChildProcessError:
            pass
        child.process.returncode = 0
        supervisor.unwatch(child)
        child.dispose()
    children.clear()
    deadline = monotonic() + 1.0
    while kill_strays(supervisor.crew) and monotonic() < deadline:
        reap(supervisor.crew)  # those that the killed had started fall to us in their turn


def _collect(supervisor: Supervisor) -> None:
    for pid, status, usage in reap(supervisor.crew):
        child = supervisor.crew.children.pop(pid, None)
        if child is not None:
            child.process.returncode = Death(status, usage).exit_code
            supervisor.unwatch(child)
            child.dispose()
