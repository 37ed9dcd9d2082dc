"""What happens when children have died: their last words, their jobs, what they left running, who comes next."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from .._record import FINAL
from .child_process import ChildProcess
from .crew import Crew, kill_strays, reap
from .death import Death, verdicts
from .telling import tell

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

_DUMP_TIME = 0.5


def dump_all(crew: Crew) -> None:
    """Print where every thread of every process is. A child prints its own; it cannot tell when it has."""
    import faulthandler

    faulthandler.dump_traceback(all_threads=True)
    for child in crew.children.values():
        child.dump()
    time.sleep(_DUMP_TIME)


def bury_dead(supervisor: Supervisor) -> None:
    """Collect every process that has ended, and see to what it leaves."""
    ended = reap(supervisor.crew)
    for pid, status, usage in ended:
        child = supervisor.crew.children.pop(pid, None)
        if child is not None:
            _bury(supervisor, child, Death(status, usage))
    if ended:
        kill_strays(supervisor.crew)


def _bury(supervisor: Supervisor, child: ChildProcess, death: Death) -> None:
    child.process.returncode = death.exit_code
    last_words = supervisor.hearing.lines(child, child.drain())
    if last_words:
        supervisor.ended(last_words)
    supervisor.unwatch(child)
    child.kill_group()  # what is left of it
    _settle_jobs(supervisor, child, death)
    if not child.ready and not supervisor.crew.stopping:
        _note_failed_start(supervisor, child, death)
    child.dispose()
    supervisor.errands.left_by(child)
    supervisor.commanding.left_by(child)


def _settle_jobs(supervisor: Supervisor, child: ChildProcess, death: Death) -> None:
    runs = [*supervisor.released(child.withdraw()), *verdicts(child, death, supervisor.hearing)]
    for run in runs:
        job, _, _, verdict = run
        tell(run, supervisor.hearing.policy(job).retry.retries)
        if verdict is not None and verdict.state in FINAL:
            supervisor.errands.after(job, verdict)
    if runs:
        supervisor.ended(runs)


def _note_failed_start(supervisor: Supervisor, child: ChildProcess, death: Death) -> None:
    _log.error("child %d ended before it was ready: %s", child.pid, death.text)
    if child.commands:
        supervisor.crew.commands_failed()
        return
    supervisor.crew.failed_to_start()
    if not supervisor.crew.broken:
        return
    if supervisor.opened:
        _log.error("three children failed to start within a minute: this worker is unhealthy and claims nothing")
    else:
        supervisor.say(f"packhorse worker: its children die while they start, the last one: {death.text}")
        supervisor.leave(70)
