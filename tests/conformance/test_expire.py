"""expire: a waiting job whose time is over is cancelled, and says so."""

from __future__ import annotations

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, parked, succeeded
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, SECOND, T0, join, park, put, running, settle, state, take, take_one, the


def test_nothing_expires_early(store: Store, clock: SettableClock) -> None:
    job = put(store, expires=10)
    clock.advance(9.999999)
    assert store.expire() == []
    assert state(store, job) == "queued"


def test_an_expired_job_is_cancelled_with_its_reason(store: Store, clock: SettableClock) -> None:
    job = put(store, expires=10)
    clock.advance(10)
    assert store.expire() == [job]
    record = the(store, job)
    assert (record.state, record.reason, record.finished_at) == ("cancelled", "expired", T0 + 10 * SECOND)
    assert store.expire() == []


@pytest.mark.parametrize("waiting", ["queued", "scheduled", "retrying", "blocked"])
def test_every_waiting_job_can_expire(store: Store, clock: SettableClock, waiting: str) -> None:
    if waiting == "retrying":
        claimed = running(store, expires=10)
        settle(store, failed(claimed, Backoff(1, base=100, jitter=False), ERROR))
        job = claimed.id
    elif waiting == "blocked":
        claimed = running(store, expires=10)
        settle(store, parked(claimed, claimed.queue))
        job = claimed.id
    else:
        job = put(store, expires=10, delay=100 if waiting == "scheduled" else 0)
    assert state(store, job) == waiting
    clock.advance(11)
    assert store.expire() == [job]
    record = the(store, job)
    assert (record.state, record.due_at) == ("cancelled", None)


def test_a_running_job_does_not_expire(store: Store, clock: SettableClock) -> None:
    job = running(store, expires=10)
    clock.advance(11)
    assert store.expire() == []
    assert settle(store, succeeded(job, "1")) == []


def test_no_more_than_the_limit(store: Store, clock: SettableClock) -> None:
    jobs = {put(store, expires=10) for _ in range(5)}
    clock.advance(10)
    first, second = store.expire(3), store.expire(3)
    assert (len(first), len(second)) == (3, 2)
    assert {*first, *second} == jobs


def test_others_are_untouched(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    parked_job = park(store, worker=worker)
    job = put(store, expires=10)
    clock.advance(11)
    assert store.expire() == [job]
    assert state(store, parked_job) == "blocked"
    assert take(store, worker) == []
    store.resolve(["mail#tasks:unknown"])
    assert take_one(store, worker, lines=["mail#tasks:unknown"]).id == parked_job
