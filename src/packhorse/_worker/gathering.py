"""How long outcomes wait for what may come with them. Pure: the clock is a number.

Outcomes are settled together. Where slots are free, the call that settles them brings the next jobs, too. Jobs that are never
claimed ahead cost such a call for each that ends, or one for several that end together; but a slot that waits is lost. So the
wait is a small part of what a call takes, and none for jobs that run longer.
"""

from __future__ import annotations

from collections.abc import Iterable

from .mailbox import Done

#: Outcomes wait at most so long for others to be settled with them, unless so many wait already.
SETTLE_AFTER = 0.005
SETTLE_AT = 300
#: Where slots are free: the part of a call for which it is worth to wait, and the most (seconds).
PART, MOST = 0.25, 0.002
#: When nothing runs any more, main is about to ask for jobs; that takes it no longer.
WISH = 0.001


class Gathering:
    """Knows when to wait no longer."""

    def __init__(self) -> None:
        """Nothing has ended yet, and nothing was measured."""
        self.oldest = 0.0  #: when the first of the outcomes came that have not been settled
        self.idle = False  #: nothing runs any more
        self._moment = 0.0

    def took(self, seconds: float, runs: Iterable[Done]) -> None:
        """Note how long the store took for a call, and the runs that had ended before it."""
        brief = all(end - start < seconds * 1e9 for _, start, end, _ in runs)
        self._moment = min(seconds * PART, MOST) if brief else 0.0

    def exchange_at(self, wanted: bool) -> float:
        """Return when to settle what has ended and claim for the slots that are free; ``wanted``: main has asked for jobs."""
        if self.idle:
            return self.oldest if wanted else self.oldest + WISH
        return self.oldest + self._moment

    def settle_at(self, count: int, wanted: bool) -> float:
        """Return when to settle so many outcomes, whatever becomes of free slots."""
        if count >= SETTLE_AT:
            return self.oldest
        return self.exchange_at(wanted) if self.idle else self.oldest + SETTLE_AFTER
