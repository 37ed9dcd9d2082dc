"""Rows as records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..._record import JobRecord
from .states import NAMES
from .words import decoded


class Row(NamedTuple):
    """A job as the tables hold it: what the contract shows of it, and what else is needed to change it."""

    job: JobRecord
    cancel_reason: str | None
    claim_no: int | None
    kind: int
    line: int
    queue: int
    step: int  #: of its queue


_STATE, _REASON, _CANCEL_BY = 4, 33, 36
_FIELDS = len(JobRecord._fields)


def job_record(row: Sequence[Any]) -> JobRecord:
    """Return a row whose columns stand in the order of the record."""
    values = list(row[:_FIELDS])
    values[_STATE] = NAMES[values[_STATE]]
    values[_REASON] = decoded(values[_REASON])
    values[_CANCEL_BY] = decoded(values[_CANCEL_BY])
    return JobRecord(*values)


def whole_row(row: Sequence[Any]) -> Row:
    """Return a row of ``rows.locked`` and the like."""
    reason, *rest = row[_FIELDS:]
    return Row(job_record(row), decoded(reason), *rest)
