"""When a schedule is due: its ticks are a pure function of its rule, the same for whoever asks."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from ._cron import Cron
from ._durations import Duration, seconds, spoken
from .errors import BadOption, BadSchedule

_SECOND = 1_000_000
#: Ticks come at most so often: workers look once a second.
_SHORTEST = 1.0
#: An interval from this length on has a phase of its own: a thousand installations are not due at the same moment.
_LONG = 3600 * _SECOND
_MOST_SPREAD = 3600 * _SECOND
#: Missed ticks of a cron rule are counted up to here.
COUNTED = 1000


class Every(NamedTuple):
    """A rule that is due each time so many µs have passed, counted from the beginning of 1970, UTC."""

    interval: int

    def next(self, after: int) -> int | None:
        """Return the first tick after a time, µs."""
        return (after // self.interval + 1) * self.interval

    def __str__(self) -> str:
        """Say it."""
        length = self.interval / _SECOND
        return f"every {length:g} s" if length < 60 else f"every {spoken(length)}"


class At(NamedTuple):
    """A cron rule in a time zone."""

    text: str
    timezone: str
    rule: Cron

    def next(self, after: int) -> int | None:
        """Return the first tick after a time, µs; None: there is no other."""
        return self.rule.next(after)

    def __str__(self) -> str:
        """Say it."""
        return self.text if self.timezone == "UTC" else f"{self.text} {self.timezone}"


Rule = Every | At


def every(interval: Duration, where: str = "every") -> Every:
    """Return the rule of an interval. Raises ``BadSchedule`` for one that is negative, zero or shorter than a second."""
    try:
        length = seconds(interval, where)
    except BadOption as error:
        raise BadSchedule(str(error).removesuffix(f"  [{error.code}]")) from None
    if length < _SHORTEST:
        raise BadSchedule(
            f"{where} must be at least one second, not {interval!r}: due schedules are looked for each second."
        )
    return Every(round(length * _SECOND))


def cron(text: str, timezone: str = "UTC", where: str = "cron") -> At:
    """Return a cron rule. Raises ``BadSchedule`` with the place of a mistake, or for an unknown zone."""
    return At(text, timezone, Cron(text, timezone, where))


def last_tick(rule: Rule, after: int, now: int) -> int | None:
    """Return the last tick in (after, now], however many there are; None: there is none."""
    if isinstance(rule, Every):
        last = now // rule.interval * rule.interval
        return last if last > after else None
    found = rule.next(after)
    return None if found is None or found > now else _last_from(rule, found, now)


def _last_from(rule: Rule, tick: int, high: int) -> int:
    """Return the last tick up to ``high``, from one that is known, by halving what is between them."""
    following = rule.next(tick)
    while following is not None and following <= high:
        middle = (tick + high) // 2
        later = rule.next(middle)
        if later is None or later > high:
            tick, high = following, middle
        else:
            tick = later
        following = rule.next(tick)
    return tick


def count(rule: Rule, after: int, until: int) -> int:
    """Return how many ticks are in (after, until]; of a cron rule no more than ``COUNTED`` are counted."""
    if isinstance(rule, Every):
        return max(0, until // rule.interval - after // rule.interval)
    number, tick = 0, rule.next(after)
    while tick is not None and tick <= until and number < COUNTED:
        number, tick = number + 1, rule.next(tick)
    return number


def latest(rule: Rule, after: int, now: int, most: int) -> int:
    """Return a time from which on at most ``most`` ticks are due: ``after`` itself, unless there are too many."""
    if isinstance(rule, Every):
        return max(after, (now // rule.interval - most) * rule.interval)
    if count(rule, after, now) < most:
        return after
    high = now
    while high - after > _SECOND:  # between too many and few enough, until half of what may be is kept
        middle = (after + high) // 2
        number = count(rule, middle, now)
        if number >= most:
            after = middle
        elif number * 2 >= most:
            return middle
        else:
            high = middle
    return high


def delay(rule: Rule, jitter: int, schedule: str, tick: int) -> int:
    """Return by how many µs the job of a tick is put off: the same for whoever asks.

    ``jitter`` is the most of it, spread anew for each tick. Without one, an interval of an hour or more has a phase: the same
    for all ticks of a schedule, up to a tenth of the interval and an hour at most.
    """
    if jitter:
        return _spread(f"{schedule}:{tick}", jitter)
    if isinstance(rule, Every) and rule.interval >= _LONG:
        return _spread(schedule, min(rule.interval // 10, _MOST_SPREAD))
    return 0


def _spread(text: str, most: int) -> int:
    """Return a number from 0 to ``most`` that text decides."""
    # Two sums, as one has 32 bits and a jitter of a day in µs has more.
    data = text.encode()
    number = zlib.crc32(data) << 32 | zlib.crc32(data[::-1] + b"*")
    return number * most >> 64
