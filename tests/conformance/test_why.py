"""What a job is said to wait for, and whether it starts: the one if and only if the other, whatever the rules.

Random jobs with random rules, queues, limits and workers. When nobody finds anything more to let go, and a worker with a slot for
every job claims all it can, the jobs that start are exactly those of which it was said that nothing is in the way.
"""

from __future__ import annotations

import random

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._record import JobRecord
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse._why import Why, explain

from .making import ERROR, join, put, take

#: What is said of a job that starts as soon as there is a slot.
FREE = {"ahead"}
#: What is said of one that does not.
KEPT = {
    "after",
    "flow",
    "circle",
    "held",
    "undeclared",
    "rate",
    "paused",
    "no-worker",
    "due",
    "retry",
    "admission",
    "unknown-task",
}
QUEUES = ("a", "b", "c")
NAMES = ("disk", "smtp", "api", "nowhere", "tenant:7")


def everything(store: Store) -> list[JobRecord]:
    return store.find(JobFilter(queue=None, states=("scheduled", "blocked", "queued", "retrying")), limit=1000).jobs


def let_go(store: Store) -> None:
    while store.promote()[0]:
        pass
    while store.admit().more:
        pass


def random_job(store: Store, rng: random.Random, known: list[str]) -> str:
    """Enqueue one job, with none to four rules."""
    names = rng.sample(NAMES, rng.choice((0, 0, 1, 1, 2)))
    holds = sorted((rng.choice(("x", "s", "l")), name) for name in names)
    more: dict[str, object] = {}
    if known and rng.random() < 0.3:
        more["after"] = tuple(rng.sample(known, min(len(known), rng.choice((1, 2)))))
        more["after_failed"] = rng.random() < 0.5
    if rng.random() < 0.2:
        more["flow"] = rng.choice(("f", "g"))
    elif rng.random() < 0.1:
        more["after_flow"] = rng.choice(("f", "g"))
    if rng.random() < 0.1:
        more["delay"] = 60.0
    return put(store, rng.choice(QUEUES), holds=tuple(holds), **more)


def said(store: Store) -> dict[str, Why]:
    return {record.id: explain(store, record) for record in everything(store)}


@pytest.mark.parametrize("seed", range(12))
def test_a_job_starts_if_and_only_if_nothing_is_said_to_be_in_its_way(
    store: Store, clock: SettableClock, seed: int
) -> None:
    rng = random.Random(seed)
    store.set_limits({"smtp": "2", "api": "3/1s burst 2", "tenant:*": "1"})
    worker = join(store, "w1", queues='[["a", "b"]]' if rng.random() < 0.5 else None, slots=100)
    ids: list[str] = []
    for number in range(1, 7):
        ids += [random_job(store, rng, ids) for _ in range(rng.randrange(2, 8))]
        if rng.random() < 0.3:
            (store.resume if rng.random() < 0.5 else store.pause)(rng.choice(QUEUES))
        let_go(store)
        told = said(store)
        assert {why.kind for why in told.values()} <= FREE | KEPT
        assert "admission" not in {why.kind for why in told.values()}, "what has nothing in its way was let go"
        queues = ["a", "b"] if "c" not in _served(store) else None
        started = {job.id: job for job in take(store, worker, 1000, queues, claim_no=number)}
        assert set(started) == {job for job, why in told.items() if why.kind in FREE}
        for job in rng.sample(sorted(started), len(started) // 2):
            verdict = succeeded(started[job], "null") if rng.random() < 0.7 else failed(started[job], Backoff(0), ERROR)
            store.settle(worker, [verdict])
        clock.advance(rng.choice((0.1, 1.0, 61.0)))
        store.beat(worker, 0, [])  # one that is silent for a minute is not counted on


def _served(store: Store) -> set[str]:
    (worker,) = store.workers()
    return {"a", "b"} if worker.queues else set(QUEUES)


def test_every_obstacle_has_words_of_its_own(store: Store) -> None:
    """And each tells what to look at: the name, or the job."""
    join(store, "w1", queues='[["a"]]')
    store.set_limits({"smtp": "1", "api": "1/1h"})
    parent = put(store, "a")
    holder = put(store, "a", holds=(("l", "api"), ("l", "smtp"), ("x", "disk")))
    jobs = {
        "after": put(store, "a", after=(parent,)),
        "flow": put(store, "a", after_flow="f"),
        "undeclared": put(store, "a", holds=(("l", "nowhere"),)),
        "rate": put(store, "a", holds=(("l", "api"),)),
        "held": put(store, "a", holds=(("s", "disk"),)),
        "no-worker": put(store, "b", holds=(("s", "disk"),)),
    }
    put(store, "a", flow="f")
    let_go(store)
    jobs["full"] = put(store, "a", holds=(("l", "smtp"),))
    let_go(store)
    store.pause("c")
    jobs["paused"] = put(store, "c", holds=(("s", "disk"),))
    told = {name: explain(store, store.get([job])[0]) for name, job in jobs.items()}
    assert {name: why.kind for name, why in told.items()} == {**{name: name for name in jobs}, "full": "held"}
    for name, word in {
        "after": parent, "flow": "'f'", "undeclared": "'nowhere'", "rate": "'api'", "held": holder, "no-worker": "'b'",
        "full": "'smtp'", "paused": "'c'",
    }.items():  # fmt: skip
        assert word in told[name].text
