"""Outcomes that could not be written because a transaction of the user's own holds the job's row."""

from __future__ import annotations

import math
from time import monotonic

from . import mailbox as m

#: Seconds until such a row is tried again: from, to.
_FIRST, _LAST = 0.05, 1.0


class Locked:
    """Keeps them until it is time to try again. The jobs stay held meanwhile."""

    def __init__(self) -> None:
        """Keep nothing."""
        self._runs: list[m.Done] = []
        self._pause = _FIRST
        self.due = math.inf  #: when to try again

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._runs)

    def keep(self, runs: list[m.Done]) -> None:
        """Keep runs; the pauses grow as long as there is always something."""
        if runs:
            self._runs += runs
            self.due = monotonic() + self._pause
            self._pause = min(self._pause * 2, _LAST)
        elif not self._runs:
            self._pause = _FIRST

    def take(self) -> list[m.Done]:
        """Give all up, to be settled now."""
        runs, self._runs = self._runs, []
        self.due = math.inf
        return runs
