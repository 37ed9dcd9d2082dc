"""Percentiles of any number of durations, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter

#: What is answered is at most so far from the true value, as a part of it.
ACCURACY = 0.01
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG = math.log(_GAMMA)
#: All shorter durations are one.
_LEAST = 1e-6


class Quantiles:
    """A sketch of durations in seconds: counts in buckets whose bounds grow by a constant factor.

    This is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
    PVLDB 12(12), 2019), with its plain, unbounded buckets: from a microsecond to ten years there are no more than 1,700 of
    them, so that none need ever be collapsed. Any percentile is answered within 1 % of its true value.
    """

    __slots__ = ("_buckets", "count", "largest", "total")

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.count = 0
        self.total = 0.0
        self.largest = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """Take one more duration."""
        self.count += 1
        self.total += value
        self.largest = max(self.largest, value)
        self._buckets[math.ceil(math.log(max(value, _LEAST)) / _LOG)] += 1

    def at(self, share: float) -> float | None:
        """Return the duration that ``share`` (0.5: the median) of those seen do not exceed; None if there were none."""
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(self.largest, 2 * math.exp(bucket * _LOG) / (_GAMMA + 1))
        return None
