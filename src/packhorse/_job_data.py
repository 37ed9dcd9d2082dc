"""Stored jobs and attempts as JSON data, for programs: decoded columns, RFC 3339 times."""

from __future__ import annotations

from typing import Any

from ._record import AttemptRecord, JobRecord
from ._rules import held_names, parents
from ._when import rfc3339
from ._why import attempt_number
from ._why_commands import bars_of
from ._why_error import loads


def as_data(record: JobRecord, names: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a job as JSON data: decoded columns, RFC 3339 times; ``names`` maps worker ids to names."""
    args, kwargs = call_of(record.payload)
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": record.state,
        "args": args,
        "kwargs": kwargs,
        "priority": record.priority,
        "tags": loads(record.tags) or [],
        "meta": loads(record.meta) or {},
        "options": options_of(record),
        "kept_for": (loads(record.options) or {}).get("kept_for"),
        "on_crash": "fail" if record.crash_fails else "retry",
        "attempt": attempt_number(record),
        "failures": record.failures,
        "crashes": record.crashes,
        "losses": record.losses,
        "snoozes": record.snoozes,
        "requeued": record.generation,
        "parent": record.parent,
        "by": loads(record.by),
        "worker": (names or {}).get(record.worker or "", record.worker),
        "created_at": rfc3339(record.created_at),
        "scheduled_at": rfc3339(record.scheduled_at),
        "due_at": rfc3339(record.due_at),
        "started_at": rfc3339(record.started_at),
        "finished_at": rfc3339(record.finished_at),
        "expires_at": rfc3339(record.expires_at),
        "cancel_requested_at": rfc3339(record.cancel_at),
        "progress": bars_of(record.progress),
        "result": loads(record.result),
        "error": loads(record.error),
        "reason": record.reason,
        **rules_of(record),
    }


def options_of(record: JobRecord) -> dict[str, Any]:
    """Return the options as they were given; how long the record stays at least is no option."""
    return {name: value for name, value in (loads(record.options) or {}).items() if name != "kept_for"}


def rules_of(record: JobRecord) -> dict[str, Any]:
    """Return what a job needs before it may run, and what it belongs to, as JSON data."""
    holds = held_names(record.holds)
    return {
        "reserves": [name for mode, name in holds if mode == "x"],
        "shares": [name for mode, name in holds if mode == "s"],
        "limit": [name for mode, name in holds if mode == "l"],
        "after": parents(record.after),
        "after_flow": record.after_flow,
        "after_failure": "run" if record.after_failed else "cancel",
        "flow": record.flow,
        "unique": None if record.unique_key is None else record.unique_key.rpartition("\x1f")[2],
        "unique_until": record.unique_until,
        "unique_held": record.unique_held,
    }


def attempt_data(attempt: AttemptRecord, names: dict[str, str] | None = None) -> dict[str, Any]:
    """Return one ended run as JSON data."""
    return {
        "number": attempt.number,
        "requeued": attempt.generation,
        "outcome": attempt.outcome,
        "worker": (names or {}).get(attempt.worker or "", attempt.worker),
        "host": attempt.host,
        "started_at": rfc3339(attempt.started_at),
        "ended_at": rfc3339(attempt.ended_at),
        "error": loads(attempt.error),
        "reason": attempt.reason,
        "usage": loads(attempt.usage),
        "late": loads(attempt.late),
    }


def call_of(payload: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments as stored JSON."""
    found = loads(payload)
    if isinstance(found, list) and len(found) == 2:
        return found[0], found[1]
    return [], {}
