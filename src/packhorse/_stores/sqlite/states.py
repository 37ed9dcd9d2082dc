"""States as the small numbers the file holds."""

from __future__ import annotations

from ..._record import State

#: In the order of the counters of a queue.
ORDER: tuple[State, ...] = (
    "queued",
    "running",
    "scheduled",
    "retrying",
    "blocked",
    "succeeded",
    "failed",
    "cancelled",
)
#: SQLite stores 0 and 1 without a byte of their own: a job's row would change its size.
FIRST = 2
NUMBER: dict[State, int] = {name: number for number, name in enumerate(ORDER, FIRST)}
NAMES: dict[int, State] = {number: name for name, number in NUMBER.items()}

QUEUED, RUNNING, SCHEDULED, RETRYING, BLOCKED, SUCCEEDED, FAILED, CANCELLED = NAMES

#: What stands in a job's row for a time that there is not, as wide as one that there is.
NO_TIME = -(1 << 60)


def micros(seconds: float) -> int:
    """Return a duration in µs."""
    return round(seconds * 1_000_000)
