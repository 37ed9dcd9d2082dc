"""claim: by rank, for a live worker, never beyond what was asked for."""

from __future__ import annotations

import string

import pytest

from packhorse._outcome import crashed
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import (
    ERROR,
    SECOND,
    T0,
    beat,
    die,
    ended,
    ids,
    join,
    new_job,
    put,
    running,
    settle,
    state,
    take,
    take_one,
    the,
)


@pytest.fixture
def worker(store: Store) -> str:
    return join(store)


def test_a_claim_carries_what_the_worker_needs(store: Store, worker: str) -> None:
    given = new_job(priority=3, options='{"retry": 3}', tags='["a"]', meta='{"k": 1}', by='{"user": "ada"}', parent="p")
    store.enqueue([given])
    job = take_one(store, worker)
    for name in ("id", "task", "queue", "payload", "options", "priority", "tags", "meta", "by", "parent"):
        assert getattr(job, name) == getattr(given, name), name
    assert (job.crash_fails, job.suspect, job.error, job.created_at, job.scheduled_at) == (False, False, None, T0, None)
    assert (job.failures, job.crashes, job.losses, job.snoozes, job.generation) == (0, 0, 0, 0, 0)


def test_a_claimed_job_runs_for_that_worker(store: Store, worker: str) -> None:
    put(store)
    job = take_one(store, worker)
    record = the(store, job.id)
    assert (record.state, record.worker, record.token) == ("running", worker, job.token)
    assert (record.fence, record.started_at, record.finished_at) == (job.fence, None, None)


def test_the_answer_tells_the_time(store: Store, worker: str) -> None:
    assert store.claim(None, 1, 0, worker, 1).now == T0


def test_a_claimed_job_is_not_claimed_again(store: Store, other: Store, worker: str) -> None:
    put(store)
    assert len(take(store, worker)) == 1
    assert take(store, worker) == []
    assert take(other, join(other, "w2")) == []


def test_one_fresh_token_per_call(store: Store, worker: str) -> None:
    for _ in range(4):
        put(store)
    first, second = take(store, worker, 2), take(store, worker, 2)
    tokens = {job.token for job in first} | {job.token for job in second}
    assert len(tokens) == 2
    assert len({job.token for job in first}) == 1
    for token in tokens:
        assert len(token) == 32
        assert set(token) <= set(string.hexdigits.lower())


def test_not_more_than_free_and_ahead(store: Store, worker: str) -> None:
    for _ in range(10):
        put(store)
    claim = store.claim(None, 2, 3, worker, 1)
    assert len(claim.jobs) == 5
    assert claim.more
    claim = store.claim(None, 20, 3, worker, 2)
    assert len(claim.jobs) == 5
    assert not claim.more


def test_nothing_free_takes_nothing(store: Store, worker: str) -> None:
    put(store)
    assert store.claim(None, 0, 0, worker, 1).jobs == []


def test_an_empty_store_gives_nothing(store: Store, worker: str) -> None:
    claim = store.claim(None, 5, 5, worker, 1)
    assert (claim.jobs, claim.more) == ([], False)


# -- order ---------------------------------------------------------------------------------------------------------
def test_higher_priority_first_then_the_older(store: Store, worker: str, clock: SettableClock) -> None:
    low, plain = put(store, priority=-100), put(store)
    clock.advance(1)
    high, later = put(store, priority=100), put(store)
    assert [job.id for job in take(store, worker)] == [high, plain, later, low]


def test_strict_priority_outlasts_days(store: Store, worker: str, clock: SettableClock) -> None:
    old = put(store)
    clock.advance(29 * 24 * 3600)
    new = put(store, priority=1)
    assert [job.id for job in take(store, worker)] == [new, old]


def test_ties_go_by_seq(store: Store, worker: str) -> None:
    jobs = [put(store) for _ in range(30)]
    assert [job.id for job in take(store, worker, 7)] == jobs[:7]
    assert [job.id for job in take(store, worker)] == jobs[7:]


def test_a_delayed_job_stands_where_its_due_time_puts_it(store: Store, worker: str, clock: SettableClock) -> None:
    delayed = put(store, delay=5)
    before = put(store)
    clock.advance(6)
    after = put(store)
    store.promote()
    assert [job.id for job in take(store, worker)] == [before, delayed, after]


def test_queues_are_asked_in_the_order_given(store: Store, worker: str) -> None:
    a, b = put(store, "a", priority=0), put(store, "b", priority=100)
    put(store, "c")
    assert [job.id for job in take(store, worker, queues=["a", "b"])] == [a, b]


def test_a_queue_given_twice_is_asked_once(store: Store, worker: str) -> None:
    put(store, "a")
    assert len(take(store, worker, queues=["a", "a"])) == 1


def test_no_queue_asked_gives_nothing(store: Store, worker: str) -> None:
    put(store)
    assert take(store, worker, queues=[]) == []
    assert take(store, worker, queues=["unknown"]) == []


def test_every_queue_is_asked_first_in_its_turn(store: Store, worker: str) -> None:
    """Without ``-q`` a busy queue must not starve the others."""
    names = [f"q{number}" for number in range(5)]
    for name in names:
        for _ in range(10):
            put(store, name)
    firsts = [store.claim(None, 1, 0, worker, turn + 1, turn=turn).jobs[0].queue for turn in range(5)]
    assert sorted(firsts) == names


