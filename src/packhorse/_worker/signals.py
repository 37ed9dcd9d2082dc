"""Signals of the supervisor, as something its selector can wait for."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

_TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT)


class Signals:
    """Takes the signals over; ``fd`` becomes readable when one has come."""

    def __init__(self) -> None:
        """Make the pipe; nothing is taken over yet."""
        self.fd, self._wake = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._wake, False)
        self._came: list[int] = []
        self._before: dict[int, Any] = {}
        self._fd_before = -1

    def take_over(self) -> None:
        """Have them wake the selector from now on."""
        self._fd_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in _TAKEN:
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._came.append(number)

    def came(self) -> list[int]:
        """Return the signals that have come, but for SIGCHLD, which only wakes."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)
        came, self._came = self._came, []
        return came

    def let_go(self) -> None:
        """Wake nobody any more."""
        signal.set_wakeup_fd(self._fd_before)

    def restore(self) -> None:
        """Give the signals back to the program around the worker."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(self.fd)
        os.close(self._wake)
