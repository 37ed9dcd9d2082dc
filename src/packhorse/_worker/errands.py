"""What children are asked to do beside jobs: to tell the middleware how a job of a dead child ended, and to look for tasks."""

from __future__ import annotations

import logging
from time import monotonic_ns
from typing import TYPE_CHECKING

from .._record import Claimed, Verdict
from . import mailbox as m
from .child_process import ChildProcess, Errand

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

#: A hook that kills its process is not tried for ever.
_TRIES = 3
#: Nor does it hold its child for longer (nanoseconds).
_LIMIT = 60_000_000_000


class Errands:
    """Orders that are given anew if the child dies over them, or is replaced before it came to them."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Nothing to do."""
        self.hooked = False  #: there is a middleware that wants to know
        self._supervisor = supervisor
        self._untold: list[Errand] = []
        self._lines: list[str] = []  #: side lines a child was asked about
        self._asked: ChildProcess | None = None

    # -- ends -----------------------------------------------------------------------------------------------------------
    def after(self, job: Claimed, verdict: Verdict, by: str | None = None) -> None:
        """Let another child tell the middleware how this job ended, and ``by`` whom, if that is not to be told from the verdict;
        the next one that is ready, if there is none."""
        if self.hooked:
            self._untold.append((job, verdict, 1, by))
            self.tell()

    def tell(self) -> None:
        """Tell what waits for a child to tell it to."""
        child = self._least_busy()
        if child is None or not self._untold:
            return
        for errand in self._untold:
            job, verdict, _, by = errand
            if not child.errands:
                child.errands_since = monotonic_ns()
            child.errands[job.id, job.token] = errand
            child.order("after", [job, verdict, by])
        self._untold.clear()

    def overdue(self) -> list[ChildProcess]:
        """Return the children that run no job and still do not come back from a hook."""
        now, children = monotonic_ns(), self._supervisor.crew.children.values()
        asked = [child for child in children if child.errands and now - child.errands_since > _LIMIT]
        return [child for child in asked if now - child.last_result > _LIMIT and not child.running()]

    def left_by(self, child: ChildProcess) -> None:
        """Take back what a dead child had not told."""
        for job, verdict, tries, by in child.errands.values():
            if tries < _TRIES:
                self._untold.append((job, verdict, tries + 1, by))
            else:
                _log.error("after_job was not told of job %s: %d children died over it", job.id, tries)
        child.errands.clear()
        if child is self._asked:
            self._asked = None
        self.tell()

    # -- side lines -----------------------------------------------------------------------------------------------------
    def look_for(self, lines: list[str]) -> None:
        """Jobs wait whose task somebody did not know: ask a child that has the time whether we do."""
        child = self._least_busy()
        lines = self._supervisor.commanding.look_for([line for line in lines if self._serves(line.partition("#")[0])])
        if not lines or child is None or len(child.jobs) >= self._supervisor.config.slots_per_child:
            return  # the next beat tells of them again
        self._lines, self._asked = lines, child
        child.order("resolve", sorted({line.partition("#")[2] for line in lines}))

    def _serves(self, queue: str) -> bool:
        groups = self._supervisor.config.queues
        return groups is None or any(queue in group for group in groups)

    @property
    def looking(self) -> bool:
        """Tell whether an answer is awaited."""
        return self._asked is not None or self._supervisor.commanding.looking

    def found(self, child: ChildProcess, known: list[str]) -> None:
        """Serve the lines whose tasks are known to a child."""
        if child.commands:
            lines = self._supervisor.commanding.resolved(known)
        else:
            lines = [line for line in self._lines if line.partition("#")[2] in set(known)]
            self._lines, self._asked = [], None
        store = self._supervisor.store
        if lines and store is not None:
            self._supervisor.told += 1
            store.inbox.put(m.Resolve(lines))

    def _least_busy(self) -> ChildProcess | None:
        return min(self._supervisor.crew.serving(), key=lambda child: len(child.jobs), default=None)
