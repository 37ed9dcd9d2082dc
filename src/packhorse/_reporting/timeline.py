"""When things happened, in as many equal stretches of time as can be drawn, whatever time they span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

#: Widths of a stretch, in seconds: what people divide time into.
WIDTHS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400, 28 * 86400, 364 * 86400)
MOST = 120


class Timeline:
    """Counts events by kind and stretch; stretches are made wider when there get to be too many."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._step = 0
        self._counts: dict[int, Counter[str]] = {}

    @property
    def width(self) -> int:
        """Return how many seconds one stretch has."""
        return WIDTHS[self._step]

    def add(self, moment: int, kind: str) -> None:
        """Count an event at a stored time."""
        place = moment // 1_000_000 // self.width
        if place in self._counts:
            self._counts[place][kind] += 1
            return
        self._counts[place] = Counter({kind: 1})
        while self._step + 1 < len(WIDTHS) and max(self._counts) - min(self._counts) >= MOST:
            self._widen()

    def _widen(self) -> None:
        old, self._step = self.width, self._step + 1
        counts, self._counts = self._counts, {}
        for place, kinds in counts.items():
            self._counts.setdefault(place * old // self.width, Counter()).update(kinds)

    def stretches(self) -> Iterator[tuple[int, Counter[str]]]:
        """Yield (when it begins, µs; how many of each kind), without gaps; of what is empty too."""
        if self._counts:
            for place in range(min(self._counts), max(self._counts) + 1):
                yield place * self.width * 1_000_000, self._counts.get(place, Counter())
