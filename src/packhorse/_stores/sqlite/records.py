"""Rows as records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from ..._record import JobRecord
from .queries import sql
from .states import NAMES

_BOOLEANS = tuple(map(JobRecord._fields.index, ("after_failed", "unique_held", "parked")))


def job_record(row: tuple[Any, ...]) -> JobRecord:
    """Return a row of ``look.records`` as a record; the columns stand in its order."""
    values = list(row)
    values[4] = NAMES[values[4]]
    values[15] = bool(values[15])
    values[16] = bool(values[16])
    for place in _BOOLEANS:
        values[place] = bool(values[place])
    return JobRecord(*values)


def by_seq(db: sqlite3.Connection, seqs: str) -> list[JobRecord]:
    """Return the jobs of these numbers (JSON), in the order given."""
    return [job_record(row) for row in db.execute(sql("look", "records"), {"seqs": seqs}).fetchall()]


def by_id(db: sqlite3.Connection, ns: int, ids: str) -> list[JobRecord]:
    """Return the jobs of these ids (JSON), in the order given."""
    rows: Iterable[Any] = db.execute(sql("look", "by_id"), {"ns": ns, "ids": ids}).fetchall()
    return [job_record(row) for row in rows]
