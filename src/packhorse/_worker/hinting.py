"""Which hints a worker follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from .._store import Store

#: For so long (seconds) after a change was seen, what has changed may not have been there to be seen.
EARLY = 1.0


class Hinting:
    """Only what others did counts: our own settles make hints, too.

    A store may count a change before it can be seen (``Capabilities.early``). A worker that looks in between finds nothing, and
    when the change is there it is hinted at again, but the count has not moved. So that hint is followed, once.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Nothing has changed yet."""
        self._clock = clock
        self._seen = -math.inf

    def follow(self, store: Store) -> bool:
        """Tell whether to look, after a hint."""
        changed, now = store.changed(), self._clock()
        again = store.capabilities.early and now - self._seen < EARLY
        self._seen = now if changed else -math.inf
        return changed or again
