"""What a job may change in its process, put back after it: working directory, umask, environment, signal handlers.

Looked at after every job, so it must cost next to nothing: changes of directory and environment announce themselves through an
audit hook (PEP 578), and the rest is a system call and a few look-ups.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import logging
import os
import signal
import sys
from typing import Any

from .interrupts import SIGNAL

_log = logging.getLogger("packhorse.worker")

_WATCHED = (
    SIGNAL,
    *(
        int(getattr(signal, name))
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGPIPE")
        if hasattr(signal, name)
    ),
)
_ANNOUNCED = frozenset({"os.chdir", "os.putenv", "os.unsetenv"})


def _name(number: int) -> str:
    return f"signal {number}" if number == SIGNAL else signal.Signals(number).name


class Guard:
    """Notes the process's state once and compares after each job. Only for a child with one slot, where a change can be told."""

    def __init__(self) -> None:
        """Note the state now."""
        self._cwd = os.getcwd()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._environ = dict(os.environ)
        self._path = list(sys.path)
        self._streams = (sys.stdout, sys.stderr)
        # The C function: the one of the signal module builds an enum member at each call.
        self._handlers = tuple((number, _signal.getsignal(number)) for number in _WATCHED)
        self._announced = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _ANNOUNCED:
            self._announced = True

    def restore(self, task: str) -> None:
        """Put back what the last job changed, and say which task it was."""
        changed = self._restore_announced() if self._announced else []
        if os.umask(self._umask) != self._umask:
            changed.append("umask")
        if sys.path != self._path:
            changed.append("sys.path")
            sys.path[:] = self._path
        if (sys.stdout, sys.stderr) != self._streams:
            changed.append("sys.stdout or sys.stderr")
            sys.stdout, sys.stderr = self._streams
        for number, handler in self._handlers:
            if _signal.getsignal(number) is not handler:
                changed.append(f"handler of {_name(number)}")
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
                if number == signal.SIGALRM:
                    signal.setitimer(signal.ITIMER_REAL, 0)  # else it would go off in the next job
        if changed:
            _log.warning("task %s left its process changed (%s); put back", task, ", ".join(changed))

    def _restore_announced(self) -> list[str]:
        changed = []
        if self._cwd_changed():
            changed.append("working directory")
            with contextlib.suppress(OSError):  # it is gone: the next job has no other either
                os.chdir(self._cwd)
        if dict(os.environ) != self._environ:
            changed.append("environment")
            self._restore_environ()
        self._announced = False
        return changed

    def _cwd_changed(self) -> bool:
        try:
            return os.getcwd() != self._cwd
        except FileNotFoundError:  # the job removed the directory it stood in
            return True

    def _restore_environ(self) -> None:
        for name in set(os.environ) - set(self._environ):
            del os.environ[name]
        for name, value in self._environ.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
