"""When the store thread ends, and what it still waits for. Pure."""

from __future__ import annotations

from .outage import LONGEST_PAUSE


class Finishing:
    """The end of the store thread: not before what is held is settled, and a store that has just failed is tried once more."""

    def __init__(self) -> None:
        """Not begun."""
        self.by: float | None = None  #: monotonic time at which the thread ends whatever is left
        self._may_fail = 0  #: so many failures make the store one that stays away

    def begin(self, by: float, away: bool, next_try: float) -> None:
        """End by then. ``next_try``: seconds from now. A store that refuses us is not worth a wait."""
        self.by = by
        self._may_fail = (1 if away else 2) if next_try <= LONGEST_PAUSE else 0

    def failed(self) -> None:
        """The store did not answer."""
        self._may_fail -= 1

    def waits(self, holding: bool, away: bool, now: float) -> bool:
        """Tell whether something may still be done: jobs settled, or an answer that was lost looked for and the worker signed
        off."""
        assert self.by is not None
        return now < self.by and (holding or (away and self._may_fail > 0))
