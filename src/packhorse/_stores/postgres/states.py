"""States as the small numbers the tables hold."""

from __future__ import annotations

from ..._record import State

NAMES: tuple[State, ...] = (
    "queued",
    "running",
    "scheduled",
    "retrying",
    "blocked",
    "succeeded",
    "failed",
    "cancelled",
)
NUMBER: dict[State, int] = {name: number for number, name in enumerate(NAMES)}

QUEUED, RUNNING, SCHEDULED, RETRYING, BLOCKED, SUCCEEDED, FAILED, CANCELLED = range(8)


def micros(seconds: float) -> int:
    """Return a duration in µs."""
    return round(seconds * 1_000_000)
