"""A clock that tests can set forward."""

from __future__ import annotations

import time


class SettableClock:
    """A store's clock: called, it returns µs since the Unix epoch.

    It runs with real time, ahead of it by what ``advance`` was given; opened with ``frozen`` (µs) it stands still there
    and moves by ``advance`` alone.
    """

    def __init__(self, frozen: int | None = None) -> None:
        """Start at real time, or stand still at ``frozen``."""
        self._frozen = frozen
        self._offset = 0

    def __call__(self) -> int:
        """Return the time, µs."""
        base = time.time_ns() // 1000 if self._frozen is None else self._frozen
        return base + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``."""
        self._offset += micros(seconds)


def micros(seconds: float) -> int:
    """Return a duration in µs."""
    return round(seconds * 1_000_000)
