"""States by their letters, and durations as the scripts take them."""

from __future__ import annotations

from collections.abc import Iterable

from ..._record import State

LETTERS: dict[State, str] = {
    "scheduled": "c",
    "blocked": "b",
    "queued": "q",
    "running": "r",
    "retrying": "y",
    "succeeded": "s",
    "failed": "f",
    "cancelled": "x",
}
NAMES: dict[str, State] = {letter: state for state, letter in LETTERS.items()}


def letters(states: Iterable[State]) -> str:
    """Return the letters of some states, in one text."""
    return "".join(LETTERS[state] for state in states)


def micros(seconds: float) -> int:
    """Return a duration in µs."""
    return round(seconds * 1_000_000)
