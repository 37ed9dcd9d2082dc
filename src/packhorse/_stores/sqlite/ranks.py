"""Where a job comes in its queue."""

from __future__ import annotations

import sqlite3

from ..._record import rank
from .queries import sql

_STEP = sql("steering", "step")


def step_of(db: sqlite3.Connection, queue: int) -> int:
    """Return the step of a queue, by its number."""
    return int(db.execute(_STEP, (queue,)).fetchone()[0])


def ranked(db: sqlite3.Connection, queue: int, ready: int, priority: int) -> int:
    """Return a rank by the step of the queue, which only a priority that is not 0 has to know."""
    return rank(ready, priority, step_of(db, queue)) if priority else ready
