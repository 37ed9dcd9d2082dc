"""How far ahead of its free slots a worker claims: pure arithmetic."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

#: Never more work ahead than this many seconds per slot.
AHEAD = 0.050
MOST = 1000
_KNOWN = 10
_REMEMBERED = 100


class Pace:
    """Run times of the last jobs of each queue.

    Work ahead per slot is ``floor(50 ms / mean run time)`` of the queue's last 100 jobs, at most 1,000, and none until ten are
    known. Of the queues of the last claim the slowest decides, since a claim cannot know which queue's jobs it will get.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._times: dict[str, deque[float]] = {}
        self._sums: dict[str, float] = {}
        self._latest: tuple[str, ...] = ()

    def claimed(self, queues: Iterable[str]) -> None:
        """Note the queues of the latest claim."""
        self._latest = tuple(set(queues))

    def ran(self, queue: str, seconds: float) -> None:
        """Note one run time."""
        times = self._times.get(queue)
        if times is None:
            times = self._times[queue] = deque(maxlen=_REMEMBERED)
            self._sums[queue] = 0.0
        if len(times) == _REMEMBERED:
            self._sums[queue] -= times[0]
        times.append(seconds)
        self._sums[queue] += seconds

    def ran_many(self, queue: str, nanoseconds: Sequence[int]) -> None:
        """Note run times; no more than are remembered."""
        for time in nanoseconds[-_REMEMBERED:]:
            self.ran(queue, time / 1e9)

    def ahead(self, running: dict[str, tuple[int, float]]) -> int:
        """Return the jobs to have ahead of each slot; ``running``: queue → (count, sum of ages so far in seconds)."""
        if not self._latest:
            return 0
        return min(self._ahead_of(queue, *running.get(queue, (0, 0.0))) for queue in self._latest)

    def _ahead_of(self, queue: str, count: int, ages: float) -> int:
        times = self._times.get(queue)
        if times is None or len(times) < _KNOWN:
            return 0
        mean = (max(self._sums[queue], 0.0) + ages) / (len(times) + count)
        return MOST if mean <= AHEAD / MOST else int(AHEAD / mean)
