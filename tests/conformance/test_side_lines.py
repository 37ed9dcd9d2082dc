"""Side lines: where jobs wait whose task no worker knows; resolve, and claims from them."""

from __future__ import annotations

from packhorse._backoff import Backoff
from packhorse._outcome import failed, parked, released
from packhorse._record import rank
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, T0, ids, join, park, put, running, settle, state, take, take_one, the

LINE = "mail#tasks:unknown"


def test_nobody_claims_what_is_blocked(store: Store) -> None:
    park(store)
    assert take(store, join(store), lines=[LINE]) == []


def test_resolve_makes_them_queued_in_their_line(store: Store) -> None:
    jobs = [park(store), park(store)]
    elsewhere = park(store, "tasks:other")
    assert store.resolve([LINE]) == 2
    assert store.resolve([LINE]) == 0
    for job in jobs:
        record = the(store, job)
        assert (record.state, record.line, record.queue, record.reason) == ("queued", LINE, "mail", None)
    assert state(store, elsewhere) == "blocked"


def test_several_lines_at_once_and_unknown_ones(store: Store) -> None:
    park(store)
    park(store, "tasks:other")
    assert store.resolve([LINE, "mail#tasks:other", "mail#nobody", LINE]) == 2
    assert store.resolve([]) == 0


def test_the_place_in_the_order_is_kept(store: Store, clock: SettableClock) -> None:
    job = park(store)
    clock.advance(100)
    store.resolve([LINE])
    assert the(store, job).rank == rank(T0, 0)


def test_only_who_serves_the_line_claims_from_it(store: Store) -> None:
    worker = join(store)
    job = park(store, worker=worker)
    store.resolve([LINE])
    assert take(store, worker) == []
    assert take(store, worker, queues=["mail"]) == []
    assert take(store, worker, lines=["mail#tasks:other"]) == []
    assert take_one(store, worker, lines=[LINE]).id == job


def test_a_side_line_is_asked_directly_after_its_queue(store: Store) -> None:
    worker = join(store)
    side = park(store, queue="a", worker=worker)
    store.resolve(["a#tasks:unknown"])
    b, a = put(store, "b", priority=100), put(store, "a", priority=-100)
    jobs = take(store, worker, queues=["a", "b"], lines=["a#tasks:unknown"])
    assert [job.id for job in jobs] == [a, side, b]


def test_the_side_line_of_a_queue_that_is_not_asked_is_not_asked(store: Store) -> None:
    worker = join(store)
    park(store, worker=worker)
    store.resolve([LINE])
    put(store, "other")
    assert len(take(store, worker, queues=["other"], lines=[LINE])) == 1


def test_every_queue_means_every_side_line_served(store: Store) -> None:
    """Also when nothing else waits in the queue."""
    worker = join(store)
    job = park(store, worker=worker)
    store.resolve([LINE])
    assert take_one(store, worker, lines=[LINE]).id == job


def test_a_pause_holds_for_the_side_lines_too(store: Store) -> None:
    worker = join(store)
    park(store, worker=worker)
    store.resolve([LINE])
    store.pause("mail")
    assert take(store, worker, lines=[LINE]) == []
    store.resume("mail")
    assert len(take(store, worker, lines=[LINE])) == 1


def test_a_name_that_another_begins_with_is_another_queue(store: Store) -> None:
    worker = join(store)
    park(store, queue="mailing", worker=worker)
    store.resolve(["mailing#tasks:unknown"])
    assert take(store, worker, queues=["mail"], lines=["mailing#tasks:unknown"]) == []


def test_a_retry_comes_back_in_the_side_line(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    job = park(store, worker=worker)
    store.resolve([LINE])
    settle(store, failed(take_one(store, worker, lines=[LINE]), Backoff(1, base=1, jitter=False), ERROR))
    clock.advance(1)
    store.promote()
    assert the(store, job).line == LINE
    settle(store, released(take_one(store, worker, lines=[LINE])))
    assert (state(store, job), the(store, job).line) == ("queued", LINE)


def test_a_job_may_be_parked_again(store: Store) -> None:
    worker = join(store)
    job = park(store, worker=worker)
    store.resolve([LINE])
    settle(store, parked(take_one(store, worker, lines=[LINE]), "mail"))
    assert (state(store, job), the(store, job).attempt) == ("blocked", 1)


def test_a_requeued_job_stands_in_its_queue_again(store: Store) -> None:
    worker = join(store)
    job = park(store, worker=worker)
    store.cancel(ids(job))
    store.requeue(ids(job))
    assert the(store, job).line == "mail"
    assert take_one(store, worker).id == job


def test_ahead_counts_within_the_line(store: Store) -> None:
    worker = join(store)
    first, second = park(store, worker=worker), park(store, worker=worker)
    put(store)
    store.resolve([LINE])
    assert (store.ahead(first), store.ahead(second)) == (0, 1)


def test_a_run_that_began_is_in_the_history_even_if_it_was_parked(store: Store) -> None:
    job = running(store, queue="mail")
    settle(store, parked(job, "mail")._replace(started=1.0))
    (row,) = store.attempts(job.id)
    assert row.outcome == "released"
    assert the(store, job.id).started_at is None
