"""Cron rules: the moments of a rule in its time zone, and what is wrong with one, to the character.

Five fields (minute, hour, day of month, month, day of week), or six with the second before them. A rule whose hour is a
star goes by time that passes: what repeats when clocks are put back fires twice, what is left out does not fire. Every other
rule goes by wall time and fires each of its moments once: those that the clocks leave out together, right after the gap;
those that come twice, the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NoReturn

from .errors import BadSchedule

_FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_EXAMPLE = '"30 2 * * mon-fri" (minute, hour, day of month, month, day of week; six fields: the second first)'
_RANGES = ("0-59", "0-59", "0-23", "1-31, L or LW", "1-12 or JAN-DEC", "0-7 or SUN-SAT, 5L, 5#2")
_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UTC_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = _UTC_EPOCH.replace(tzinfo=None)  # wall clocks have no zone
_MICROSECOND, _SECOND, _DAY, _WEEK = (
    timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=1), timedelta(days=7),
)  # fmt: skip


class Cron:
    """One cron rule in one time zone. Raises ``BadSchedule`` for what is no rule, or no zone this host knows."""

    def __init__(self, text: str, timezone: str = "UTC", where: str = "cron") -> None:
        """``where`` names the place of the rule, for messages."""
        self.text = text
        self._zone = zone(timezone, where)
        self._rule = _expanded(text, where)
        self._by_elapsed_time = self._rule.split()[-4].startswith("*")
        if self.next(0) is None:
            raise BadSchedule(f"{where}: the rule {text!r} has no moment in the next fifty years: is there such a day?")

    def next(self, after: int) -> int | None:
        """Return the first moment after a time (µs); None: there is none in the next fifty years."""
        start = _UTC_EPOCH + timedelta(microseconds=after)
        moments = self._elapsed(start) if self._by_elapsed_time else self._of_the_wall(start)
        return next((moment for moment in moments if moment > after), None)

    def _elapsed(self, start: datetime) -> Iterator[int]:
        """Yield the moments whose wall time the rule names, be it for the second time."""
        offset = self._offset(start + _SECOND)  # moments are whole seconds
        while True:
            # As if the clocks were never changed; up to the moment when they are.
            wall = next(_simulated(self._rule, (start + offset).replace(tzinfo=None)), None)
            if wall is None:
                return
            found = wall.replace(tzinfo=UTC) - offset
            change = self._change(start, found)
            if change is None:
                yield _micros(found)
                start = found
            else:
                start, offset = change - _SECOND, self._offset(change)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first moment in (start, end] at which the zone has another offset than at the moment before."""
        if self._zone is UTC:
            return None
        low = start.replace(microsecond=0)
        # What was before a change at the start itself is no matter.
        offset = self._offset(start + _SECOND)
        while low < end:
            high = min(low + _WEEK, end)
            if self._offset(high) != offset:
                return self._boundary(low, high)
            low = high
        return None

    def _boundary(self, low: datetime, high: datetime) -> datetime:
        """Return the first moment of the offset that holds at ``high``, where another held at ``low``."""
        offset = self._offset(high)
        while high - low > _SECOND:
            middle = low + (high - low) // 2
            middle = middle.replace(microsecond=0)
            low, high = (low, middle) if self._offset(middle) == offset else (middle, high)
        return high

    def _of_the_wall(self, start: datetime) -> Iterator[int]:
        """Yield each moment of the wall clock once; those in a gap come at its end, and may be the same."""
        local = start.astimezone(self._zone).replace(tzinfo=None, fold=0)
        for wall in _simulated(self._rule, local):
            yield self._once(wall)

    def _once(self, wall: datetime) -> int:
        first = wall.replace(tzinfo=self._zone)
        moment = first.astimezone(UTC)
        if moment.astimezone(self._zone).replace(tzinfo=None, fold=0) == wall:
            return _micros(moment)
        return self._after_gap(moment)

    def _after_gap(self, late: datetime) -> int:
        """Return when the clocks were put forward, given a moment after that by less than the size of the gap."""
        late = late.replace(microsecond=0)
        return _micros(self._boundary(late - 2 * _DAY, late))


def _micros(moment: datetime) -> int:
    return (moment - _UTC_EPOCH) // _MICROSECOND


def _simulated(rule: str, start: datetime) -> Iterator[datetime]:
    from cronsim import CronSim  # whoever has no cron rule does not load it

    return iter(CronSim(rule, start))


# -- what is wrong with a rule ------------------------------------------------------------------------------------------
def _expanded(text: str, where: str) -> str:
    """Return the rule with its six fields. Raises ``BadSchedule``, naming what is wrong and where it stands."""
    if not isinstance(text, str):
        raise BadSchedule(f"{where} takes a cron rule as text, for example {_EXAMPLE}; not {text!r}.")
    short = text.strip().lower()
    if short.startswith("@"):
        if short not in _SHORT:
            raise BadSchedule(f"{where}: there is no cron rule {text!r}; there are {', '.join(_SHORT)}.")
        return f"0 {_SHORT[short]}"
    found = list(re.finditer(r"\S+", text))
    if len(found) not in (5, 6):
        raise BadSchedule(
            f"{where}: the cron rule {text!r} has {len(found)} field{'s' * (len(found) != 1)}, not five or six. Write {_EXAMPLE}."
        )
    first = 6 - len(found)
    for number, field in enumerate(found):
        _check_field(text, field[0], field.start(), first + number, where)
    rule = " ".join(field[0] for field in found)
    _check_whole(text, found, rule, where)
    return rule if first == 0 else f"0 {rule}"


def _check_field(text: str, field: str, start: int, number: int, where: str) -> None:
    if _is_good(field, number):
        return
    for part in field.split(","):
        if not _is_good(part, number):
            _refuse(text, part, start, number, where)
        start += len(part) + 1
    _refuse(text, field, start - len(field) - 1, number, where)


def _is_good(part: str, number: int) -> bool:
    fields = ["*"] * 6
    fields[number] = part or "?"
    return _parses(" ".join(fields))


def _parses(rule: str) -> bool:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(rule, _EPOCH)
    except (CronSimError, ValueError, IndexError):
        return False
    return True


def _check_whole(text: str, found: list[re.Match[str]], rule: str, where: str) -> None:
    """Refuse days that no month of the rule has: each field is good, but not with the others."""
    if not _parses(rule):
        day = found[-3]
        _refuse(text, day[0], day.start(), 3, where)


def _refuse(text: str, part: str, start: int, number: int, where: str) -> NoReturn:
    what = repr(part) if part else "nothing"
    raise BadSchedule(
        f"{where}: {what} (character {start + 1}) is no {_FIELDS[number]}: {_RANGES[number]}, lists, ranges and steps of these.\n"
        f"  {text}\n  {' ' * start}{'^' * max(1, len(part))}\n"
    )


# -- zones --------------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=256)
def zone(name: str, where: str = "timezone") -> tzinfo:
    """Return a time zone by its name. Raises ``BadSchedule`` if this host knows none of it."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise BadSchedule(f"{where}: {_no_zone(name)}") from error


def _no_zone(name: object) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = sorted(available_timezones())
    if not known:
        return f"this host has no time zones at all, so {name!r} cannot be found. Install them: pip install tzdata"
    by_end = [each for each in known if each.lower().rpartition("/")[2] == str(name).lower().replace(" ", "_")]
    near = by_end[:1] or get_close_matches(str(name), known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else '. Names are those of the tz database, such as "Europe/Berlin".'
    return f"there is no time zone {name!r}{hint}"
