"""Limits and rates: at most so many at once, or so many in a time, counted in the store."""

from __future__ import annotations

import pytest

from packhorse._admission import Admitted, LimitRecord, Obstacle, Settings
from packhorse._backoff import Backoff
from packhorse._outcome import failed, released, succeeded
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import BadOption

from .conftest import Open
from .laws import limits_agree
from .making import (
    ERROR,
    SECOND,
    T0,
    admit,
    ids,
    join,
    limited,
    obstacle,
    put,
    reserving,
    run_all,
    settle,
    sharing,
    state,
    take,
    take_one,
    the,
)
from .test_holds import KEEPS


def test_so_many_at_once_and_no_more(store: Store) -> None:
    worker = join(store)
    store.set_limits({"smtp": "2"})
    jobs = [put(store, **limited("smtp")) for _ in range(5)]
    assert admit(store) == (2, 0)
    assert [obstacle(store, job) for job in jobs[2:]] == [
        Obstacle("held", "smtp", jobs[0], None, place) for place in (1, 2, 3)
    ]
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (1, 0)
    limits_agree(store)
    assert [state(store, job) for job in jobs] == ["succeeded", "queued", "queued", "blocked", "blocked"]


def test_a_limit_nobody_has_set_blocks_and_refuses_nothing(store: Store) -> None:
    join(store)
    job = put(store, **limited("smtp"))
    assert store.admit() == Admitted(0, 0, False, True, None)
    assert obstacle(store, job) == Obstacle("undeclared", "smtp")
    assert store.set_limits({"smtp": "1"}) == ["smtp"]
    assert store.freed
    assert admit(store) == (1, 0)
    assert state(store, job) == "queued"


def test_a_limit_is_changed_while_jobs_wait(store: Store) -> None:
    worker = join(store)
    store.set_limits({"smtp": "1"})
    jobs = [put(store, **limited("smtp")) for _ in range(5)]
    admit(store)
    store.set_limits({"smtp": "3"})
    assert admit(store) == (2, 0)
    store.set_limits({"smtp": "1"})
    claimed = take(store, worker, 2)
    assert [job.id for job in claimed] == jobs[:2]
    settle(store, *(succeeded(job, None) for job in claimed))
    assert admit(store) == (0, 0)
    store.set_limits({"smtp": None})
    assert obstacle(store, jobs[3]) == Obstacle("undeclared", "smtp")


def test_of_several_limits_each_counts(store: Store) -> None:
    worker = join(store)
    store.set_limits({"a": "1", "b": "2"})
    jobs = [put(store, **limited("a", "b")), put(store, **limited("a", "b")), put(store, **limited("b"))]
    assert admit(store) == (1, 0)
    assert obstacle(store, jobs[1]) == Obstacle("held", "a", jobs[0], None, 1)
    # The second waits for "a" and stands in the line of "b" all the same.
    assert obstacle(store, jobs[2]) == Obstacle("held", "b", jobs[0], None, 2)
    assert [run_all(store, worker) for _ in range(2)] == [[jobs[0]], [jobs[1], jobs[2]]]


def test_who_reserves_a_limited_name_has_all_of_it(store: Store) -> None:
    worker = join(store)
    store.set_limits({"a": "2"})
    first, all_of_it, last = put(store, **limited("a")), put(store, **reserving("a")), put(store, **limited("a"))
    shared = put(store, **sharing("a"))
    assert admit(store) == (1, 0)
    assert store.obstacles([all_of_it, last, shared]) == [
        Obstacle("held", "a", first, None, 1),
        Obstacle("held", "a", all_of_it, None, 2),
        Obstacle("held", "a", all_of_it, None, 2),
    ]
    assert [run_all(store, worker) for _ in range(3)] == [[first], [all_of_it], [last, shared]]


@pytest.mark.parametrize("how", KEEPS)
def test_a_job_that_goes_straight_back_keeps_its_place_at_the_limit(store: Store, how: str) -> None:
    worker = join(store)
    store.set_limits({"a": "1"})
    put(store, **limited("a"))
    put(store, **limited("a"))
    admit(store)
    settle(store, KEEPS[how](take_one(store, worker)))
    assert admit(store) == (0, 0)


