"""What a job may change in its process, put back after it: working directory, umask, environment, signal handlers."""

from __future__ import annotations

import logging
import os
import signal
import sys

_log = logging.getLogger("packhorse.worker")

_WATCHED = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGPIPE")
    if hasattr(signal, name)
)


class Guard:
    """Notes the process's state once and compares after each job. Only for a child with one slot, where a change can be told."""

    def __init__(self) -> None:
        """Note the state now."""
        self._cwd = os.getcwd()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        # The mapping behind os.environ: comparing it costs no decoding of each value.
        self._environ = dict(os.environ._data)  # type: ignore[attr-defined]
        self._path = list(sys.path)
        self._handlers = {number: signal.getsignal(number) for number in _WATCHED}
        self._getsignal = signal.getsignal
        self._pairs = tuple(self._handlers.items())

    def restore(self, task: str) -> None:
        """Put back what the last job changed, and say which task it was."""
        changed = []
        if self._cwd_changed():
            changed.append("working directory")
            os.chdir(self._cwd)
        if os.umask(self._umask) != self._umask:
            changed.append("umask")
        if os.environ._data != self._environ:  # type: ignore[attr-defined]
            changed.append("environment")
            self._restore_environ()
        if sys.path != self._path:
            changed.append("sys.path")
            sys.path[:] = self._path
        for number, handler in self._pairs:
            if self._getsignal(number) is not handler:
                changed.append(f"handler of {signal.Signals(number).name}")
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if changed:
            _log.warning("task %s left its process changed (%s); put back", task, ", ".join(changed))

    def _cwd_changed(self) -> bool:
        try:
            return os.getcwd() != self._cwd
        except FileNotFoundError:  # the job removed the directory it stood in
            return True

    def _restore_environ(self) -> None:
        saved = {os.fsdecode(k): os.fsdecode(v) for k, v in self._environ.items()}
        for name in set(os.environ) - set(saved):
            del os.environ[name]
        for name, value in saved.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