def test_all_queues_together_give_all_jobs(store: Store, worker: str) -> None:
    jobs = {put(store, f"q{number % 7}") for number in range(20)}
    assert {job.id for job in take(store, worker, turn=3)} == jobs


def test_a_queue_that_has_nothing_left_does_not_end_the_turn(store: Store, worker: str) -> None:
    put(store, "a")
    put(store, "b")
    assert len(take(store, worker, queues=["a", "x", "b"])) == 2


# -- who may claim -------------------------------------------------------------------------------------------------
def test_an_unknown_worker_gets_nothing(store: Store) -> None:
    job = put(store)
    claim = store.claim(None, 1, 0, "nobody", 1)
    assert (claim.jobs, claim.more, state(store, job)) == ([], False, "queued")


def test_a_dead_worker_never_claims_again(store: Store, worker: str) -> None:
    put(store)
    die(store, worker)
    assert take(store, worker) == []


def test_a_stopping_worker_takes_no_more_work(store: Store, worker: str) -> None:
    put(store)
    store.stopping(worker)
    assert take(store, worker) == []


def test_a_worker_that_left_gets_nothing(store: Store, worker: str) -> None:
    put(store)
    store.leave(worker)
    assert take(store, worker) == []


# -- what is passed over -------------------------------------------------------------------------------------------
def test_a_paused_queue_is_passed_over(store: Store, worker: str) -> None:
    paused, free = put(store, "a"), put(store, "b")
    store.pause("a")
    assert [job.id for job in take(store, worker)] == [free]
    assert take(store, worker, queues=["a", "b"]) == []
    assert state(store, paused) == "queued"
    store.resume("a")
    assert [job.id for job in take(store, worker)] == [paused]


def test_expired_jobs_are_passed_over_and_do_not_hold_up_others(
    store: Store, worker: str, clock: SettableClock
) -> None:
    for _ in range(50):
        put(store, expires=5)
    good = put(store)
    clock.advance(5)
    assert [job.id for job in take(store, worker, 1)] == [good]


def test_a_job_may_be_claimed_until_it_expires(store: Store, worker: str, clock: SettableClock) -> None:
    job = put(store, expires=5)
    clock.advance(4.999999)
    assert [claimed.id for claimed in take(store, worker)] == [job]


def test_scheduled_jobs_are_not_claimed_before_they_are_promoted(
    store: Store, worker: str, clock: SettableClock
) -> None:
    put(store, delay=1)
    clock.advance(2)
    assert take(store, worker) == []
    store.promote()
    assert len(take(store, worker)) == 1


# -- jobs that are never claimed ahead of a free slot ----------------------------------------------------------------
def test_beyond_the_free_slots_it_stops_at_a_job_that_must_not_run_twice(store: Store, worker: str) -> None:
    first = put(store)
    solo = put(store, crash_fails=True)
    put(store)
    claim = store.claim(None, 1, 5, worker, 1)
    assert [job.id for job in claim.jobs] == [first]
    assert claim.more
    assert [job.id for job in take(store, worker, 1)] == [solo]


def test_within_the_free_slots_such_a_job_is_taken(store: Store, worker: str) -> None:
    jobs = [put(store, crash_fails=True), put(store, crash_fails=True), put(store)]
    claimed = store.claim(None, 2, 5, worker, 1).jobs
    assert [(job.id, job.crash_fails) for job in claimed] == list(zip(jobs, [True, True, False], strict=True))


def test_the_stop_ends_the_whole_call(store: Store, worker: str) -> None:
    """Work behind it, in another queue, would be claimed ahead of it."""
    put(store, "a")
    put(store, "a", crash_fails=True)
    put(store, "b")
    assert len(store.claim(["a", "b"], 1, 5, worker, 1).jobs) == 1


def test_a_suspect_is_not_claimed_ahead_either(store: Store, worker: str) -> None:
    job = running(store, worker, queue="mail")
    settle(store, crashed(job, ERROR, "SIGSEGV", alone=False))
    assert store.claim(None, 0, 5, worker, 2).jobs == []
    again = take_one(store, worker, claim_no=3)
    assert (again.id, again.suspect) == (job.id, True)


# -- fences --------------------------------------------------------------------------------------------------------
def test_the_fence_is_the_time_and_grows_even_if_time_does_not(store: Store, worker: str) -> None:
    job = running(store, worker)
    assert job.fence == T0
    fences = [job.fence]
    for number in range(3):
        beat(store, worker, claim_no=number + 1)
        fences.append(take_one(store, worker, claim_no=number + 2).fence)
    assert fences == [T0, T0 + 1, T0 + 2, T0 + 3]


def test_the_fence_survives_a_requeue(store: Store, worker: str, clock: SettableClock) -> None:
    job = ended(store, worker=worker)
    store.requeue(ids(job.id))
    assert take_one(store, worker, claim_no=2).fence == job.fence + 1
    clock.advance(1)
    beat(store, worker, claim_no=2)
    assert take_one(store, worker, claim_no=3).fence == T0 + SECOND


def test_a_claim_brings_the_counters_and_the_last_error(store: Store, worker: str) -> None:
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "SIGSEGV"))
    again = take_one(store, worker)
    assert (again.crashes, again.error) == (1, ERROR)
