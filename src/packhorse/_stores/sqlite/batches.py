"""One statement for many rows.

Each call of SQLite's lets the other threads of the process run, and may have to wait for them; so a batch is
written by a few statements of fixed sizes, which stay prepared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from .queries import rows_of

_SIZES = (256, 64, 16, 4, 1)


def write(
    db: sqlite3.Connection, verb: str, name: str, shared: tuple[Any, ...], rows: Sequence[Sequence[Any]]
) -> tuple[int, int]:
    """Run a statement over rows, after the parameters they share. Return how many changed, and the last row's number."""
    done, changed, last = 0, 0, 0
    for size in _SIZES:
        while len(rows) - done >= size:
            part: Iterable[Any] = chain.from_iterable(rows[done : done + size])
            cursor = db.execute(rows_of(verb, name, size), (*shared, *part))
            changed += cursor.rowcount
            last = cursor.lastrowid or 0
            done += size
    return changed, last
