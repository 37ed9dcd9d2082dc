"""How many jobs each queue has in each state, kept as sums beside the queue.

Changes are added up per transaction and written once per queue: a trigger would do so for every row.
"""

from __future__ import annotations

import sqlite3

from .queries import sql
from .states import FIRST

_ADD, _ENDED = sql("counts", "add"), sql("counts", "ended")


class Counts:
    """The changes of one transaction."""

    def __init__(self) -> None:
        self._changes: dict[int, list[int]] = {}
        self._ended: dict[int, int] = {}

    def move(self, queue: int, old: int | None, new: int | None, jobs: int = 1) -> None:
        """Note that jobs of a queue went from one state to another; None is "not stored"."""
        change = self._changes.get(queue)
        if change is None:
            change = self._changes[queue] = [0] * 8
        if old is not None:
            change[old - FIRST] -= jobs
        if new is not None:
            change[new - FIRST] += jobs

    def end(self, claim: int, jobs: int = 1) -> None:
        """Note that jobs of a claim do not run any more."""
        self._ended[claim] = self._ended.get(claim, 0) + jobs

    def write(self, db: sqlite3.Connection) -> None:
        """Write the changes down."""
        for queue, change in self._changes.items():
            if any(change):
                db.execute(_ADD, (*change, queue))
        for claim, jobs in self._ended.items():
            db.execute(_ENDED, (jobs, claim))