# -- what is declared -----------------------------------------------------------------------------------------------------
def test_declarations_are_kept_by_name(store: Store, other: Store, clock: SettableClock) -> None:
    assert store.limits() == []
    assert store.set_limits({"b": "10/1s", "a:*": "4"}, by="ada") == ["a:*", "b"]
    clock.advance(1)
    assert other.set_limits({"b": "10/1s", "a": "30/1m burst 10"}, by="bob") == ["a"]
    assert store.limits() == [
        LimitRecord("a", "30/1m burst 10", "bob", None, T0 + SECOND),
        LimitRecord("a:*", "4", "ada", None, T0),
        LimitRecord("b", "10/1s", "ada", None, T0),
    ]
    assert store.set_limits({"a": None, "c": None}) == ["a"]
    assert [record.name for record in store.limits()] == ["a:*", "b"]


def test_what_a_person_has_set_stands_against_code(store: Store) -> None:
    assert store.set_limits({"a": "1", "b": "1"}, app="shop") == ["a", "b"]
    assert store.set_limits({"a": "5"}, by="ada") == ["a"]
    assert store.set_limits({"a": "2", "b": "2", "c": "2"}, app="shop") == ["b", "c"]
    assert store.set_limits({"a": None}, app="shop") == []
    assert {record.name: (record.value, record.app) for record in store.limits()} == {
        "a": ("5", None),
        "b": ("2", "shop"),
        "c": ("2", "shop"),
    }
    assert store.set_limits({"b": "2"}, by="ada") == ["b"]
    assert store.set_limits({"a": None}, by="ada") == ["a"]
    assert store.set_limits({"a": "2", "b": "9"}, app="shop") == ["a"]
    assert store.set_limits({"c": "3"}, app="mail") == ["c"]
    assert store.set_limits({"c": None}, app="shop") == ["c"]


@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1.5", "0/1s", "5/0s", "10/", "10/1s burst 0", "4 burst 2"])
def test_a_limit_that_cannot_be_read_is_refused_and_nothing_is_set(store: Store, value: str) -> None:
    with pytest.raises(BadOption, match="limit"):
        store.set_limits({"a": "1", "b": value, "c": "1"})
    assert store.limits() == []


def test_the_exact_name_wins_then_the_longest_beginning(store: Store) -> None:
    join(store)
    store.set_limits({"*": "1", "tenant:*": "2", "tenant:big*": "3", "tenant:bigger": "4"})
    for name, places in (("other", 1), ("tenant:a", 2), ("tenant:b", 2), ("tenant:big", 3), ("tenant:bigger", 4)):
        jobs = [put(store, **limited(name)) for _ in range(5)]
        assert admit(store) == (places, 0)
        assert [state(store, job) for job in jobs] == ["queued"] * places + ["blocked"] * (5 - places)


