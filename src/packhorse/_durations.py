"""Durations as people write them: ``90``, ``0.5``, ``"5m"``, ``"1h30m"``, ``timedelta``."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from .errors import BadOption

Duration = float | str | timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
#: A hundred years: longer is a mistake of units, and keeps microseconds within 2^53 of any date near ours.
_LONGEST = 100 * 365.25 * 86400.0


def seconds(value: Duration, name: str = "duration") -> float:
    """Return a duration in seconds.

    Numbers are seconds; text is one or more numbers with a unit of ``ms s m h d w``, or a bare number. Raises
    ``BadOption``, naming ``name``, for anything else, and for what is negative, not finite or over 100 years.
    """
    number = _number(value)
    if number is None:
        raise BadOption(
            f'{name} takes a duration: seconds, text like "5m" or "1h30m" (units ms s m h d w), or a timedelta; '
            f"not {value!r}."
        )
    if not math.isfinite(number) or number < 0 or number > _LONGEST:
        raise BadOption(f"{name} must be between 0 and 100 years, not {value!r}.")
    return number


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _parse(value) if isinstance(value, str) else None


def _parse(text: str) -> float | None:
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        pass
    total, position = 0.0, 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return None
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    return total if text else None


def spoken(value: float) -> str:
    """Return seconds as people say them: ``4 ms``, ``1.3 s``, ``6 m 12 s``, ``2 h 5 m``, ``3 d 4 h``."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    whole = round(value)
    for unit, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
