"""Moments as people read and type them. Stored times are microseconds since the Unix epoch; people see local time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from ._durations import seconds, spoken
from .errors import BadOption

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS_BACK = {"today": 0, "yesterday": 1}
_PAST = re.compile(rf"({'|'.join([*_DAYS_BACK, *_WEEKDAYS])})?\s*(?:(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?)?")


def local(moment: int, where: tzinfo | None = None) -> datetime:
    """Return a stored time as an aware datetime in a zone, None: that of this machine (or of ``TZ``)."""
    return datetime.fromtimestamp(moment / 1e6, UTC).astimezone(where)


def clock(moment: int, now: int, where: tzinfo | None = None) -> str:
    """Return a moment as a person says it: ``15:00:00``, with the date if that is not today."""
    then = local(moment, where)
    if then.date() == local(now, where).date():
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


def zone(text: str, name: str) -> tzinfo:
    """Return the time zone of this name, like ``Europe/Vienna`` or ``UTC``. Raises ``BadOption``."""
    from zoneinfo import ZoneInfo

    if text.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # not found is a KeyError
        said = f"{name} takes a time zone, like Europe/Vienna or UTC; {text!r} is none that is known here."
        raise BadOption(said) from None


def since(text: str, name: str, now: int, where: tzinfo | None = None) -> int:
    """Return a moment in the past, µs: a duration before ``now`` (``1h``), ``15:00`` (the last one), ``yesterday 17:00``,
    ``monday``, or a date or time as ``parse`` takes it; without a zone of its own in ``where`` (None: that of this machine).

    Raises ``BadOption``, naming ``name``, for anything else.
    """
    try:
        return now - round(seconds(text, name) * 1e6)
    except BadOption:
        pass
    words = _PAST.fullmatch(text.strip().lower())
    try:
        if words:
            return to_micro(_on_the_day(words, local(now, where), where))
        return to_micro(_in(datetime.fromisoformat(text.strip()), where))
    except (ValueError, OverflowError):
        raise BadOption(
            f'{name} takes a moment in the past, like "1h", "15:00", "yesterday 17:00", "monday", "2026-11-20 09:00" or '
            f'"2026-11-20T09:00:00Z"; not {text!r}.'
        ) from None


def _on_the_day(words: re.Match[str], now: datetime, where: tzinfo | None) -> datetime:
    day, hour, minute, second = words.groups()
    if day is None and hour is None:
        raise ValueError(words[0])
    back = _DAYS_BACK.get(day, 0)
    if day in _WEEKDAYS:
        back = (now.weekday() - _WEEKDAYS.index(day)) % 7
    date = now.date() - timedelta(days=back)
    moment = datetime.combine(date, time(int(hour or 0), int(minute or 0), int(second or 0)))
    # Naive until here: the offset of another day may differ from today's.
    found = _in(moment, where)
    if found > now and back == 0 and day != "today":
        found = _in(moment - timedelta(days=1 if day is None else 7), where)
    return found


def _in(moment: datetime, where: tzinfo | None) -> datetime:
    if moment.tzinfo is not None:
        return moment
    return moment.astimezone() if where is None else moment.replace(tzinfo=where)


def to_micro(moment: datetime) -> int:
    """Return an aware datetime as a stored time."""
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