# -- rates --------------------------------------------------------------------------------------------------------------
def test_a_rate_lets_one_go_at_a_time(store: Store, clock: SettableClock) -> None:
    join(store)
    store.set_limits({"api": "10/1s"})
    jobs = [put(store, **limited("api")) for _ in range(3)]
    assert store.admit() == Admitted(1, 0, False, True, 0.1)
    assert obstacle(store, jobs[1]) == Obstacle("rate", "api", at=T0 + SECOND // 10)
    clock.advance(0.099)
    assert store.admit() == Admitted(0, 0, False, True, 0.001)
    clock.advance(0.001)
    assert store.admit() == Admitted(1, 0, False, True, 0.1)
    clock.advance(10)
    assert store.admit() == Admitted(1, 0, False, False, None)


def test_a_burst_is_let_go_at_once_after_a_rest(store: Store, clock: SettableClock) -> None:
    join(store)
    store.set_limits({"api": "30/1m burst 3"})
    for _ in range(12):
        put(store, **limited("api"))
    assert store.admit() == Admitted(3, 0, False, True, 2.0)
    clock.advance(2)
    assert store.admit() == Admitted(1, 0, False, True, 2.0)
    clock.advance(5)
    assert store.admit() == Admitted(2, 0, False, True, 1.0)
    clock.advance(3600)
    assert store.admit() == Admitted(3, 0, False, True, 2.0)


def test_each_name_has_a_rate_of_its_own(store: Store) -> None:
    join(store)
    store.set_limits({"tenant:*": "1/1m"})
    for name in ("tenant:a", "tenant:a", "tenant:b"):
        put(store, **limited(name))
    assert store.admit() == Admitted(2, 0, False, True, 60.0)


def test_a_rate_is_used_by_a_start_and_never_given_back(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    store.set_limits({"api": "1/1m"})
    jobs = [put(store, **limited("api")) for _ in range(3)]
    admit(store)
    settle(store, released(take_one(store, worker)))
    store.cancel(ids(jobs[0]))
    assert store.admit() == Admitted(0, 0, False, True, 60.0)
    clock.advance(60)
    assert admit(store) == (1, 0)
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (0, 0)


def test_a_retry_uses_the_rate_again(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    store.set_limits({"api": "1/1m"})
    job = put(store, **limited("api"))
    admit(store)
    settle(store, failed(take_one(store, worker), Backoff(1, base=1, jitter=False), ERROR))
    clock.advance(2)
    store.promote()
    assert store.admit() == Admitted(0, 0, False, True, 58.0)
    assert state(store, job) == "blocked"


def test_a_rate_is_not_used_by_one_that_waits_for_something_else(store: Store) -> None:
    join(store)
    store.set_limits({"api": "1/1m", "slots": "1"})
    holder = put(store, **reserving("z"))
    waits = put(store, holds=(("l", "api"), ("x", "z")))
    goes = put(store, **limited("api"))
    assert admit(store) == (2, 0)
    assert obstacle(store, waits) == Obstacle("held", "z", holder, None, 1)
    assert state(store, goes) == "queued"


def test_of_several_rates_the_slowest_counts_and_none_is_used_in_vain(store: Store, clock: SettableClock) -> None:
    join(store)
    store.set_limits({"fast": "1/1s", "slow": "1/10s"})
    put(store, **limited("fast", "slow"))
    second = put(store, **limited("fast", "slow"))
    admit(store)
    assert obstacle(store, second) == Obstacle("rate", "slow", at=T0 + 10 * SECOND)
    clock.advance(5)
    only_fast = put(store, **limited("fast"))
    assert store.admit() == Admitted(1, 0, False, True, 5.0)
    assert state(store, only_fast) == "queued"


def test_a_changed_rate_forgets_and_the_same_value_does_not(store: Store) -> None:
    join(store)
    store.set_limits({"tenant:*": "1/1h"})
    for _ in range(3):
        put(store, **limited("tenant:a"))
    assert admit(store) == (1, 0)
    store.set_limits({"tenant:*": "1/1h"})
    assert admit(store) == (0, 0)
    store.set_limits({"tenant:*": "1/2h"})
    assert store.admit() == Admitted(1, 0, False, True, 7200.0)
    store.set_limits({"tenant:a": "5"})
    assert admit(store) == (1, 0)


def test_a_rate_counts_for_all_connections(store: Store, other: Store) -> None:
    join(store)
    store.set_limits({"api": "1/1m"})
    put(store, **limited("api"))
    put(other, **limited("api"))
    assert (admit(other), admit(store)) == ((1, 0), (0, 0))


# -- moving ---------------------------------------------------------------------------------------------------------------
def test_limits_and_what_is_used_of_rates_go_along(store: Store, open_another: Open, clock: SettableClock) -> None:
    join(store)
    store.set_limits({"a": "4", "api": "1/1m", "rested": "1/1s"}, by="ada", app="shop")
    for name in ("api", "rested"):
        put(store, **limited(name))
    admit(store)
    clock.advance(10)
    settings = store.export_settings()
    assert settings == Settings(tuple(store.limits()), (("api", T0 + 60 * SECOND),))
    there = open_another(namespace="there")
    there.set_limits({"a": "9", "own": "1"})
    there.freeze("filling")
    there.import_settings(settings)
    there.thaw()
    assert {record.name: record.value for record in there.limits()} == {
        "a": "4",
        "api": "1/1m",
        "own": "1",
        "rested": "1/1s",
    }
    assert there.limits()[0] == store.limits()[0]
    join(there)
    job = put(there, **limited("api"))
    assert store.export_settings() == settings
    assert there.admit() == Admitted(0, 0, False, True, 50.0)
    assert the(there, job).state == "blocked"
