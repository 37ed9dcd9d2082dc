"""When a process that stores jobs wakes the workers that sleep.

A notification wakes every worker that listens, and passes through a lock of the whole server. So a job that comes alone is told
of at once, and of many at the same time, whoever stores them, only ten times a second: who was woken then looks by itself for a
while. How many the others store is seen by the numbers of the jobs.
"""

from __future__ import annotations

import time

#: Whatever comes, it is told so often (seconds).
EVERY = 0.1
#: Of each job it is told at once, as long as there is no more than one in so many seconds.
ALONE = 0.01


class Pace:
    """What one process knows of the jobs that come into one namespace. Threads may use it together: at worst one tells twice."""

    def __init__(self) -> None:
        """Nothing has been stored yet."""
        self._told_at = self._stored_at = float("-inf")
        self._last = 0  #: number of the last job, as far as it is known

    @classmethod
    def of(cls, instance: str, ns: int) -> Pace:
        """Return that of a namespace, shared by all connections of the process."""
        return _all.get((instance, ns)) or _all.setdefault((instance, ns), cls())

    def may_tell(self, jobs: int, reached: int) -> bool:
        """Note that so many jobs have just been stored, the last one under this number (0: not known); tell whether to tell."""
        now = time.monotonic()
        since = max(jobs, reached - self._last) if reached and self._last else jobs
        alone = now - self._stored_at >= ALONE * since
        self._stored_at = now
        self._last = reached or (self._last + jobs if self._last else 0)
        if not alone and now - self._told_at < EVERY:
            return False
        self._told_at = now
        return True


_all: dict[tuple[str, int], Pace] = {}
