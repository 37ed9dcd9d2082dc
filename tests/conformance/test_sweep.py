"""``sweep`` finds jobs that could go and that nothing would have ``admit`` look at; and else it finds nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packhorse._outcome import succeeded
from packhorse._store import Store

from .forgetting import FORGET
from .making import admit, beat, ended, ids, join, limited, park, put, reserving, running, settle, sharing, state, take

Forget = Callable[[], None]


@pytest.fixture
def forget(store: Store) -> Forget:
    """Loses what was noted for the next admit."""
    how = FORGET.get(store.capabilities.scheme)
    if how is None:
        pytest.skip("this store keeps no notes")

    def lose() -> None:
        how(store)
        assert admit(store) == (0, 0), "nothing was lost"

    return lose


def calm(store: Store) -> None:
    """Admit until nothing is left to be looked at, also of what a store notices at its next look only."""
    admit(store)
    admit(store)


def swept(store: Store, limit: int = 100) -> list[str]:
    """Look at all who wait, a few at a time; return who was lost."""
    found: list[str] = []
    after = None
    for _ in range(1000):
        answer = store.sweep(after, limit)
        found += answer.lost
        after = answer.next
        if after is None:
            return found
    raise AssertionError("it never ends")


def waiting(store: Store) -> list[str]:
    """Have jobs wait in every way there is; return them."""
    join(store, "w0")
    holder = put(store, **reserving("box"))
    store.set_limits({"two": "1", "slow": "1/1h"})
    calm(store)
    inside = [
        put(store, **options) for options in (reserving("box"), sharing("box"), reserving("a", "box"), limited("box"))
    ]
    inside += [put(store, **limited(name)) for name in ("two", "two", "slow", "slow", "nobody said")]
    parent, member = put(store, "other", flow="f"), put(store, "other", flow="f")
    inside += [
        put(store, after=(parent, holder)),
        put(store, after_flow="f"),
        put(store, after=(member,), **reserving("b")),
    ]
    store.pause("paused")
    inside += [put(store, "paused", **reserving("c"))]
    return inside


def test_who_waits_for_what_became_free_is_found(store: Store, forget: Forget) -> None:
    worker, first, second, third = join(store), *(put(store, **reserving("box")) for _ in range(3))
    calm(store)
    (job,) = take(store, worker)
    assert job.id == first
    settle(store, succeeded(job, "3"))
    forget()
    assert (state(store, second), swept(store)) == ("blocked", [second])
    assert store.freed
    assert admit(store) == (1, 0)
    assert (state(store, second), state(store, third)) == ("queued", "blocked")


def test_whose_parent_ended_is_found(store: Store, forget: Forget) -> None:
    parent = running(store)
    child = put(store, after=(parent.id,))
    calm(store)
    settle(store, succeeded(parent, "3"))
    forget()
    assert swept(store) == [child]
    assert admit(store) == (1, 0)


def test_whose_parent_failed_is_found_and_gives_up(store: Store, forget: Forget) -> None:
    parent = running(store)
    child = put(store, after=(parent.id,))
    calm(store)
    settle(
        store, succeeded(parent, "3")._replace(outcome="failed", state="failed", result=None, plain=False, failures=1)
    )
    forget()
    assert swept(store) == [child]
    assert admit(store) == (0, 1)
    assert state(store, child) == "cancelled"


def test_whose_flow_ended_is_found(store: Store, forget: Forget) -> None:
    member = running(store, flow="f")
    follower = put(store, after_flow="f")
    calm(store)
    settle(store, succeeded(member, "3"))
    forget()
    assert swept(store) == [follower]
    assert admit(store) == (1, 0)


def test_who_waits_for_a_limit_is_found(store: Store, forget: Forget) -> None:
    join(store)
    store.set_limits({"two": "1"})
    put(store, **limited("two"))
    second = put(store, **limited("two"))
    calm(store)
    store.set_limits({"two": "2"})
    forget()
    assert swept(store) == [second]
    assert admit(store) == (1, 0)


def test_one_who_has_another_obstacle_too_is_not_found(store: Store, forget: Forget) -> None:
    worker, _, _ = join(store), put(store, **reserving("a")), put(store, **reserving("b"))
    both = put(store, **reserving("a", "b"))
    calm(store)
    first, second = take(store, worker)
    settle(store, succeeded(first, "3"))
    forget()
    assert swept(store) == []
    settle(store, succeeded(second, "3"))
    forget()
    assert swept(store) == [both]


def test_among_many_it_is_found_a_few_at_a_time(store: Store, forget: Forget) -> None:
    worker = join(store)
    lines = {name: [put(store, **reserving(name)) for _ in range(7)] for name in "abc"}
    calm(store)
    jobs = take(store, worker)
    settle(store, *(succeeded(job, "3") for job in jobs if job.id not in lines["b"]))
    forget()
    assert sorted(swept(store, 2)) == sorted([lines["a"][1], lines["c"][1]])
    assert admit(store) == (2, 0)
    assert swept(store, 2) == []


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_nobody_is_found_where_all_is_well(store: Store, limit: int) -> None:
    jobs = waiting(store)
    assert swept(store, limit) == [], "nobody has looked at them yet, and that is known"
    calm(store)
    still = [job for job in jobs if state(store, job) == "blocked"]
    assert len(still) > 10
    assert swept(store, limit) == []
    assert [job for job in jobs if state(store, job) == "blocked"] == still
    assert admit(store) == (0, 0)


def test_nobody_is_found_of_whom_it_was_noted(store: Store) -> None:
    """Each thing that lets somebody go: swept before the admit that does it."""
    waiting(store)
    calm(store)
    worker = join(store, "w1")
    for _ in range(30):
        jobs = take(store, worker, 1)
        if not jobs:
            break
        settle(store, succeeded(jobs[0], "3"))
        assert swept(store) == []
        calm(store)
    store.resume("paused")
    assert swept(store) == []
    assert admit(store)[0] >= 1
    store.set_limits({"nobody said": "3"})
    assert swept(store) == []
    assert admit(store)[0] == 1


def test_one_in_a_side_line_is_none_of_its_business(store: Store) -> None:
    park(store)
    ended(store)
    assert swept(store) == []


def test_a_closed_store_rests(store: Store) -> None:
    waiting(store)
    store.freeze("sqlite:///elsewhere.db")
    assert store.sweep() == ((), None)


def test_who_is_found_can_be_cancelled_meanwhile(store: Store, forget: Forget) -> None:
    worker, _, second, third = join(store), *(put(store, **reserving("box")) for _ in range(3))
    calm(store)
    settle(store, *(succeeded(job, "3") for job in take(store, worker)))
    forget()
    assert swept(store) == [second]
    store.cancel(ids(second))
    assert admit(store) == (1, 0)
    assert state(store, third) == "queued"
    assert beat(store, worker).alive
