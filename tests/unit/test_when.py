"""Moments as people type them, looking back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from packhorse._when import clock, since, to_micro, zone
from packhorse.errors import BadOption

#: A Wednesday, four days after clocks in Vienna went back (25 October 2026, 3:00 to 2:00).
NOW = to_micro(datetime(2026, 10, 28, 12, 30, tzinfo=UTC))


def found(text: str, where: str = "Europe/Vienna") -> str:
    moment = since(text, "--since", NOW, zone(where, "--tz"))
    return datetime.fromtimestamp(moment / 1e6, UTC).strftime("%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    "text, moment",
    [
        ("1h", "10-28 11:30:00"),
        ("90", "10-28 12:28:30"),
        ("12:00", "10-28 11:00:00"),  # Vienna is an hour ahead by now
        ("17:00", "10-27 16:00:00"),  # today it is not 17:00 yet
        ("17:00:30", "10-27 16:00:30"),
        ("today", "10-27 23:00:00"),
        ("yesterday", "10-26 23:00:00"),
        ("Yesterday 17:00", "10-27 16:00:00"),
        ("monday", "10-25 23:00:00"),
        ("monday 08:15", "10-26 07:15:00"),
        ("saturday 12:00", "10-24 10:00:00"),  # two hours ahead then
        ("wednesday", "10-27 23:00:00"),
        ("wednesday 17:00", "10-21 15:00:00"),
        ("2026-10-24", "10-23 22:00:00"),
        ("2026-10-24 17:00", "10-24 15:00:00"),
        ("2026-10-24T17:00:00Z", "10-24 17:00:00"),
    ],
)
def test_moments_in_the_past(text: str, moment: str) -> None:
    assert found(text) == moment


def test_another_zone_is_another_day() -> None:
    assert found("today", "Pacific/Auckland") == "10-28 11:00:00"
    assert found("today", "utc") == "10-28 00:00:00"


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "yesterday 17", "17:61", "monday tuesday", "2026-13-01", "1e400"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(BadOption, match="--since"):
        found(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(BadOption, match="--tz takes a time zone"):
        zone(name, "--tz")


def test_times_are_shown_in_the_zone_asked_for() -> None:
    assert clock(NOW, NOW, zone("Europe/Vienna", "--tz")) == "13:30:00"
    assert clock(NOW - 86_400_000_000, NOW, zone("Asia/Tokyo", "--tz")) == "2026-10-27 21:30:00"
