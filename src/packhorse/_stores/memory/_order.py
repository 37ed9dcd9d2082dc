"""An ordered set of jobs: what an index is to a database."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

Entry = tuple[int, int]


class Order:
    """Entries (key, seq), smallest first.

    A sorted list. Most entries leave at the front, and moving the whole list for each would make draining a long line
    quadratic; so the front is only counted off, and cut away once it is half of the list.
    """

    __slots__ = ("_entries", "_start")

    def __init__(self) -> None:
        """Begin empty."""
        self._entries: list[Entry] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._entries) - self._start

    def __iter__(self) -> Iterator[int]:
        """Yield the seq of each entry; entries may come and go meanwhile."""
        entry: Entry | None = (self._entries[self._start][0], -1) if len(self) else None
        while entry is not None and (entry := self._after(entry)) is not None:
            yield entry[1]

    def add(self, entry: Entry) -> None:
        """Put an entry in its place."""
        insort(self._entries, entry, self._start)

    def remove(self, entry: Entry) -> None:
        """Take an entry out, which must be there."""
        position = bisect_left(self._entries, entry, self._start)
        if position > self._start:
            del self._entries[position]
            return
        self._start += 1
        if self._start * 2 > len(self._entries):
            del self._entries[: self._start]
            self._start = 0

    def before(self, entry: Entry) -> list[int]:
        """Return the seqs of all entries smaller than this."""
        end = bisect_left(self._entries, entry, self._start)
        return [seq for _, seq in self._entries[self._start : end]]

    def first(self) -> int | None:
        """Return the smallest key."""
        return self._entries[self._start][0] if len(self) else None

    def _after(self, entry: Entry) -> Entry | None:
        position = bisect_left(self._entries, (entry[0], entry[1] + 1), self._start)
        return self._entries[position] if position < len(self._entries) else None
