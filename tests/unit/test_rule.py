"""Ticks: intervals from the epoch, cron rules by wall time and by elapsed time, and what is refused."""

from __future__ import annotations

import itertools
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packhorse import _cron, _rule
from packhorse.errors import BadSchedule

SECOND = 1_000_000
DAY = 86400 * SECOND
START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * SECOND
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/St_Johns",
]
moments = st.integers(START, START + 730 * DAY)


def at(*parts: int, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    return int(datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * SECOND  # type: ignore[arg-type, misc]


def ticks(rule: _rule.Rule, after: int, until: int) -> list[int]:
    found, tick = [], rule.next(after)
    while tick is not None and tick <= until:
        found.append(tick)
        tick = rule.next(tick)
    return found


# -- every ------------------------------------------------------------------------------------------------------------
@given(st.integers(SECOND, 400 * DAY), moments)
def test_an_interval_counts_from_the_epoch(interval: int, after: int) -> None:
    tick = _rule.Every(interval).next(after)
    assert tick is not None
    assert tick % interval == 0
    assert after < tick <= after + interval


@pytest.mark.parametrize("interval", [0, -1, 0.5, "0s", "100ms", "soon", float("nan"), float("inf"), "200000w", True])
def test_intervals_that_are_none(interval: float) -> None:
    with pytest.raises(BadSchedule):
        _rule.every(interval)


# -- cron against an oracle: every minute of the clock is looked at ------------------------------------------------------
fields = st.tuples(
    st.sampled_from(["0", "30", "15,45", "*/20", "7-9"]),
    st.sampled_from(["*", "*/2", "0", "1", "2", "3", "1-3", "2,14"]),
    st.sampled_from(["*", "*", "*", "1", "28-31", "*/3"]),
    st.sampled_from(["*", "*", "3,10", "4-11"]),
    st.sampled_from(["*", "*", "0", "sun,mon"]),
)


def matching(minutes: str, hours: str, days: str, months: str, weekdays: str, wall: datetime) -> bool:
    """Read a rule as slowly and plainly as can be."""

    def has(field: str, value: int, first: int, last: int) -> bool:
        for part in field.split(","):
            part, _, step = part.partition("/")
            low, _, high = part.partition("-")
            names = {"sun": "0", "mon": "1"}
            low = names.get(low, low)
            span = range(first, last + 1) if low == "*" else range(int(low), int(high or low) + 1)
            if value in span[:: int(step or 1)]:
                return True
        return False

    day, weekday = has(days, wall.day, 1, 31), has(weekdays, wall.isoweekday() % 7, 0, 7)
    both = days.startswith("*") or weekdays.startswith("*")
    return (
        has(minutes, wall.minute, 0, 59)
        and has(hours, wall.hour, 0, 23)
        and has(months, wall.month, 1, 12)
        and ((day and weekday) if both else (day or weekday))
    )


def oracle(rule: tuple[str, str, str, str, str], zone: str, after: int, until: int) -> list[int]:
    """Walk through the minutes of real time; keep what the wall has shown, or left out."""
    tz, found, shown = ZoneInfo(zone), [], None
    moment = after // (60 * SECOND) * 60 - 4 * 3600
    while moment * SECOND <= until:
        wall = datetime.fromtimestamp(moment, tz).replace(tzinfo=None, fold=0)
        if rule[1].startswith("*") or shown is None or wall == shown + timedelta(minutes=1):
            hit = matching(*rule, wall)
        elif wall > shown:  # put forward: what was left out, and this minute itself, once
            left = [shown + timedelta(minutes=n) for n in range(1, int((wall - shown).total_seconds()) // 60 + 1)]
            hit = any(matching(*rule, each) for each in left)
        else:  # put back: shown before
            hit = False
        shown = wall if shown is None or rule[1].startswith("*") else max(shown, wall)
        if hit and after < moment * SECOND <= until:
            found.append(moment * SECOND)
        moment += 60
    return found


@settings(max_examples=60, deadline=None)
@given(fields, st.sampled_from(ZONES), moments)
@example(("30", "2", "*", "*", "*"), "Europe/Berlin", at(2026, 3, 28, 12))
@example(("15,45", "2,14", "*", "*", "*"), "Europe/Berlin", at(2026, 3, 28, 12))
@example(("*/20", "1-3", "*", "*", "*"), "Europe/Berlin", at(2026, 3, 28, 12))
@example(("*/20", "1-3", "*", "*", "*"), "Europe/Berlin", at(2026, 10, 24, 12))
@example(("30", "2", "*", "*", "*"), "Europe/Berlin", at(2026, 10, 24, 12))
@example(("30", "*", "*", "*", "*"), "Europe/Berlin", at(2026, 10, 24, 12))
@example(("30", "*", "*", "*", "*"), "Europe/Berlin", at(2026, 3, 28, 12))
@example(("*/20", "*/2", "*", "*", "*"), "Australia/Lord_Howe", at(2026, 4, 4, 12, zone="Australia/Lord_Howe"))
@example(("15,45", "1-3", "*", "*", "*"), "Australia/Lord_Howe", at(2026, 4, 4, 12, zone="Australia/Lord_Howe"))
@example(("15,45", "1-3", "*", "*", "*"), "Australia/Lord_Howe", at(2026, 10, 3, 12, zone="Australia/Lord_Howe"))
@example(("0", "2", "*", "*", "*"), "Africa/Casablanca", at(2026, 2, 14, 12, zone="Africa/Casablanca"))
def test_a_cron_rule_fires_as_an_oracle_says(rule: tuple[str, str, str, str, str], zone: str, after: int) -> None:
    until = after + 2 * DAY
    assert ticks(_rule.cron(" ".join(rule), zone), after, until) == oracle(rule, zone, after, until)


def test_a_time_that_the_clocks_leave_out_comes_right_after_the_gap() -> None:
    rule = _rule.cron("15,45 2 * * *", "Europe/Berlin")
    assert ticks(rule, at(2026, 3, 29, 0), at(2026, 3, 30, 0)) == [at(2026, 3, 29, 3)]


def test_a_time_that_comes_twice_fires_the_first_time() -> None:
    rule = _rule.cron("30 2 * * *", "Europe/Berlin")
    assert ticks(rule, at(2026, 10, 25, 0), at(2026, 10, 26, 0)) == [at(2026, 10, 25, 2, 30)]
    assert rule.next(at(2026, 10, 25, 2, 10, fold=1)) == at(2026, 10, 26, 2, 30)


def test_a_rule_for_every_hour_goes_by_the_time_that_passes() -> None:
    rule = _rule.cron("30 * * * *", "Europe/Berlin")
    autumn = ticks(rule, at(2026, 10, 25, 0), at(2026, 10, 25, 5))
    assert [later - earlier for earlier, later in itertools.pairwise(autumn)] == [3600 * SECOND] * 5


def test_seconds_come_first() -> None:
    rule = _rule.cron("*/20 30 2 * * *", "Europe/Berlin")
    found = ticks(rule, at(2026, 6, 1, 0), at(2026, 6, 2, 0))
    assert found == [at(2026, 6, 1, 2, 30, second) for second in (0, 20, 40)]
    assert ticks(rule, at(2026, 3, 29, 0), at(2026, 3, 29, 5)) == [at(2026, 3, 29, 3)]


@pytest.mark.parametrize("short, long", [("@daily", "0 0 * * *"), ("@Hourly", "0 * * * *"), ("@yearly", "0 0 1 1 *")])
def test_short_names(short: str, long: str) -> None:
    assert _rule.cron(short).next(START) == _rule.cron(long).next(START)


def test_every_zone_of_the_database_has_a_next_tick() -> None:
    from zoneinfo import available_timezones

    for name in available_timezones():
        rule = _rule.cron("30 2 * * *", name)
        first = rule.next(START)
        assert first is not None
        second = rule.next(first)
        assert second is not None
        assert 20 * 3600 * SECOND < second - first < 28 * 3600 * SECOND


# -- mistakes ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text, part, character, field",
    [
        ("61 * * * *", "61", 1, "minute"),
        ("0 25 * * *", "25", 3, "hour"),
        ("0  1,99,3 * * *", "99", 6, "hour"),
        ("0 1 32 * *", "32", 5, "day of month"),
        ("0 1 1 foo *", "foo", 7, "month"),
        ("0 1 * * mon,,tue", "nothing", 13, "day of week"),
        ("0 1 * * 9", "9", 9, "day of week"),
        ("*/0 * * * *", "*/0", 1, "minute"),
        ("99 0 1 * * *", "99", 1, "second"),
        ("0 0 31 2 *", "31", 5, "day of month"),
        ("5-1 * * * *", "5-1", 1, "minute"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, part: str, character: int, field: str) -> None:
    with pytest.raises(BadSchedule) as told:
        _rule.cron(text)
    message = str(told.value)
    assert f"{part!r}" in message or part == "nothing"
    assert f"(character {character}) is no {field}" in message
    lines = message.splitlines()
    assert lines[2].index("^") == 2 + character - 1


@pytest.mark.parametrize("text", ["", "* * * *", "* * * * * * *", "@often", "soon"])
def test_what_is_no_rule_at_all(text: str) -> None:
    with pytest.raises(BadSchedule):
        _rule.cron(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789*/-,#LW abcmon?@\t\n", max_size=30))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule = _rule.cron(text)
    except BadSchedule:
        return
    tick = rule.next(START)
    assert tick is None or tick > START


@pytest.mark.parametrize(
    "name, hint",
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("Mars", "tz database"),
    ],
)
def test_an_unknown_zone_is_told_at_once(name: str, hint: str) -> None:
    with pytest.raises(BadSchedule, match="no time zone") as told:
        _rule.cron("0 0 * * *", name)
    assert hint in str(told.value)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "Europe", 7])
def test_a_zone_that_is_no_name(name: str) -> None:
    with pytest.raises(BadSchedule):
        _rule.cron("0 0 * * *", name)


def test_a_host_without_time_zones_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[])
    ZoneInfo.clear_cache()
    _cron.zone.cache_clear()
    try:
        with pytest.raises(BadSchedule, match="pip install tzdata"):
            _rule.cron("0 0 * * *", "Europe/Berlin")
        assert _rule.cron("0 0 * * *").next(START) is not None
    finally:
        zoneinfo.reset_tzpath()


# -- looking back -----------------------------------------------------------------------------------------------------
rules = st.one_of(
    st.builds(_rule.Every, st.integers(SECOND, 3 * DAY)),
    st.sampled_from(["*/7 * * * * *", "* * 3 * * *", "30 2 * * *", "0 0 1 * *", "*/5 9-17 * * mon"]).map(
        lambda text: _rule.cron(text, "Europe/Berlin")
    ),
)


@settings(max_examples=80, deadline=None)
@given(rules, moments, st.integers(0, 3 * 3600 * SECOND))
def test_the_last_tick_and_the_number_of_ticks(rule: _rule.Rule, after: int, length: int) -> None:
    found = ticks(rule, after, after + length)
    assert _rule.last_tick(rule, after, after + length) == (found[-1] if found else None)
    wanted = len(found) if isinstance(rule, _rule.Every) else min(len(found), _rule.COUNTED)
    assert _rule.count(rule, after, after + length) == wanted


def test_the_last_tick_of_a_year_is_found_quickly() -> None:
    rule = _rule.cron("* * * * * *", "Europe/Berlin")
    now = START + 365 * DAY + 5
    assert _rule.last_tick(rule, START, now) == now - 5


@settings(max_examples=30, deadline=None)
@given(rules, moments, st.integers(0, 40 * DAY))
def test_of_too_many_ticks_the_newest_are_kept(rule: _rule.Rule, after: int, length: int) -> None:
    now = after + length
    start = _rule.latest(rule, after, now, 100)
    kept = ticks(rule, start, now)
    assert start >= after
    assert len(kept) <= 100
    if start == after:
        return
    assert len(kept) >= 20
    assert kept[-1] == _rule.last_tick(rule, after, now)


# -- jitter -----------------------------------------------------------------------------------------------------------
@given(st.integers(1, DAY), st.uuids(), moments)
def test_jitter_is_the_same_for_all_who_ask(jitter: int, schedule: object, tick: int) -> None:
    found = _rule.delay(_rule.Every(60 * SECOND), jitter, str(schedule), tick)
    assert 0 <= found <= jitter
    assert found == _rule.delay(_rule.Every(60 * SECOND), jitter, str(schedule), tick)


def test_jitter_spreads_ticks_and_schedules() -> None:
    found = {_rule.delay(_rule.Every(SECOND), DAY, "a", tick) * 10 // DAY for tick in range(1000)}
    assert found == set(range(10))
    found = {_rule.delay(_rule.Every(SECOND), DAY, f"{n}", 7) * 10 // DAY for n in range(1000)}
    assert found == set(range(10))


def test_only_a_long_interval_has_a_phase_of_its_own() -> None:
    daily = _rule.Every(DAY)
    assert {_rule.delay(daily, 0, "a", tick * DAY) for tick in range(9)} == {_rule.delay(daily, 0, "a", 0)}
    phases = [_rule.delay(daily, 0, f"{n}", 0) for n in range(1000)]
    assert max(phases) <= 3600 * SECOND
    assert len({phase * 10 // (3600 * SECOND) for phase in phases}) == 10
    assert _rule.delay(_rule.Every(60 * SECOND), 0, "a", 0) == 0
    assert _rule.delay(_rule.cron("@daily"), 0, "a", 0) == 0
