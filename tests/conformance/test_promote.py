"""promote: what is due becomes queued, oldest due first."""

from __future__ import annotations

from packhorse._backoff import Backoff
from packhorse._outcome import failed, snoozed
from packhorse._record import rank
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, SECOND, T0, put, running, settle, state, the


def test_nothing_waits(store: Store) -> None:
    put(store)
    assert store.promote() == (0, None)


def test_not_yet(store: Store) -> None:
    job = put(store, delay=90)
    assert store.promote() == (0, 90.0)
    assert state(store, job) == "scheduled"


def test_the_next_one_is_told(store: Store, clock: SettableClock) -> None:
    jobs = [put(store, delay=10), put(store, delay=20), put(store, delay=35)]
    clock.advance(20)
    assert store.promote() == (2, 15.0)
    assert [state(store, job) for job in jobs] == ["queued", "queued", "scheduled"]


def test_a_repeat_finds_nothing_more(store: Store, clock: SettableClock) -> None:
    put(store, delay=10)
    clock.advance(10)
    assert store.promote() == (1, None)
    assert store.promote() == (0, None)


def test_a_scheduled_job_keeps_the_rank_of_its_due_time(store: Store, clock: SettableClock) -> None:
    job = put(store, delay=10, priority=1)
    clock.advance(100)
    store.promote()
    record = the(store, job)
    assert (record.state, record.due_at, record.rank) == ("queued", None, rank(T0 + 10 * SECOND, 1))
    assert record.scheduled_at == T0 + 10 * SECOND


def test_a_retry_keeps_its_first_rank_and_its_history(store: Store, clock: SettableClock) -> None:
    job = running(store)
    settle(store, failed(job, Backoff(1, base=10, jitter=False), ERROR, reason="boom"))
    clock.advance(10)
    assert store.promote() == (1, None)
    record = the(store, job.id)
    assert (record.state, record.due_at, record.rank, record.failures) == ("queued", None, rank(T0, 0), 1)
    assert (record.error, record.reason) == (ERROR, "boom")


def test_a_snoozed_job_comes_back(store: Store, clock: SettableClock) -> None:
    job = running(store)
    settle(store, snoozed(job, 5))
    clock.advance(5)
    store.promote()
    assert the(store, job.id).rank == rank(T0 + 5 * SECOND, 0)


def test_no_more_than_the_limit_oldest_due_first(store: Store, clock: SettableClock) -> None:
    late, early, middle = put(store, delay=3), put(store, delay=1), put(store, delay=2)
    clock.advance(10)
    assert store.promote(2) == (2, 0.0)
    assert [state(store, job) for job in (early, middle, late)] == ["queued", "queued", "scheduled"]
    assert store.promote(2) == (1, None)


def test_a_paused_queue_is_promoted_like_any_other(store: Store, clock: SettableClock) -> None:
    job = put(store, delay=1)
    store.pause("mail")
    clock.advance(1)
    assert store.promote() == (1, None)
    assert state(store, job) == "queued"
