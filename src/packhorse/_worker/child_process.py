"""One child as its supervisor sees it: four descriptors, the jobs it was given, the permits it has not taken."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, islice
from time import monotonic_ns
from typing import Any, BinaryIO

from .._capture import Tail
from .._child.interrupts import SIGNAL
from .._record import Claimed, Verdict
from .._wire import CONTROL, ORDER, PERMIT, REASONS, LineBuffer, frame, jobs_frame

_READ = 1 << 18
_FAULT_LIMIT = 16 * 1024
_PIPE_SIZE = 1 << 20
_ANY = 1 << 30

#: An end that the middleware is to be told: the job, the verdict, how often it was tried, by whom it ended if that is known.
Errand = tuple[Claimed, Verdict, int, str | None]


class Observed:
    """A job seen running, with its timers; only jobs that run for a while have one."""

    __slots__ = (
        "changed",
        "killed",
        "meta",
        "progress",
        "since",
        "stop_at",
        "stopped",
        "tail",
        "told",
        "waiting",
        "warned",
    )

    def __init__(self, since: int) -> None:
        """Running since this monotonic nanosecond, as far as is known."""
        self.since = since
        self.told = False  #: reported as started
        self.warned = False
        self.waiting = False  #: for its thread: its time does not run yet
        self.stop_at: int | None = None  #: asked to stop; killed if it runs on past this
        self.stopped = ""  #: why it was asked
        self.killed = False
        self.tail: Tail | None = None
        self.progress: dict[str, Any] | None = None
        self.meta: dict[str, Any] = {}
        self.changed = False  #: log, progress or meta not yet reported


class ChildProcess:
    """A running ``packhorse._child``. Never blocks: what cannot be written at once waits in ``backlog``."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start it. Raises ``OSError`` when the system refuses a process or a descriptor."""
        self.started = monotonic_ns()
        self.hello: dict[str, Any] | None = None
        self.ready = False
        self.closing = False  #: gets nothing more; ends when it has finished what it has
        self.jobs: dict[int, Claimed] = {}  #: given, and not reported back
        self.observed: dict[int, Observed] = {}
        self.doomed: dict[int, str] = {}  #: why we killed it, per job that was the reason
        self.done = 0  #: jobs it has reported
        self.last_result = 0
        self.last_given = 0
        self.solo = False  #: runs a suspect, alone
        self.silent_since = 0  #: the results pipe has ended, though the process may live
        self.cut_off = False  #: killed for that
        self.garbled = False  #: killed because it reported nonsense
        self.errands: dict[tuple[str, str], Errand] = {}  #: ends it is to tell the middleware
        self.errands_since = 0
        self.backlog = bytearray()
        self._permits: deque[int] = deque()  #: sent, not known to be taken
        self._unsent: deque[int] = deque()
        self._next = 0
        self._lines = LineBuffer()
        self.commands: bool = settings.get("commands", False)  #: runs programs, as many as it is given
        self._slots: int = _ANY if self.commands else settings["coroutines"] or settings["threads"]
        self._open(settings)

    def _open(self, settings: dict[str, Any]) -> None:
        fds: list[int] = []
        self._faults = _nameless_file()
        try:
            payload_r, self.payload = _pipe(fds)
            control_r, self.control = _pipe(fds)
            self.results, results_w = _pipe(fds)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        self._ours, self._theirs = ours, theirs
        passed = (payload_r, theirs.fileno(), control_r, results_w, self._faults.fileno())
        try:
            self.process = subprocess.Popen(
                _command(passed, self.commands), pass_fds=passed, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError:
            self.dispose()
            raise
        finally:
            for fd in (payload_r, control_r, results_w):
                os.close(fd)
        self.pid = self.process.pid
        for fd in (self.payload, self.control, self.results):
            os.set_blocking(fd, False)
        ours.setblocking(False)
        _enlarge(self.results)
        self.send(frame("init", settings))

    # -- giving -----------------------------------------------------------------------------------------------------
    def send(self, data: bytes) -> None:
        """Write to the payload pipe, as much as goes."""
        self.backlog += data
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        try:
            while self.backlog:
                sent = os.write(self.payload, self.backlog)
                del self.backlog[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            self.backlog.clear()  # it is dead; its end is noticed elsewhere

    def order(self, kind: str, body: Any) -> None:
        """Send a frame that it is to read at its next free moment."""
        self.send(frame(kind, body))
        self._permit([ORDER])

    def tell_place(self, place: dict[str, str]) -> None:
        """Say where the store is, so that it can begin."""
        self.send(frame("store", place))

    def give(self, jobs: Sequence[Claimed]) -> None:
        """Give jobs, with the right to start them."""
        first = self._next
        self._next += len(jobs)
        indexes = range(first, self._next)
        self.jobs.update(zip(indexes, jobs, strict=True))
        self.last_given = monotonic_ns()
        self.send(jobs_frame(first, jobs))
        self._permit(indexes)

    def _permit(self, indexes: Sequence[int]) -> None:
        self._unsent.extend(indexes)
        self.flush_permits()

    def flush_permits(self) -> None:
        """Send permits that did not fit before. Never a part of one: the socket takes a batch whole or not at all."""
        unsent = self._unsent
        while unsent:
            batch = list(islice(unsent, 1024))
            try:
                sent = self._ours.send(array.array("q", batch).tobytes()) // PERMIT.size
            except BlockingIOError:
                return
            except OSError:
                unsent.clear()
                return
            self._permits.extend(batch[:sent])
            for _ in range(sent):
                unsent.popleft()

    def withdraw(self) -> list[Claimed]:
        """Take back every permit the child has not taken; those jobs have not started and will not."""
        taken_back = list(self._unsent)
        self._unsent.clear()
        while True:
            try:
                data = self._theirs.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                break
            if not data:
                break
            taken_back.extend(index for (index,) in PERMIT.iter_unpack(data))
        self._permits.clear()
        orders = [index for index in taken_back if index == ORDER]
        indexes = [index for index in taken_back if index != ORDER]
        if orders and not self.closing:
            self._permit(orders)
        if indexes:
            self.send(frame("withdrawn", indexes))
            if not self.closing:
                self._permit([ORDER])
        return [self.jobs.pop(index) for index in indexes if index in self.jobs]

    def unstarted(self) -> int:
        """Return how many permits the child has not taken."""
        buffer = array.array("i", [0])
        try:
            fcntl.ioctl(self._theirs, termios.FIONREAD, buffer)
        except OSError:
            return 0
        unread = buffer[0] // PERMIT.size
        while len(self._permits) > unread:
            self._permits.popleft()
        return unread + len(self._unsent)

    def running(self) -> list[int]:
        """Return the indexes of the jobs that run now, as far as can be told.

        Permits are taken in order, and only as many jobs run as there are slots: of those whose permit was taken, and that
        have not reported, the latest. What lies before them has ended, and its report is on its way.
        """
        self.unstarted()
        taken = next((index for index in chain(self._permits, self._unsent) if index != ORDER), self._next)
        found: list[int] = []
        first = next(iter(self.jobs), taken)
        for index in range(taken - 1, first - 1, -1):
            if index in self.jobs:
                found.append(index)
                if len(found) == self._slots:
                    break
        return found

    # -- hearing ----------------------------------------------------------------------------------------------------
    def read(self) -> list[bytes] | None:
        """Return complete lines; None at the end of the pipe."""
        try:
            data = os.read(self.results, _READ)
        except BlockingIOError:
            return []
        return self._lines.feed(data) if data else None

    def drain(self) -> list[bytes]:
        """Return all lines that a dead child has left in the pipe."""
        found: list[bytes] = []
        while True:
            try:
                data = os.read(self.results, _READ)
            except BlockingIOError:
                return found
            if not data:
                return found
            found.extend(self._lines.feed(data))

    def fault_text(self) -> str:
        """Return what faulthandler wrote when the process died, if it did."""
        self._faults.seek(0)
        return self._faults.read(_FAULT_LIMIT).decode("utf-8", "backslashreplace")

    # -- stopping ---------------------------------------------------------------------------------------------------
    def interrupt(self, index: int, reason: str) -> None:
        """Ask the running job to stop."""
        try:
            os.write(self.control, CONTROL.pack(index, REASONS.index(reason)))
            if self.process.returncode is None:
                os.kill(self.pid, SIGNAL)
        except OSError:
            pass  # its time limit for reacting holds all the same

    def close_permits(self) -> None:
        """Say that nothing more comes: it ends when it has finished what it took."""
        self.closing = True
        try:
            self._ours.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.close_control()

    def close_control(self) -> None:
        """Close the control pipe once nothing runs that may have to be interrupted; slots on threads end with it."""
        if self.closing and not self.jobs and self.control >= 0:
            os.close(self.control)
            self.control = -1

    def kill(self) -> None:
        """Kill it with all that it started in its process group."""
        self.kill_group()
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill what it has left there. The process itself may be gone already, and its number another's."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def dump(self) -> None:
        """Make it print where its threads are."""
        try:
            os.kill(self.pid, signal.SIGQUIT)
        except ProcessLookupError:
            pass

    def dispose(self) -> None:
        """Close our ends, after its death."""
        for fd in (self.payload, self.results, self.control):
            if fd >= 0:
                os.close(fd)
        self._ours.close()
        self._theirs.close()
        self._faults.close()


def _nameless_file() -> BinaryIO:
    """Return a file without a name, gone when both sides have closed it."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("packhorse-faults"), "w+b")
    from tempfile import TemporaryFile

    return TemporaryFile()


def _pipe(fds: list[int]) -> tuple[int, int]:
    pair = os.pipe()
    fds.extend(pair)
    return pair


def _command(fds: Sequence[int], commands: bool) -> list[str]:
    # The interpreter's own switches travel too (-X dev, -W error, -O …), so that a child runs the code as its caller would.
    switches: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *switches, "-m", "packhorse._child", *["--commands"] * commands, *map(str, fds)]


def _enlarge(fd: int) -> None:
    """Let a child tell many results before it must wait for us."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        except OSError:
            pass  # the user's pipe budget is used up; the default size works too
