"""What could run now if there were slots: told in advance, and counted afterwards."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from packhorse import _demand
from packhorse._backoff import Backoff
from packhorse._demand import Demand, demand
from packhorse._outcome import failed, succeeded
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, admit, join, limited, new_job, put, reserving, settle, sharing, take

QUEUES = ("a", "b", "c")
NAMES = ("disk", "smtp", "api", "nowhere", "tenant:7")


def told(store: Store) -> dict[str, int]:
    return {name: each.ready for name, each in demand(store).queues.items() if each.ready}


def counted(store: Store) -> dict[str, int]:
    """Let go all that can be, as if every queue were served, and count what could be claimed."""
    while store.promote()[0]:
        pass
    join(store, "everywhere", slots=1000)
    admit(store)
    store.expire()
    open_ = [queue for queue in store.queues() if queue.paused_at is None]
    return {queue.name: queue.counts["queued"] for queue in open_ if queue.counts.get("queued")}


def random_job(rng: random.Random, known: list[str]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    names = rng.sample(NAMES, rng.choice((0, 0, 1, 1, 1, 2)))
    more["holds"] = tuple(sorted((rng.choice("llxs" if name in NAMES[1:] else "xss"), name) for name in names))
    if known and rng.random() < 0.3:
        more["after"] = tuple(rng.sample(known, min(len(known), rng.choice((1, 2)))))
        more["after_failed"] = rng.random() < 0.4
    if rng.random() < 0.3:
        more["flow"] = rng.choice("fg")
    if rng.random() < 0.15:
        more["after_flow"] = rng.choice("fg")
    if rng.random() < 0.15:
        more["delay"] = rng.choice((5.0, 60.0))
    if rng.random() < 0.1:
        more["expires"] = 61.0
    return more


@pytest.mark.parametrize("seed", range(30))
def test_it_is_what_would_be_let_go(store: Store, clock: SettableClock, seed: int) -> None:
    rng = random.Random(seed)
    store.set_limits({"smtp": "2", "api": "3/1s burst 2", "tenant:*": "1"})
    worker = join(store, "some", queues='[["a", "b"]]' if rng.random() < 0.5 else None)
    known: list[str] = []
    for _ in range(rng.randrange(1, 5)):
        for _ in range(rng.randrange(2, 9)):
            known.append(put(store, rng.choice(QUEUES), **random_job(rng, known)))
        if rng.random() < 0.3:
            store.pause(rng.choice(QUEUES))
        if rng.random() < 0.7:
            admit(store)
        for job in take(store, worker, rng.randrange(4), ["a", "b", "c"]):
            if rng.random() < 0.6:
                ends = rng.random() < 0.7
                settle(store, succeeded(job, None) if ends else failed(job, Backoff(rng.choice((0, 2))), ERROR))
        clock.advance(rng.choice((0.0, 0.4, 6.0, 62.0)))
    store.expire()
    before = told(store)
    assert before == counted(store)


def test_by_queue_and_in_all(store: Store) -> None:
    worker = join(store, slots=4, queues='[["a", "b"]]')
    join(store, "w2", slots=3, queues='[["b"]]')
    store.set_limits({"smtp": "2"})
    for queue in ("a", "a", "b"):
        put(store, queue)
    for _ in range(5):
        put(store, "c", **limited("smtp"))
    take(store, worker, 1, ["a"])
    put(store, "later", delay=60.0)
    found = demand(store)
    assert found.queues == {
        "a": Demand(running=1, queued=1, waiting=0, slots=4),
        "b": Demand(running=0, queued=1, waiting=0, slots=7),
        "c": Demand(running=0, queued=0, waiting=2, slots=0),
        "later": Demand(),
    }
    assert (found.all, found.estimate) == (Demand(1, 2, 2, 7), False)
    assert (found.all.ready, found.all.wanted) == (4, 5)


def test_nothing_is_changed(store: Store) -> None:
    jobs = [put(store, **reserving("a")) for _ in range(2)]
    before = [parcel.job for parcel in store.export(0)]
    assert told(store) == {"mail": 1}
    assert [parcel.job for parcel in store.export(0)] == before
    assert all(job.place is None for job in store.get(jobs))


def test_what_is_due_counts_though_no_worker_has_made_it_ready(store: Store, clock: SettableClock) -> None:
    put(store, delay=5.0)
    put(store, delay=5.0, **reserving("a"))
    put(store, **reserving("a"))
    assert told(store) == {"mail": 1}
    clock.advance(5)
    assert told(store) == {"mail": 2}


def test_a_pause_that_is_over_counts_for_nothing(store: Store, clock: SettableClock) -> None:
    put(store)
    store.pause("mail", seconds=60.0)
    assert told(store) == {}
    clock.advance(60)
    assert told(store) == {"mail": 1}


def test_what_is_told_of_very_many_is_an_estimate(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demand, "LOOKED_AT", 3)
    jobs = [new_job(**sharing("a")) for _ in range(2500)]
    for start in range(0, 2500, 500):
        store.enqueue(jobs[start : start + 500])
    found = demand(store)
    assert found.estimate
    assert 3 <= found.all.ready <= 2500


def test_a_namespace_that_is_moving_needs_nothing(store: Store) -> None:
    put(store)
    store.freeze("sqlite:///elsewhere.db")
    assert demand(store).all == Demand()
    store.thaw()
    assert Counter(told(store)) == {"mail": 1}
    assert store.find(JobFilter(states=("queued",))).jobs
