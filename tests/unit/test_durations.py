"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._durations import seconds, spoken
from packhorse.errors import BadOption

CENTURY = 100 * 365.25 * 86400.0


@pytest.mark.parametrize(
    "given_, expected",
    [
        (90, 90),
        (0.5, 0.5),
        (0, 0),
        ("90", 90),
        ("0.25", 0.25),
        ("5m", 300),
        ("1h30m", 5400),
        (" 1 h 30 m ", 5400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1w", 604800),
        ("1w2d3h4m5s6ms", 604800 + 2 * 86400 + 3 * 3600 + 245.006),
        (timedelta(minutes=2, microseconds=1), 120.000001),
        (CENTURY, CENTURY),
    ],
)
def test_what_people_write(given_: Any, expected: float) -> None:
    assert seconds(given_) == pytest.approx(expected)


@pytest.mark.parametrize(
    "bad", ["", " ", "soon", "5 parsecs", "m5", "5m!", "1h-3m", None, True, False, [5], b"5m", "5M", "1:30", object()]
)
def test_what_is_no_duration_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(BadOption, match="^timeout takes a duration"):
        seconds(bad, "timeout")


@pytest.mark.parametrize(
    "bad",
    [-1, -0.001, "-5", float("nan"), float("inf"), "inf", "nan", 10**400, CENTURY * 1.01, timedelta(days=-1), "9e99"],
)
def test_what_is_out_of_range_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(BadOption, match="^delay must be between 0 and 100 years"):
        seconds(bad, "delay")


@given(st.floats(0, CENTURY))
def test_numbers_are_seconds(value: float) -> None:
    assert seconds(value) == value
    assert seconds(repr(value)) == value


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_the_parts_of_a_text_add_up(d: int, h: int, m: int, s: int) -> None:
    assert seconds(f"{d}d{h}h {m}m {s}s") == d * 86400 + h * 3600 + m * 60 + s


@given(st.text(max_size=12))
def test_any_text_is_either_a_duration_or_refused(text: str) -> None:
    try:
        value = seconds(text)
    except BadOption:
        return
    assert 0 <= value <= CENTURY


@pytest.mark.parametrize(
    "value, text",
    [
        (0.004, "4 ms"),
        (0, "0 ms"),
        (1.3, "1.3 s"),
        (0.9996, "1.0 s"),
        (12.4, "12 s"),
        (59.96, "1 m"),
        (60, "1 m"),
        (372, "6 m 12 s"),
        (7500, "2 h 5 m"),
        (3600, "1 h"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
        (86400, "1 d"),
    ],
)
def test_seconds_as_people_say_them(value: float, text: str) -> None:
    assert spoken(value) == text


@given(st.floats(0, CENTURY))
def test_anything_can_be_said_shortly(value: float) -> None:
    assert 0 < len(spoken(value)) <= 14
