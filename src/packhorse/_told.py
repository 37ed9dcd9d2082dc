"""What the store's records say, as users see it: times, attempts, how a job ended. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from ._record import AttemptRecord, JobRecord
from .errors import JobCancelled, JobFailed, PackhorseError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Attempt(NamedTuple):
    """One ended run of a job. Times are aware datetimes; ``error`` is data, as in ``JobFailed.error``."""

    number: int  #: from 1; snoozes and releases do not count
    outcome: str  #: succeeded, retry, failed, snoozed, cancelled, released, crashed or lost
    worker: str | None
    host: str | None
    started_at: datetime | None
    ended_at: datetime
    error: Mapping[str, Any] | None
    reason: str | None
    usage: Mapping[str, Any] | None  #: cpu seconds, peak memory, signal: what was told


def ending(record: JobRecord) -> PackhorseError:
    """Return the error of a job that ended otherwise than ``succeeded``."""
    if record.state == "cancelled":
        return JobCancelled(
            f"job {record.id} ({record.task}) was cancelled" + (f": {record.reason}" if record.reason else "")
        )
    error = data_of(record.error) or {}
    parts = [record.reason] if record.reason else []
    if error and error.get("message") != record.reason:
        parts.append(f"{error.get('type', 'error')}: {error.get('message', '')}")
    said = "; ".join(parts) or "no reason recorded"
    return JobFailed(f"job {record.id} ({record.task}) failed on attempt {number_of(record)}: {said}", error)


def number_of(record: JobRecord) -> int:
    """Return the number of the present run, of the next one, or of the last of an ended job."""
    # A failure that ended the job is counted already; a run's number is one more than those counted before it.
    return max(1, record.attempt - 1) if record.state == "failed" else record.attempt


def attempt_of(record: AttemptRecord) -> Attempt:
    """Return a record of an attempt as users see it."""
    return Attempt(
        number=record.number,
        outcome=record.outcome,
        worker=record.worker,
        host=record.host,
        started_at=moment_or_none(record.started_at),
        ended_at=moment(record.ended_at),
        error=data_of(record.error),
        reason=record.reason,
        usage=data_of(record.usage),
    )


def last_attempt(
    job: JobRecord, row: AttemptRecord | None, hosts: Mapping[str, str] = MappingProxyType({})
) -> AttemptRecord | None:
    """Return the last ended run of a job, given its last row, and the hosts of the workers that have one, by their ids.

    A success at its very first attempt has written no row: it is made up, as ``Store.attempts`` does.
    """
    if job.state != "succeeded" or job.token is None or (row is not None and row.token == job.token):
        return row
    return AttemptRecord(
        job=job.id,
        token=job.token,
        generation=job.generation,
        number=job.attempt,
        worker=job.worker,
        host=hosts.get(job.worker or ""),
        started_at=job.started_at,
        ended_at=job.finished_at or 0,
        outcome="succeeded",
        error=None,
        reason=job.reason,
        usage=None,
        late=None,
    )


def data_of(text: str | None) -> Any:
    """Return what a JSON text says; None for none."""
    return json.loads(text) if text else None


def moment(micros: int) -> datetime:
    """Return a stored time as an aware datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def moment_or_none(micros: int | None) -> datetime | None:
    """Return the same; None for none."""
    return None if micros is None else moment(micros)
