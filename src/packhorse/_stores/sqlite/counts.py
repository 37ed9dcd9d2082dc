"""How many jobs each queue has in each state, kept as sums beside the queue.

Changes are added up per transaction and written once per queue: a trigger would do so for every row. Even so the page of the
sums would be a fourth of what an enqueue of one job writes. So jobs that are stored queued are counted later: by the enqueue
that reaches a multiple of ``STRETCH``, by one that stores anything else, and by whoever deletes jobs.
"""

from __future__ import annotations

import sqlite3

from .queries import sql
from .rules import Changes
from .states import FIRST, QUEUED

_ADD, _ENDED = sql("counts", "add"), sql("counts", "ended")
_UNCOUNTED, _COUNTED = sql("counts", "uncounted"), sql("counts", "counted")
#: Fewer jobs than this are not in the sums.
STRETCH = 256
_END = 2**63 - 1


def uncounted(db: sqlite3.Connection, below: int = _END) -> dict[int, int]:
    """Return how many queued jobs to add to the sum of each queue: those before a number that are not in it yet."""
    return dict(db.execute(_UNCOUNTED, (below,)).fetchall())


def all_counted(db: sqlite3.Connection) -> None:
    """Note that every job there is now is in the sums."""
    db.execute(_COUNTED)


class Counts:
    """The changes of one transaction."""

    def __init__(self) -> None:
        self._changes: dict[int, list[int]] = {}
        self._ended: dict[int, int] = {}
        self._touched: list[int] = []
        self._anew: set[int] = set()
        #: Something may go now that could not.
        self.stirred = False

    def move(self, queue: int, old: int | None, new: int | None, jobs: int = 1) -> None:
        """Note that jobs of a queue went from one state to another; None is "not stored"."""
        change = self._changes.get(queue)
        if change is None:
            change = self._changes[queue] = [0] * 8
        if old is not None:
            change[old - FIRST] -= jobs
        if new is not None:
            change[new - FIRST] += jobs

    def catch_up(self, db: sqlite3.Connection, below: int = _END) -> None:
        """Add the jobs before a number that are not in the sums yet. ``all_counted`` must follow."""
        for queue, jobs in uncounted(db, below).items():
            self.move(queue, None, QUEUED, jobs)

    def end(self, claim: int, jobs: int = 1) -> None:
        """Note that jobs of a claim do not run any more."""
        self._ended[claim] = self._ended.get(claim, 0) + jobs

    def touch(self, seq: int) -> None:
        """Note that the state of a job changed that may have rules, a flow or a key, or that others may wait for."""
        self._touched.append(seq)

    def look_again(self, seq: int) -> None:
        """Note that a job which waits for admit is another one: nothing that was found of it counts any more."""
        self._anew.add(seq)

    def write(self, db: sqlite3.Connection) -> None:
        """Write the changes down, and what follows from them."""
        for queue, change in self._changes.items():
            if any(change):
                db.execute(_ADD, (*change, queue))
        for claim, jobs in self._ended.items():
            db.execute(_ENDED, (jobs, claim))
        if self._touched:
            changes = Changes(db)
            changes.follow(self._touched, self._anew)
            self.stirred = self.stirred or changes.stirred
