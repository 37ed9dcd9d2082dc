"""The processes of an attempt, one after the other: heard, watched, stopped, and seen to have left nothing running."""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._command import Command
from .limits import WATCH_EVERY, Limits, memory_of
from .news import News
from .process import Ended, Process
from .streams import TOLD

if TYPE_CHECKING:
    from .aside import Aside
    from .loop import Commands

#: Asked to end, a command is killed after so many seconds; one that must be gone in five, a little sooner.
REACT = 5.0
_SOONER = 4.0
#: What is killed and does not end hangs in the kernel: it is waited for no longer than this (seconds).
_STUCK = 3.0


class Steps:
    """What a run is to the loop: it asks when to wake it, and tells it what happens to its process."""

    index: int
    _ended: Ended

    def __init__(self, host: Commands) -> None:
        """Nothing runs."""
        self.process: Process | None = None
        self.clearing: Process | None = None  #: has ended; what it left is being ended
        self._host = host
        self._news: News | None = None
        self._helper: Aside | None = None  #: does something aside
        self._stop: str | None = None  #: why it is asked to end
        self._heard_stop = False  #: its process was asked, while it ran
        self._kill_at: float | None = None
        self._killed = False
        self._watch_at: float | None = None
        self._max_memory: int | None = None
        self._most = 0  #: memory seen, in bytes
        self._over = ""

    def _go_on(self, value: Any) -> None:
        """Go on with the story, once what it waits for has come."""
        raise NotImplementedError

    # -- a process ----------------------------------------------------------------------------------------------------
    def _start(self, command: Command, step: tuple[str, ...], program: str, environ: dict[str, str]) -> None:
        """Start a process. Raises ``Unfit``."""
        self.process = Process(
            step,
            program,
            cwd=command.cwd or "/",
            environ=environ,
            stdin=command.stdin,
            umask=command.umask,
            limits=Limits(command.nice, command.max_cpu),
        )
        self._kill_at, self._killed = None, False
        self._max_memory = command.max_memory
        self._watch_at = monotonic() + WATCH_EVERY if command.max_memory is not None else None
        for stream in self.process.fds:
            self._host.listen(self, self.process, stream)

    def heard(self, process: Process, stream: int) -> bool:
        """Take what a stream has brought; tell whether there may be more."""
        assert self._news is not None
        data = process.read(stream)
        if data is None:
            return False
        if data:
            self._news.heard(stream, data)
        return True

    def exited(self, ended: Ended) -> None:
        """The process has ended; what it has left running is ended before anything else happens."""
        self.clearing, self.process = self.process, None
        self._ended = ended
        self._kill_at = monotonic() + _STUCK
        self._watch_at = None

    def cleared(self) -> None:
        """Nothing is left of it."""
        process = self.clearing
        assert process is not None
        assert self._news is not None
        self._host.deafen(process)
        for stream in list(process.fds):
            for _ in range(64):  # what a pipe can hold, and no more: somebody may still write
                if not (data := process.read(stream)):
                    break
                self._news.heard(stream, data)
        process.close()
        self.clearing = None
        self._kill_at = None
        self._news.end_of_step()
        self._go_on(self._ended)

    @property
    def stopping(self) -> bool:
        """Tell whether it was asked to stop."""
        return self._stop is not None

    @property
    def _stopped_by(self) -> str | None:
        """Return why its process was asked to stop while it ran."""
        return self._stop if self._heard_stop else None

    def _note(self, text: str) -> None:
        if self._news is not None:
            self._news.heard(TOLD, f"{text}\n".encode())

    # -- stopping -----------------------------------------------------------------------------------------------------
    def interrupt(self, reason: str) -> None:
        """Ask it to end; at the latest after five seconds it is made to."""
        if self._stop is not None and reason != "lost":
            return
        self._stop = reason
        if self._helper is not None:
            self._helper.kill()
        if self.process is None:
            return  # what has ended by itself ended as it did; nothing more is begun
        self._heard_stop = True
        if reason == "lost":
            self._kill_at = 0.0
            self.tick(monotonic())
            return
        self.process.signal(signal.SIGTERM)
        self.process.signal(signal.SIGCONT)  # one that is stopped could not hear
        self._kill_at = monotonic() + (_SOONER if reason == "cut off" else REACT)

    def kill(self) -> None:
        """Kill whatever runs, at once: the supervisor is gone."""
        if self._helper is not None:
            self._helper.kill()
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    # -- time ---------------------------------------------------------------------------------------------------------
    @property
    def due(self) -> float:
        """Return when to wake it next."""
        times = [self._kill_at, self._watch_at, self._news.due if self._news is not None else None]
        return min((each for each in times if each is not None), default=float("inf"))

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._news is not None:
            self._news.tick(now)
        if self._watch_at is not None and now >= self._watch_at:
            self._watch(now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill(now)

    def _watch(self, now: float) -> None:
        assert self.process is not None
        self._watch_at = now + WATCH_EVERY
        used = memory_of(self.process.pid)
        self._most = max(self._most, used)
        assert self._max_memory is not None
        if used > self._max_memory and not self._over:
            self._over = (
                f"used {used / 2**20:,.0f} MiB, more than its max_memory of {self._max_memory / 2**20:,.0f} MiB"
            )
            self._kill(now)

    def _kill(self, now: float) -> None:
        if self.process is None:
            self._kill_at = None
            if self.clearing is not None:
                self._note("packhorse: a process of this command could not be killed; it hangs in the kernel")
                self.cleared()
        elif not self._killed:
            self._killed = True
            self.process.signal(signal.SIGKILL)
            self._host.kill_family(self)
            self._kill_at = now + _STUCK
        else:
            self._note("packhorse: the command could not be killed; it hangs in the kernel")
            self._host.abandon(self.process)
            self.exited(Ended(signal.SIGKILL))
            self.cleared()
