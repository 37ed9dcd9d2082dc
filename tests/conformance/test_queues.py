"""queues, pause, resume: switches and numbers that always agree with a recount."""

from __future__ import annotations

import pytest

from packhorse._outcome import succeeded
from packhorse._record import QueueRecord
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock

from .making import SECOND, T0, ended, ids, join, park, put, settle, take
from .test_prune import one_in_each_state


def one(store: Store, name: str) -> QueueRecord:
    """Return one queue's record."""
    (queue,) = store.queues([name])
    return queue


def recount(store: Store) -> dict[str, dict[str, int]]:
    """Count all jobs one by one."""
    counts: dict[str, dict[str, int]] = {}
    for job in store.find(JobFilter(), 10_000).jobs:
        of_queue = counts.setdefault(job.queue, {})
        of_queue[job.state] = of_queue.get(job.state, 0) + 1
    return counts


def counted(store: Store) -> dict[str, dict[str, int]]:
    """Return the store's counters, without zeros."""
    counts = {queue.name: {s: count for s, count in queue.counts.items() if count} for queue in store.queues()}
    return {name: of_queue for name, of_queue in counts.items() if of_queue}


def test_no_queue_at_first(store: Store) -> None:
    assert store.queues() == []


def test_queues_come_by_name(store: Store) -> None:
    for name in ("b", "a.x", "Z", "c"):
        put(store, name)
    names = [queue.name for queue in store.queues()]
    assert names == sorted(names)
    assert len(names) == 4


def test_only_those_asked_for(store: Store) -> None:
    put(store, "a")
    put(store, "b")
    assert [queue.name for queue in store.queues(["b", "unknown"])] == ["b"]
    assert store.queues([]) == []


def test_counters_agree_with_a_recount_in_every_state(store: Store) -> None:
    one_in_each_state(store)
    assert counted(store) == recount(store)
    store.cancel(JobFilter(since=0))
    assert counted(store) == recount(store)
    store.requeue(JobFilter(since=0))
    assert counted(store) == recount(store)
    store.delete(JobFilter(since=0))
    assert counted(store) == recount(store)


def test_a_queue_whose_jobs_are_gone_is_still_known(store: Store) -> None:
    store.delete(ids(put(store)))
    assert [queue.name for queue in store.queues()] == ["mail"]


# -- the oldest ready job --------------------------------------------------------------------------------------------
def test_the_oldest_is_told_by_when_it_was_ready_not_by_its_rank(store: Store, clock: SettableClock) -> None:
    put(store, priority=-100)
    clock.advance(10)
    put(store, priority=100)
    clock.advance(10)
    put(store)
    assert one(store, "mail").oldest_ready_at == T0


def test_the_oldest_moves_on_as_jobs_are_taken(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    for _ in range(3):
        put(store)
        clock.advance(1)
    for number in range(3):
        assert one(store, "mail").oldest_ready_at == T0 + number * SECOND
        take(store, worker, 1)
    assert one(store, "mail").oldest_ready_at is None


def test_a_delayed_job_is_as_old_as_its_due_time(store: Store, clock: SettableClock) -> None:
    put(store, delay=10)
    assert one(store, "mail").oldest_ready_at is None
    clock.advance(50)
    store.promote()
    assert one(store, "mail").oldest_ready_at == T0 + 10 * SECOND


def test_jobs_queued_in_a_side_line_count(store: Store) -> None:
    park(store)
    assert one(store, "mail").oldest_ready_at is None
    store.resolve(["mail#tasks:unknown"])
    queue = one(store, "mail")
    assert (queue.oldest_ready_at, queue.counts["queued"]) == (T0, 1)


# -- pause -----------------------------------------------------------------------------------------------------------
def test_a_pause_says_who_when_and_why(store: Store, clock: SettableClock) -> None:
    put(store)
    clock.advance(5)
    assert store.pause("mail", by="ada", reason="server move")
    queue = one(store, "mail")
    assert (queue.paused_at, queue.paused_by, queue.paused_reason) == (T0 + 5 * SECOND, "ada", "server move")


def test_pausing_twice_keeps_the_time_of_the_first(store: Store, clock: SettableClock) -> None:
    assert store.pause("mail", by="ada", reason="x")
    clock.advance(5)
    assert not store.pause("mail", by="bob")
    queue = one(store, "mail")
    assert (queue.paused_at, queue.paused_by, queue.paused_reason) == (T0, "bob", None)


def test_resume_undoes_it(store: Store) -> None:
    put(store)
    store.pause("mail", by="ada", reason="x")
    assert store.resume("mail")
    assert not store.resume("mail")
    queue = one(store, "mail")
    assert (queue.paused_at, queue.paused_by, queue.paused_reason) == (None, None, None)


def test_a_queue_that_was_never_paused_cannot_be_resumed(store: Store) -> None:
    put(store)
    assert not store.resume("mail")
    assert not store.resume("unknown")


def test_a_queue_may_be_paused_before_its_first_job(store: Store) -> None:
    assert store.pause("mail")
    assert [queue.name for queue in store.queues()] == ["mail"]
    put(store)
    assert take(store, join(store)) == []


@pytest.mark.parametrize("paused", [True, False])
def test_a_pause_touches_no_job(store: Store, paused: bool) -> None:
    jobs = one_in_each_state(store)
    before = store.get(list(jobs.values()))
    for queue in store.queues():
        store.pause(queue.name)
        if not paused:
            store.resume(queue.name)
    assert store.get(list(jobs.values())) == before


def test_what_runs_goes_on_and_ends_in_a_paused_queue(store: Store) -> None:
    put(store)
    (job,) = take(store, join(store))
    store.pause("mail")
    assert settle(store, succeeded(job, "1")) == []


def test_a_pause_holds_for_every_connection(store: Store, other: Store) -> None:
    put(store)
    store.pause("mail")
    assert take(other, join(other)) == []
    other.resume("mail")
    assert len(take(store, join(store, "w2"))) == 1


def test_ended_jobs_count(store: Store) -> None:
    ended(store, queue="mail")
    assert one(store, "mail").counts["succeeded"] == 1
