"""One statement for many rows.

Each call of SQLite's lets the other threads of the process run, and may have to wait for them; so a batch is
written by a few statements of fixed sizes, which stay prepared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from .queries import rows_of

_SIZES = (256, 64, 16, 4, 1)


def write(
    db: sqlite3.Connection, verb: str, name: str, shared: tuple[Any, ...], values: Sequence[Any], width: int
) -> tuple[int, int]:
    """Run a statement over rows of ``width`` values each, which stand one after the other, after the parameters they share.

    Return how many changed, and the last row's number.
    """
    done, changed, last = 0, 0, 0
    for size in _SIZES:
        step = size * width
        while len(values) - done >= step:
            cursor = db.execute(rows_of(verb, name, size), (*shared, *values[done : done + step]))
            changed += cursor.rowcount
            last = cursor.lastrowid or 0
            done += step
    return changed, last
