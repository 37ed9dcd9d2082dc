"""The children of a worker: started, replaced, counted, buried."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, monotonic_ns
from typing import Any

from .child_process import ChildProcess

_log = logging.getLogger("packhorse.worker")

START_LIMIT = 30.0
_PR_SET_CHILD_SUBREAPER = 36
#: A process that ends closes its pipes a moment before it can be collected (ns).
_SILENT_LIMIT = 200_000_000
_BREAKER_COUNT = 3
_BREAKER_WINDOW = 60.0
#: The next job goes to the spare child before another is started: starting one takes as long as the pause may be (seconds).
_BREATH = 0.02
_PAUSE_AFTER_FAILURE = (0.2, 1.0, 2.0, 5.0, 10.0)


class Crew:
    """Keeps ``processes`` children running, and a spare one where each child serves few jobs."""

    def __init__(
        self, processes: int, settings: Callable[[], dict[str, Any]], *, max_jobs: int | None, max_memory: int | None
    ) -> None:
        """``settings`` gives what the first frame of a child holds."""
        self.processes = processes
        self.children: dict[int, ChildProcess] = {}  #: by pid
        self._settings = settings
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._failures: list[float] = []
        self._not_before = 0.0
        self.stopping = False
        self.wants_commands: Callable[[], dict[str, Any]] | None = (
            None  #: what the first frame of the commands child holds
        )
        self._commands_not_before = 0.0
        self._commands_failures = 0
        self.strangers: frozenset[int] = frozenset()  #: children of this process that were there before it was a worker

    def adopt(self) -> None:
        """Inherit whatever the children leave behind, on Linux, so that it can be killed with them."""
        if sys.platform.startswith("linux"):
            import ctypes

            self.strangers = frozenset(_our_children())  # "helper & exec packhorse worker" in a script
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def release(self) -> None:
        """Inherit nothing any more: the program around the worker may go on."""
        if sys.platform.startswith("linux"):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    # A fresh process per job must not pause its slot: the next one waits with the application imported.
    @property
    def _spares(self) -> int:
        return self.processes if self._max_jobs is not None and self._max_jobs <= 10 else 0

    def replenish(self) -> list[ChildProcess]:
        """Start what is missing; return the new children."""
        started: list[ChildProcess] = []
        while not self.stopping and monotonic() >= self._not_before and self._missing() > 0:
            if not self._start(self._settings, started):
                self._not_before = monotonic() + 1.0
                break
        wanted = self.wants_commands if monotonic() >= self._commands_not_before else None
        if wanted is not None and self._lacks_commands() and not self._start(wanted, started):
            self._commands_not_before = monotonic() + 1.0
        return started

    def _start(self, settings: Callable[[], dict[str, Any]], started: list[ChildProcess]) -> bool:
        try:
            child = ChildProcess(settings())
        except OSError as error:
            _log.error("cannot start a child: %s; no job is lost, trying again in 1 s", error)
            return False
        self.children[child.pid] = child
        started.append(child)
        return True

    def _lacks_commands(self) -> bool:
        return not self.stopping and not any(child.commands and not child.closing for child in self.children.values())

    def _missing(self) -> int:
        staying = sum(1 for child in self.children.values() if not child.closing and not child.commands)
        return self.processes + self._spares - staying

    def serving(self) -> list[ChildProcess]:
        """Return the children that may be given jobs, at most ``processes`` of them, the oldest first."""
        able = [child for child in self.children.values() if child.ready and not child.closing and not child.commands]
        return able[: self.processes]

    @property
    def commands(self) -> ChildProcess | None:
        """Return the child that runs commands, if it is ready."""
        # Not kept beside ``children``: what is buried there must not live on here.
        able = (c for c in self.children.values() if c.commands and c.ready and not c.closing)
        return next(able, None) if self.wants_commands is not None else None

    @property
    def commands_fail(self) -> bool:
        """Tell whether no commands child could be started the last time."""
        return self._commands_failures > 0

    def commands_ready(self) -> None:
        """Note that one has come up."""
        self._commands_failures = 0

    def commands_failed(self) -> None:
        """Note one that died before it was ready; the next is tried a little later each time."""
        self._commands_failures += 1
        pause = _PAUSE_AFTER_FAILURE[min(self._commands_failures, len(_PAUSE_AFTER_FAILURE)) - 1]
        self._commands_not_before = monotonic() + pause

    @property
    def broken(self) -> bool:
        """Tell whether children keep failing to start, so that claiming more would only burn jobs."""
        recent = [at for at in self._failures if monotonic() - at < _BREAKER_WINDOW]
        self._failures = recent
        return len(recent) >= _BREAKER_COUNT and not self.serving()

    def recycle(self) -> list[ChildProcess]:
        """Return the children that have served long enough, told to end when they are done."""
        due = [child for child in self.serving() if self._served(child)]
        for child in due:
            child.closing = True
        if due and self.serving() and self._not_before < monotonic():
            self._not_before = monotonic() + _BREATH
        return due

    def _served(self, child: ChildProcess) -> bool:
        if self._max_jobs is not None and child.done >= self._max_jobs:
            return True
        return self._max_memory is not None and child.done > 0 and resident(child.pid) > self._max_memory

    def room(self, child: ChildProcess) -> int | None:
        """Return how many more jobs this child may be given before it is replaced; None: any number."""
        return None if self._max_jobs is None else max(0, self._max_jobs - child.done - len(child.jobs))

    def failed_to_start(self) -> None:
        """Note a child that died before it was ready."""
        self._failures.append(monotonic())
        pause = _PAUSE_AFTER_FAILURE[min(len(self._failures), len(_PAUSE_AFTER_FAILURE)) - 1]
        self._not_before = monotonic() + pause

    def overdue(self) -> list[ChildProcess]:
        """Return the children that should have been ready long ago."""
        limit = START_LIMIT * 1e9
        return [c for c in self.children.values() if not c.ready and monotonic_ns() - c.started > limit]

    def silent(self) -> list[ChildProcess]:
        """Return the children that live on without a pipe to report through."""
        now = monotonic_ns()
        return [c for c in self.children.values() if c.silent_since and now - c.silent_since > _SILENT_LIMIT]

    @property
    def next_start(self) -> float | None:
        """Return when a start that was put off may be tried (monotonic), or None."""
        if not self.stopping and self._missing() > 0:
            return self._not_before
        return self._commands_not_before if self.wants_commands is not None and self._lacks_commands() else None


def reap(crew: Crew) -> list[tuple[int, int, Any]]:
    """Collect what has ended of ours and of what we inherited: (pid, wait status, resources used)."""
    ended = []
    for pid in {*crew.children, *_fallen_to_us(crew)}:
        with suppress(ChildProcessError):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                ended.append((found, status, usage))
    return ended


def kill_strays(crew: Crew) -> bool:
    """Kill the processes that fell to us because the child that started them is dead; tell whether there were any."""
    strays = _fallen_to_us(crew)
    for pid in strays:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(strays)


def _fallen_to_us(crew: Crew) -> set[int]:
    """Return the processes that our children have left to us.

    Not those that were there before, nor those that a thread of the program around us has started: these are in our session,
    where nothing that a child starts can be. The first process of a container inherits everything.
    """
    found = set(_our_children()) - crew.children.keys() - crew.strangers
    return found if os.getpid() == 1 else {pid for pid in found if not _in_our_session(pid)}


def _in_our_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except ProcessLookupError:
        return False


def _our_children() -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as file:
                found.extend(int(word) for word in file.read().split())
    except (OSError, ValueError):
        return found
    return found


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it cannot be told."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
