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
        self._heads: dict[int, int] = {}  #: line → the first rank found there last
        self._active = False
        self._until = 0.0
        self._slow = 0
        self._asked_at = float("-inf")

    def whole(self) -> bool:
        """Tell whether the next look is one at whole lines."""
        return not self._active or time.monotonic() >= self._until

    def of(self, lines: Sequence[int]) -> list[int]:
        """Return the rank from which on each line is looked at."""
        if self.whole():
            return [LOWEST] * len(lines)
        return [self._heads.get(line, LOWEST) for line in lines]

    def saw(self, heads: dict[int, int]) -> None:
        """Note where lines begin."""
        self._heads.update(heads)

    def took(self, seconds: float) -> bool:
        """Note how long a look at whole lines took; tell whether to ask for the number of dead entries."""
        self._slow = self._slow + 1 if seconds > _SLOW else 0
        if self._active:
            self._active = self._slow > 0
            self._until = time.monotonic() + seconds * _SHARE
            return False
        now = time.monotonic()
        if self._slow < _TIMES or now < self._asked_at + _ASK_EVERY:
            return False
        self._asked_at = now
        return True

    def begin(self, seconds: float) -> None:
        """Begin at the heads from now on, until a look at the whole, which takes so long, is due again."""
        self._active = True
        self._until = time.monotonic() + seconds * _SHARE
