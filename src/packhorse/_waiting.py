"""Waiting for the end of a job: how long, and how often to look."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._durations import Duration, seconds, spoken
from ._record import FINAL
from .errors import JobTimeout, StoreUnavailable

if TYPE_CHECKING:
    from ._job import Job

#: Between two looks at a job that runs somewhere: from so many seconds to so many.
_FIRST_LOOK, _LAST_LOOK = 0.002, 0.05
#: Between two looks at most, while the store does not answer.
_LONGEST_PAUSE = 1.0


class Deadline:
    """How long somebody waits for the end of a job, and how often to look."""

    def __init__(self, job: Job[Any], timeout: Duration | None, name: str) -> None:
        self._job = job
        self._limit = None if timeout is None else seconds(timeout, name)
        self._started = time.monotonic()
        self._looked = 0
        self._missed = 0
        self._trouble: StoreUnavailable | None = None

    def missed(self, error: StoreUnavailable) -> float:
        """Note that the store did not answer; return how long to wait before the next look. The job goes on whether its store
        answers or not, so that ends the wait only when its time is over: then the error is raised."""
        if self.left(1) == 0:
            raise error
        self._missed += 1
        self._trouble = error
        return self.left(random.uniform(0.02, min(_LONGEST_PAUSE, 0.05 * 2 ** min(self._missed, 10))))

    def ended(self) -> bool:
        """Tell whether the job has ended, as far as its handle knows."""
        return self._job._record is not None and self._job.state in FINAL

    def left(self, most: float) -> float:
        """Return the seconds left, at most ``most``."""
        if self._limit is None:
            return most
        return max(0.0, min(most, self._started + self._limit - time.monotonic()))

    def looks(self, until: float = math.inf) -> Iterator[float]:
        """Yield the pauses before each look, until the job has ended, or for about ``until`` seconds.

        Raises ``JobTimeout`` when the time is over, and where nobody runs jobs unless a test says so.
        """
        pause, total = (0.0 if self._looked == 0 else _LAST_LOOK), 0.0
        while not self.ended() and total <= until:
            if self._looked and self._job._connection.test:
                raise JobTimeout(f"{_still(self._job)}: in a test, jobs run when it calls run().")
            if self._looked and self.left(1) == 0:
                raise self._trouble or JobTimeout(
                    f"{_still(self._job)} after {spoken(self._limit or 0)}; it goes on. job.why() tells what it waits for."
                )
            self._looked += 1
            yield self.left(pause)
            self._missed, self._trouble = 0, None
            total += pause
            pause = min(pause * 1.4, _LAST_LOOK) if pause else _FIRST_LOOK


def _still(job: Job[Any]) -> str:
    return f"job {job.id} ({job.task}) is {job.state}"
