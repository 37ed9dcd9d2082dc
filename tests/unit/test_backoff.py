"""When a failed attempt is tried again."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._backoff import CRASH_BACKOFF, Backoff
from packhorse.errors import BadOption

policies = st.builds(
    Backoff,
    st.integers(0, 1_000_000),
    base=st.floats(0, 1000),
    cap=st.floats(0, 100_000),
    factor=st.floats(1, 10),
    jitter=st.booleans(),
)


@given(policies, st.integers(1, 1_000_000), st.randoms(use_true_random=False))
def test_a_delay_lies_between_nothing_and_the_bound(policy: Backoff, retry: int, rng: random.Random) -> None:
    upper = min(policy.cap, policy.base * policy.factor ** min(retry - 1, 64))
    delay = policy.delay(retry, rng)
    assert 0 <= delay <= upper
    assert policy.jitter or delay == upper


def test_full_jitter_uses_the_whole_range_evenly() -> None:
    policy, rng = Backoff(9, base=8), random.Random(7)
    delays = [policy.delay(1, rng) for _ in range(4000)]
    assert min(delays) < 0.1
    assert max(delays) > 7.9
    assert 3.8 < sum(delays) / len(delays) < 4.2


def test_the_bound_doubles_up_to_the_cap() -> None:
    policy = Backoff(9, base=1, cap="10s", jitter=False)
    assert [policy.delay(retry) for retry in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_by_default_it_is_one_second_doubling_to_a_quarter_of_an_hour_with_jitter() -> None:
    policy = Backoff(5)
    assert (policy.base, policy.cap, policy.factor, policy.jitter) == (1, 900, 2, True)


def test_delays_one_by_one_and_the_last_for_all_that_follow() -> None:
    policy = Backoff(delays=("5s", 60, timedelta(minutes=10)))
    assert policy.retries == 3
    assert [policy.delay(retry) for retry in (1, 2, 3, 4, 99)] == [5, 60, 600, 600, 600]
    assert Backoff(9, delays=(1,)).retries == 9


def test_without_anything_there_are_no_retries() -> None:
    assert Backoff().retries == 0


def test_a_million_retries_do_not_overflow() -> None:
    assert Backoff(1_000_000, jitter=False, factor=10).delay(1_000_000) == 900


@pytest.mark.parametrize("retries", [-1, 1_000_001, 1.5, "3", True, False])
def test_a_number_of_retries_that_makes_no_sense_is_refused(retries: Any) -> None:
    with pytest.raises(BadOption, match="whole number"):
        Backoff(retries)


@pytest.mark.parametrize(
    "options", [{"factor": 0.5}, {"base": -1}, {"cap": "soon"}, {"delays": (-1,)}, {"factor": float("nan")}]
)
def test_other_values_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadOption):
        Backoff(1, **options)


@pytest.mark.parametrize("name", ["only", "never"])
@pytest.mark.parametrize("value", ["ValueError", (ValueError, "KeyError"), ValueError(), (int,)])
def test_what_is_no_exception_class_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadOption, match=f"Backoff\\({name}=\\)"):
        Backoff(1, **{name: value})


def test_only_and_never_say_what_is_worth_another_attempt() -> None:
    policy = Backoff(1, only=(OSError, LookupError), never=(FileNotFoundError,))
    assert policy.wants(ConnectionError())
    assert policy.wants(KeyError())
    assert not policy.wants(FileNotFoundError())
    assert not policy.wants(ValueError())
    assert not Backoff(1).wants(KeyboardInterrupt())
    assert Backoff(1, only=ValueError).wants(ValueError())  # type: ignore[arg-type]


@given(policies)
def test_its_plain_part_gives_it_back(policy: Backoff) -> None:
    assert Backoff.of(policy.data()) == policy


def test_it_is_made_from_a_number_from_data_or_is_one_already() -> None:
    policy = Backoff(delays=(1, 2))
    assert Backoff.of(policy) is policy
    assert Backoff.of(policy.data()) == policy
    assert Backoff.of(5) == Backoff(5)
    assert Backoff(5) != Backoff(6)
    assert Backoff(5) != 5


def test_it_shows_what_was_set() -> None:
    assert repr(Backoff(5)) == "Backoff(5)"
    assert repr(Backoff(5, base=2, jitter=False)) == "Backoff(5, base=2.0, jitter=False)"


def test_crashes_wait_longer_each_time() -> None:
    assert 0 <= CRASH_BACKOFF.delay(2, random.Random(3)) <= 2
