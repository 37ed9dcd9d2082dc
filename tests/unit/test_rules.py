"""What all stores share of the waiting rules: limits, rates, and what is said of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._record import WorkerRecord
from packhorse._rules import (
    Limit,
    after_text,
    declared,
    goes_at,
    held_names,
    holds_text,
    holds_until,
    key_held,
    limit,
    parents,
    scope,
    serves,
    used,
)
from packhorse.errors import BadOption

SECOND = 1_000_000


@pytest.mark.parametrize(
    "value, meaning",
    [
        ("4", Limit(4)),
        (" 1000000 ", Limit(1_000_000)),
        ("10/1s", Limit(None, SECOND // 10)),
        ("3/1s", Limit(None, 333_334)),
        ("30/1m burst 10", Limit(None, 2 * SECOND, 10)),
        ("1/1h30m", Limit(None, 5400 * SECOND)),
        ("5 / 2.5s  burst 2", Limit(None, SECOND // 2, 2)),
        ("2/10", Limit(None, 5 * SECOND)),
    ],
)
def test_a_limit_is_read(value: str, meaning: Limit) -> None:
    assert limit(value) == meaning


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "+1",
        "1.5",
        "four",
        "1000001",
        "\u0664",
        "1/",
        "/1s",
        "0/1s",
        "1/0s",
        "1/s1",
        "10/s",
        "2/1s burst",
        "9/1s burst 0",
        "4 burst 2",
        "1/1s/1s",
        "9999999/1s",
    ],
)
def test_one_that_cannot_be_read_is_refused_and_shown(value: str) -> None:
    with pytest.raises(BadOption) as raised:
        limit(value)
    assert repr(value) in str(raised.value) or "duration" in str(raised.value)


def test_zero_is_told_what_to_do_instead() -> None:
    with pytest.raises(BadOption, match="queues pause"):
        limit("0")


@given(st.integers(1, 50), st.integers(1, 100), st.integers(1, 20), st.lists(st.integers(0, 3 * SECOND), max_size=60))
def test_never_more_start_than_a_rate_allows(count: int, seconds: int, burst: int, pauses: list[int]) -> None:
    rate = limit(f"{count}/{seconds}s burst {burst}")
    now, tat, starts = 1_800_000_000 * SECOND, 0, []
    for pause in pauses:
        now += pause
        if goes_at(tat, rate) <= now:
            tat = used(tat, now, rate)
            starts.append(now)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            assert last - first + 1 <= burst + (starts[last] - starts[first]) / rate.interval


def test_a_rested_rate_allows_its_burst_and_then_one_an_interval() -> None:
    rate, tat, now = limit("30/1m burst 3"), 0, 1000 * SECOND
    for _ in range(3):
        assert goes_at(tat, rate) <= now
        tat = used(tat, now, rate)
    assert goes_at(tat, rate) == now + 2 * SECOND


def test_the_exact_name_wins_then_the_longest_beginning() -> None:
    names = ["*", "t:*", "t:ab*", "t:abc", "other"]
    assert [declared(names, name) for name in ("t:abc", "t:abd", "t:a", "x", "t:*")] == [
        "t:abc",
        "t:ab*",
        "t:*",
        "*",
        "t:*",
    ]
    assert declared(["other", "t:*"], "x") is None


def test_what_is_stored_can_be_read_again() -> None:
    assert (holds_text(()), after_text(()), held_names(None), parents(None)) == (None, None, (), [])
    assert held_names(holds_text((("l", "\u00e9"), ("x", '"')))) == (("l", "\u00e9"), ("x", '"'))
    assert parents(after_text(("b", "a"))) == ["b", "a"]


def test_how_long_a_key_is_held() -> None:
    assert [scope(None, "finished"), scope("k", "finished"), scope("k", "started"), scope("k", 1.5)] == [
        None,
        "finished",
        "started",
        "time",
    ]
    assert [holds_until(None, 1.5, 0), holds_until("k", "started", 0), holds_until("k", 1.5, 7)] == [
        None,
        None,
        1_500_007,
    ]


def test_which_worker_serves_a_queue() -> None:
    every = WorkerRecord("w", "w", "ash", 1, "b")
    some = every._replace(queues='[["a"], ["b", "c"]]')
    assert [serves(every, "a"), serves(some, "c"), serves(some, "d")] == [True, True, False]
    assert not serves(every._replace(state="stopping"), "a")
    assert not serves(every._replace(state="dead"), "a")


def test_a_key_is_told_without_the_task_before_it() -> None:
    error = key_held("m:f\x1fada", "j1")
    assert (error.job_id, "'ada'" in str(error), "\x1f" in str(error)) == ("j1", True, False)
    assert "'//ada'" in str(key_held("//ada", "j1"))
