"""Where to begin in a line whose head is full of entries of jobs long gone.

A transaction that somebody holds open for long keeps every entry that was deleted since in the index of the queued jobs, and a
claim would wade through all of them. Then it begins where it last found a job, and looks at the whole line only so often that
this costs a tenth of the time: a job that comes back with an old rank, or with a high priority, may wait for that look.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

LOWEST = -(1 << 62)
#: A look at whole lines that takes longer (seconds), so many times in a row, makes us ask for the reason.
_SLOW, _TIMES = 0.01, 3
#: With fewer dead entries than this there is another reason.
MANY = 10_000
_SHARE = 10.0
_ASK_EVERY = 5.0


class Floors:
    """What one store object knows of the heads of lines."""

    def __init__(self) -> None:
        self._ranks: dict[int, int] = {}
        self._until = 0.0
        self._slow = 0
        self._asked_at = 0.0

    def of(self, lines: Sequence[int]) -> list[int]:
        """Return the rank from which on each line is looked at."""
        if self._ranks and time.monotonic() < self._until:
            return [self._ranks.get(line, LOWEST) for line in lines]
        return [LOWEST] * len(lines)

    def whole(self) -> bool:
        """Tell whether the next look is one at whole lines."""
        return not self._ranks or time.monotonic() >= self._until

    def suspects(self, took: float) -> bool:
        """Note how long a look at whole lines took; tell whether to ask for the number of dead entries."""
        self._slow = self._slow + 1 if took > _SLOW else 0
        now = time.monotonic()
        if self._slow < _TIMES or now < self._asked_at + _ASK_EVERY:
            return False
        self._asked_at = now
        return True

    def learn(self, heads: dict[int, int], took: float) -> None:
        """Begin at these ranks until a look at the whole is due again."""
        self._ranks = heads
        self._until = time.monotonic() + took * _SHARE

    def forget(self) -> None:
        """Look at whole lines."""
        self._ranks = {}
