"""Gates that let an interruption into the user's code, and nowhere else."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from .._current import Running, running
from .._signals import Interrupted
from .._wire import CONTROL, REASONS

if TYPE_CHECKING:
    import asyncio

    from .child import Child

#: The signal that makes a one-slot child look at its control pipe. A real-time one where there are such, since
#: applications use the others.
SIGNAL: int = signal.SIGRTMIN + 3 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2


class _Timeout(Interrupted):
    def __init__(self) -> None:
        super().__init__("timeout")


class _Cancelled(Interrupted):
    def __init__(self) -> None:
        super().__init__("cancelled")


class _Shutdown(Interrupted):
    def __init__(self) -> None:
        super().__init__("shutdown")


for _each in (_Timeout, _Cancelled, _Shutdown):
    # What a traceback shows is the class that users know.
    _each.__name__ = _each.__qualname__ = "Interrupted"
    _each.__module__ = "packhorse"

_CLASSES: dict[str, Callable[[], Interrupted]] = {"timeout": _Timeout, "cancelled": _Cancelled, "shutdown": _Shutdown}


def orders(fd: int) -> list[tuple[int, str]]:
    """Read what stands in the control pipe: (index of the job, reason)."""
    data = os.read(fd, CONTROL.size * 64)
    return [(index, REASONS[reason]) for index, reason in CONTROL.iter_unpack(data)]


def end_fork() -> NoReturn:
    """End a process that a job forked, and that came back out of the job's function: one process alone reports and serves on."""
    error = sys.exc_info()[1]
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code or 0
    elif error is not None:
        import traceback

        traceback.print_exception(error)
        code = 1
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 0xFF if isinstance(code, int) else 1)


class SignalGate:
    """For one slot on the main thread: a signal handler runs between two of its instructions, so a flag is exact."""

    def __init__(self, child: Child, control: int) -> None:
        """Take over the signal."""
        self._child = child
        self._control = control
        self._armed = False
        self._task: asyncio.Task[Any] | None = None
        self._early: dict[int, str] = {}
        self.forked = False
        os.register_at_fork(after_in_child=self._fork)
        os.set_blocking(control, False)
        signal.signal(SIGNAL, self._handle)

    def _fork(self) -> None:
        self.forked = True

    def _handle(self, number: int, frame: object) -> None:
        try:
            found = orders(self._control)
        except BlockingIOError:
            return
        for index, reason in found:
            if index >= self._child.index:
                self._early[index] = reason
        if self._armed:
            self._interrupt()

    def _interrupt(self) -> None:
        reason = self._early.pop(self._child.index, None)
        if reason is None:
            return
        run = running()
        if run is not None:
            run.stop = reason
        if self._task is not None:
            # The loop may be asleep in its selector: only this wakes it.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            return
        raise _CLASSES[reason]()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep interruptions waiting while the main thread writes to the supervisor."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed
        if armed and self._early:
            self._interrupt()

    def arm(self, task: asyncio.Task[Any] | None = None) -> None:
        """Let interruptions in."""
        self._task = task
        self._armed = True
        if self._early:
            self._interrupt()

    def disarm(self) -> None:
        """Keep them out."""
        if self.forked:
            end_fork()
        self._armed = False
        self._task = None
        if self._early:
            self._early = {index: why for index, why in self._early.items() if index > self._child.index}


class ThreadGate:
    """For slots on threads: an asynchronous exception, set under a lock that the end of the job takes too."""

    def __init__(self) -> None:
        """Begin with nothing running."""
        # One that its holder may take again: a signal handler or a finaliser of the job's may print in the middle of a print.
        self.lock = threading.RLock()
        self.forked = False
        os.register_at_fork(after_in_child=self._fork)
        self._armed: dict[int, tuple[Running, int, asyncio.Task[Any] | None]] = {}
        self._indexes: dict[str, int] = {}
        self._early: dict[int, str] = {}
        self._used = False

    def _fork(self) -> None:
        self.forked = True
        self.lock = threading.RLock()  # another thread may have held it

    def begin(self, job: str, index: int) -> None:
        """Say which index a job has in this child."""
        self._indexes[job] = index

    def index(self, job: str) -> int:
        """Return a running job's index."""
        return self._indexes.get(job, -1)  # -1: what it left running prints after its end

    def end(self, job: str) -> None:
        """Forget a job."""
        self._early.pop(self._indexes.pop(job), None)

    def arm(self, task: asyncio.Task[Any] | None = None) -> None:
        """Let interruptions of this thread's or coroutine's run in."""
        run = _mine()
        with self.lock:
            index = self._indexes[run.job.id]
            self._armed[index] = (run, threading.get_ident(), task)
            reason = self._early.pop(index, None)
        if reason is not None:
            run.stop = reason
            raise _CLASSES[reason]()

    def disarm(self) -> None:
        """Keep them out, and clear one that was set but has not arrived."""
        if self.forked:
            end_fork()
        run = _mine()
        with self.lock:
            found = self._armed.pop(self._indexes[run.job.id], None)
            if found is not None and found[2] is None and self._used:
                _set_async(found[1], None)

    def interrupt(self, index: int, reason: str) -> None:
        """Interrupt the job of this index; any thread may call it."""
        with self.lock:
            found = self._armed.get(index)
            if found is None:
                self._early[index] = reason
                return
            run, thread, task = found
            run.stop = reason
            if task is not None:
                task.get_loop().call_soon_threadsafe(task.cancel)
                return
            self._used = True
            _set_async(thread, _CLASSES[reason])


def _mine() -> Running:
    run = running()
    assert run is not None
    return run


def _set_async(thread: int, error: object) -> None:
    import ctypes

    target = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)
