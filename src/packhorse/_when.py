"""Moments as people read and type them. Stored times are microseconds since the Unix epoch; people see local time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ._durations import seconds, spoken
from .errors import BadOption

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def local(moment: int) -> datetime:
    """Return a stored time as an aware datetime in the zone of this machine (or of ``TZ``)."""
    return datetime.fromtimestamp(moment / 1e6, UTC).astimezone()


def clock(moment: int, now: int) -> str:
    """Return a moment as a person says it: ``15:00:00``, with the date if that is not today."""
    then = local(moment)
    if then.date() == local(now).date():
        return then.strftime("%H:%M:%S")
    return then.strftime("%Y-%m-%d %H:%M:%S")


def distance(moment: int, now: int) -> str:
    """Return how far away a moment is: ``in 5 m``, ``3 s ago``."""
    away = (moment - now) / 1e6
    return f"in {spoken(away)}" if away >= 0 else f"{spoken(-away)} ago"


def rfc3339(moment: int | None) -> str | None:
    """Return a stored time as RFC 3339 text in UTC, for programs; None stays None."""
    if moment is None:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")


def parse(text: str, name: str, now: datetime | None = None) -> datetime:
    """Return the moment a person typed: ``15:00`` (the next one), ``2026-11-21 09:00`` or RFC 3339.

    What has no zone is the person's own local time. Raises ``BadOption``, naming ``name``, for anything else.
    """
    now = now or datetime.now(UTC)
    match = _CLOCK.fullmatch(text.strip())
    try:
        if match:
            return _next_clock(match, now)
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise BadOption(
            f'{name} takes a time, like "15:00", "2026-11-21 09:00" (local) or "2026-11-21T09:00:00Z"; not {text!r}.'
        ) from None


def _next_clock(match: re.Match[str], now: datetime) -> datetime:
    moment = now.astimezone().replace(
        hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0), microsecond=0, tzinfo=None
    )
    # Naive again before the zone is put on: tomorrow's offset may differ from today's.
    if moment.astimezone() <= now:
        moment += timedelta(days=1)
    return moment.astimezone()


def since(text: str, name: str, now: int) -> int:
    """Return a moment in the past, µs: a duration before ``now`` (``1h``), or a time as ``parse`` takes it."""
    try:
        return now - round(seconds(text, name) * 1e6)
    except BadOption:
        moment = parse(text, name, local(now))
    micro = to_micro(moment)
    # "15:00" of the next day cannot be meant when looking back.
    return micro - 86_400_000_000 if micro > now and _CLOCK.fullmatch(text.strip()) else micro


def to_micro(moment: datetime) -> int:
    """Return an aware datetime as a stored time."""
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
