"""Commands as the supervisor sees them: which jobs are some, how many slots they take, which side lines are about them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any

from .. import _outcome
from .._programs import FOR, LACKS, RUNS, allowed
from .._record import Claimed
from . import mailbox as m
from .child_process import ChildProcess
from .config import WorkerConfig

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

#: How the task of a raw command begins.
RAW = "$"
#: A claimed command that finds no slot goes back after so many seconds, unless it waits for more than one.
_BACK_AFTER = 0.15
#: What a worker lacks that cannot start its commands child.
_ABLE = f"{LACKS}commands"


def processes_of(config: WorkerConfig) -> int:
    """Return how many children with an application a worker has: none, if there is no application."""
    return config.processes if config.app else 0


class Commanding:
    """Gives commands to the child that runs them. They take slots of the worker, and are never ahead of a free one."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Serve this supervisor."""
        self._supervisor = supervisor
        self._tasks = supervisor.config.tasks
        self._slots = supervisor.config.slots
        self._sizes: dict[str, int] = {}  #: job → slots, of those that take more than one
        self._since: float | None = None  #: commands wait
        self._told = False  #: that one waits for more than one slot
        self._lines: list[str] = []
        self._asked = False
        if not supervisor.config.app:
            self._want()

    # -- what is a command --------------------------------------------------------------------------------------------
    def among(self, tasks: Iterable[str]) -> bool:
        """Tell whether a job of one of these tasks is a command here."""
        return any(self.is_command(task) for task in tasks)

    def is_command(self, task: str) -> bool:
        """Tell whether jobs of this task are commands here. Without an application, whatever comes is for the commands child."""
        return not self._supervisor.config.app or self.knows(task)

    def knows(self, task: str) -> bool:
        """Tell whether this is the task of a raw command, or declared here."""
        return task[:1] == RAW or task in self._tasks

    def size(self, job: Claimed) -> int:
        """Return how many slots a job takes."""
        found = self._sizes.get(job.id)
        if found is None:
            found = min(self._slots, self._size(job))
            if found > 1:
                self._sizes[job.id] = found
        return found

    def _size(self, job: Claimed) -> int:
        task = self._tasks.get(job.task)
        slots: object = 1
        if task is not None:
            slots = task.command.slots
        elif '"slots"' in job.payload:
            slots = _slots_of(job.payload)
        return slots if isinstance(slots, int) else self._slots

    @property
    def busy(self) -> int:
        """Return how many slots commands take."""
        child = self._supervisor.crew.commands
        if child is None or not child.jobs:
            return 0
        if not self._sizes:
            return len(child.jobs)
        return sum(self._sizes.get(job.id, 1) for job in child.jobs.values())

    def ended(self, job: Claimed) -> None:
        """Forget a job."""
        self._sizes.pop(job.id, None)

    # -- placing ------------------------------------------------------------------------------------------------------
    def place(self, jobs: list[Claimed], free: int) -> list[Claimed]:
        """Give commands to their child as far as ``free`` slots go, in order; return the others, which wait."""
        self._want()
        child = self._supervisor.crew.commands
        if child is None:
            return [] if self._unable(jobs) else jobs
        for place, job in enumerate(jobs):
            size = self.size(job)
            if size > free:
                return self._wait(jobs[place:], free)
            free -= size
            child.give([job])
            self._supervisor.watch_backlog(child)
        self._since, self._told = None, False
        return []

    def _wait(self, jobs: list[Claimed], free: int) -> list[Claimed]:
        now = monotonic()
        self._since = self._since or now
        if now - self._since < _BACK_AFTER:
            return jobs
        large = self.size(jobs[0]) > 1
        if large:  # stays first, so that slots are kept free for it
            self._tell_waiting(jobs[0], free)
        back = jobs[1:] if large else jobs
        self._supervisor.give_back(back)
        return jobs[:1] if large else []

    def _tell_waiting(self, job: Claimed, free: int) -> None:
        store = self._supervisor.store
        if not self._told and store is not None:
            self._told = True
            bars = {"$slots": {"wants": self.size(job), "free": free, "of": self._slots}}
            store.inbox.put(m.Told([m.News(job, None, json.dumps(bars), None, 0, None)]))

    def _unable(self, jobs: list[Claimed]) -> bool:
        """Park what cannot be run because no commands child comes up."""
        if not self._supervisor.crew.commands_fail:
            return False
        reason = "its worker cannot start the process that runs commands; see its log"
        parked = [_outcome.parked(job._replace(task=_ABLE), job.queue)._replace(reason=reason) for job in jobs]
        now = monotonic_ns()
        self._supervisor.ended([(job, 0, now, verdict) for job, verdict in zip(jobs, parked, strict=True)])
        return True

    def _want(self) -> None:
        self._supervisor.crew.wants_commands = self.settings

    # -- the child ----------------------------------------------------------------------------------------------------
    @property
    def patterns(self) -> tuple[str, ...]:
        """Return which programs may be run: what the config and the application say."""
        plain = self._supervisor.plain or {}
        given = plain.get("commands") or ()
        return tuple(dict.fromkeys([*self._supervisor.config.commands, *map(str, given)]))

    def settings(self) -> dict[str, Any]:
        """Return what the first frame of the commands child holds."""
        config = self._supervisor.config
        return {
            "supervisor": os.getpid(),
            "commands": True,
            "alone": not config.app,
            "plain": self._supervisor.plain,
            "tables": dict(config.tables),
            "tables_file": config.tables_file,
            "needs": list(config.needs),
            "workspaces": config.workspaces,
            "allowed": self.patterns,
            "quiet_after": config.quiet_after,
            "keeps_output": config.retention.output,
            "log_level": config.log_level,
            "log_format": config.log_format,
            "log_file": config.log_file,
        }

    # -- side lines ---------------------------------------------------------------------------------------------------
    def look_for(self, lines: list[str]) -> list[str]:
        """See to the side lines that are about commands; return the others."""
        ours = [line for line in lines if self._about(line.partition("#")[2])]
        if not ours:
            return lines
        wanted = [line for line in ours if self._may(line.partition("#")[2])]
        if wanted:
            self._want()
            child = self._supervisor.crew.commands
            if child is not None and not self._asked:
                self._ask(child, wanted)
        return [line for line in lines if line not in ours]

    def _about(self, name: str) -> bool:
        return name.startswith(LACKS) or self.is_command(name)

    def _may(self, name: str) -> bool:
        """Tell whether it is worth asking: a program that is not allowed here needs no child to say so."""
        if name == _ABLE:
            return True
        name, _, whose = name.partition(FOR)
        if whose in self._tasks:
            return name.startswith(LACKS) or name[1:2] == "/" or allowed(name[1:], self.patterns)
        runs = whose or name
        return allowed(runs[1:], self.patterns) if runs.startswith(RUNS) else runs in self._tasks

    def _ask(self, child: ChildProcess, lines: list[str]) -> None:
        self._asked, self._lines = True, lines
        names = sorted({line.partition("#")[2] for line in lines})
        child.order("resolve", names)

    def resolved(self, known: list[str]) -> list[str]:
        """Return the lines that can be served, by what the commands child answers."""
        self._asked = False
        lines, self._lines = self._lines, []
        return [line for line in lines if line.partition("#")[2] in {*known, _ABLE}]

    @property
    def looking(self) -> bool:
        """Tell whether an answer is awaited."""
        return self._asked

    def left_by(self, child: ChildProcess) -> None:
        """Expect no answer of a dead child."""
        if child.commands:
            self._asked = False


def _slots_of(payload: str) -> int | str:
    """Return what a raw command asks for; its child refuses what is nonsense."""
    try:
        slots = json.loads(payload)[1]["slots"]
    except (ValueError, LookupError, TypeError):
        return 1
    return "all" if slots == "all" else max(1, slots) if isinstance(slots, int) else 1
