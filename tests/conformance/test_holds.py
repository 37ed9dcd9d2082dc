"""Reserved and shared names: all or nothing, first come first served, and nothing that can leak."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from packhorse._admission import Obstacle
from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, crashed, failed, lost, parked, released, snoozed, succeeded
from packhorse._record import Report
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock

from .laws import holds_agree
from .making import (
    ERROR,
    SECOND,
    T0,
    admit,
    beat,
    die,
    ids,
    join,
    limited,
    new_job,
    obstacle,
    put,
    reserving,
    run_all,
    settle,
    sharing,
    state,
    take,
    take_one,
)

BOTH = {"holds": (("s", "a"), ("x", "b"))}


def test_one_reserves_and_the_others_wait_in_line(store: Store) -> None:
    worker = join(store)
    jobs = [put(store, **reserving("a")) for _ in range(3)]
    assert admit(store) == (1, 0)
    assert obstacle(store, jobs[1]) == Obstacle("held", "a", jobs[0], None, 1)
    assert obstacle(store, jobs[2]) == Obstacle("held", "a", jobs[0], None, 2)
    assert [run_all(store, worker) for _ in jobs] == [[job] for job in jobs]


def test_the_obstacle_tells_since_when_the_holder_runs(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    first, second = put(store, **reserving("a")), put(store, **reserving("a"))
    admit(store)
    job = take_one(store, worker)
    assert obstacle(store, second) == Obstacle("held", "a", first, None, 1)
    clock.advance(10)
    store.report(worker, [Report(job.id, job.token, started=4.0)])
    assert obstacle(store, second) == Obstacle("held", "a", first, T0 + 6 * SECOND, 1)


def test_those_who_share_run_together_and_nobody_passes_one_who_reserves(store: Store) -> None:
    worker = join(store)
    readers = [put(store, **sharing("a")) for _ in range(3)]
    writer, late = put(store, **reserving("a")), put(store, **sharing("a"))
    assert admit(store) == (3, 0)
    assert obstacle(store, writer) == Obstacle("held", "a", readers[0], None, 1)
    assert obstacle(store, late) == Obstacle("held", "a", writer, None, 2)
    assert run_all(store, worker) == readers
    assert run_all(store, worker) == [writer]
    assert run_all(store, worker) == [late]


def test_all_names_or_none(store: Store) -> None:
    worker = join(store)
    first = put(store, **reserving("b"))
    both, third = put(store, **reserving("a", "b")), put(store, **reserving("a"))
    assert admit(store) == (1, 0)
    assert obstacle(store, both) == Obstacle("held", "b", first, None, 1)
    # Nobody has "a", but the one before in its line waits for more.
    assert obstacle(store, third) == Obstacle("held", "a", both, None, 2)
    assert [run_all(store, worker) for _ in range(3)] == [[first], [both], [third]]


def test_of_several_names_the_first_in_the_way_is_told(store: Store) -> None:
    join(store)
    holder = put(store, **reserving("a", "b"))
    job = put(store, **BOTH)
    admit(store)
    assert obstacle(store, job) == Obstacle("held", "a", holder, None, 1)


def test_priority_does_not_count_within_a_name(store: Store) -> None:
    worker = join(store)
    jobs = [put(store, priority=priority, **reserving("a")) for priority in (0, 1, 100)]
    assert [run_all(store, worker) for _ in jobs] == [[job] for job in jobs]


def test_a_name_is_data(store: Store) -> None:
    worker = join(store)
    names = ["a*", "%", "'; --", "{x}:1", '"', "\\", "A", "a", "\u00e9", "e\u0301", " ", "[1]"]
    jobs = [put(store, **reserving(name)) for name in names]
    again = [put(store, **reserving(name)) for name in names]
    assert sorted(run_all(store, worker)) == sorted(jobs)
    assert sorted(run_all(store, worker)) == sorted(again)


def test_two_hundred_blocked_jobs_hold_up_nobody_else(store: Store) -> None:
    worker = join(store)
    store.enqueue([new_job(**reserving("a")) for _ in range(201)])
    plain, free = put(store), put(store, **reserving("b"))
    admit(store)
    claimed = [job.id for job in take(store, worker)]
    assert {plain, free} < set(claimed)
    assert len(claimed) == 3


def test_work_with_a_hold_is_not_claimed_ahead_of_a_free_slot(store: Store) -> None:
    worker = join(store)
    jobs = [put(store), put(store), put(store, **sharing("a")), put(store)]
    admit(store)
    claim = store.claim(None, 1, 5, worker, 1)
    assert ([job.id for job in claim.jobs], claim.more) == (jobs[:2], True)
    assert [job.id for job in store.claim(None, 1, 5, worker, 2).jobs] == jobs[2:]


# -- ways to give up a hold -----------------------------------------------------------------------------------------------
def settled(how: Callable[[Any], Any]) -> Callable[[Store, str], object]:
    """Return a way out by a verdict."""
    return lambda store, worker: settle(store, how(take_one(store, worker, queues=["mail"])))


def cancelled_while_claimed_unheard(store: Store, worker: str) -> None:
    job = take_one(store, worker, queues=["mail"])
    store.cancel(ids(job.id))
    assert beat(store, worker).ghosts == [job.id]


def cancelled_while_running(store: Store, worker: str) -> None:
    job = take_one(store, worker, queues=["mail"])
    store.cancel(ids(job.id))
    assert admit(store) == (0, 0)
    settle(store, released(job))


def _queued(store: Store) -> list[str]:
    return [job.id for job in store.find(JobFilter(states=("queued",))).jobs]


WAYS_OUT: dict[str, Callable[[Store, str], object]] = {
    "succeeded": settled(lambda job: succeeded(job, None)),
    "failed": settled(lambda job: failed(job, Backoff(0), ERROR)),
    "retried": settled(lambda job: failed(job, Backoff(3), ERROR)),
    "snoozed": settled(lambda job: snoozed(job, 60)),
    "cancelled itself": settled(lambda job: cancelled(job, "enough")),
    "of an unknown task": settled(lambda job: parked(job, job.queue)),
    "crashed often": settled(lambda job: crashed(job._replace(crashes=1), ERROR, "SIGSEGV")),
    "unstorable": settled(lambda job: succeeded(job, None, reason="\ud800")),
    "cancelled while running": cancelled_while_running,
    "cancelled, never received": cancelled_while_claimed_unheard,
    "cancelled while queued": lambda store, worker: store.cancel(ids(*_queued(store))),
    "deleted while queued": lambda store, worker: store.delete(ids(*_queued(store))),
}


@pytest.mark.parametrize("how", WAYS_OUT)
def test_a_hold_is_given_up_with_the_job(store: Store, how: str) -> None:
    worker = join(store)
    put(store, **BOTH)
    waiters = [put(store, "letters", **sharing("b")), put(store, "letters", **reserving("a"))]
    assert admit(store) == (1, 0)
    WAYS_OUT[how](store, worker)
    assert store.freed
    assert admit(store) == (2, 0)
    assert [state(store, job) for job in waiters] == ["queued", "queued"]


def test_a_hold_is_given_up_when_a_job_expires(store: Store, clock: SettableClock) -> None:
    join(store)
    put(store, expires=60.0, **reserving("a"))
    waiter = put(store, **reserving("a"))
    admit(store)
    clock.advance(61)
    assert len(store.expire()) == 1
    assert store.freed
    assert admit(store) == (1, 0)
    assert state(store, waiter) == "queued"


@pytest.mark.parametrize("way", ["cancel", "delete", "expire"])
def test_who_leaves_the_line_holds_up_nobody(store: Store, clock: SettableClock, way: str) -> None:
    join(store)
    put(store, **sharing("a"))
    leaves, waits = put(store, expires=60.0, **reserving("a")), put(store, **sharing("a"))
    assert admit(store) == (1, 0)
    clock.advance(61)
    store.expire() if way == "expire" else getattr(store, way)(ids(leaves))
    assert store.freed
    assert admit(store) == (1, 0)
    assert state(store, waits) == "queued"


KEEPS: dict[str, Callable[[Any], Any]] = {
    "released": lambda job: released(job),
    "crashed": lambda job: crashed(job, ERROR, "SIGSEGV"),
    "suspect": lambda job: crashed(job, ERROR, "SIGSEGV", alone=False),
    "lost": lambda job: lost(job, "gone", started=True),
}


@pytest.mark.parametrize("how", KEEPS)
def test_a_job_that_goes_straight_back_keeps_its_hold(store: Store, how: str) -> None:
    worker = join(store)
    first = put(store, **reserving("a"))
    put(store, **sharing("a"))
    admit(store)
    settle(store, KEEPS[how](take_one(store, worker)))
    assert (state(store, first), admit(store)) == ("queued", (0, 0))


def test_a_ghost_keeps_its_hold(store: Store) -> None:
    worker = join(store)
    first = put(store, **reserving("a"))
    put(store, **reserving("a"))
    admit(store)
    take_one(store, worker)
    assert beat(store, worker).ghosts == [first]
    assert (state(store, first), admit(store)) == ("queued", (0, 0))


def test_a_dead_worker_holds_until_its_jobs_are_settled(store: Store) -> None:
    worker, rescuer = join(store), join(store, "rescuer")
    put(store, **reserving("a"))
    waiter = put(store, **reserving("a"))
    admit(store)
    take_one(store, worker)
    die(store, worker)
    assert admit(store) == (0, 0)
    (orphan,) = store.orphans()
    settle(store, crashed(orphan, ERROR, "killed")._replace(state="retrying", delay=60.0))
    assert admit(store) == (1, 0)
    assert [job.id for job in take(store, rescuer)] == [waiter]


def test_a_rescuer_is_told_what_is_reserved_and_whether_the_death_is_proved(store: Store) -> None:
    worker, other = join(store), join(store, "w2")
    store.set_limits({"c": "2"})
    for options in (reserving("a"), sharing("b"), limited("c"), {}):
        put(store, **options)
    admit(store)
    claimed = {job.id: json.loads(job.holds or "[]") for job in take(store, worker)}
    assert store.condemn(worker, 0)
    assert {orphan.job: orphan.reserves for orphan in store.orphans()} == {
        job: any(mode in ("x", "s") for mode, _ in holds) for job, holds in claimed.items()
    }
    assert {orphan.proved for orphan in store.orphans()} == {False}
    assert store.condemn(worker, 0, proved=True)
    assert {orphan.proved for orphan in store.orphans()} == {True}
    assert store.condemn(worker, 0)
    assert {orphan.proved for orphan in store.orphans()} == {True}
    assert {row.id: row.proved for row in store.workers(dead=True)} == {worker: True, other: False}


# -- many -----------------------------------------------------------------------------------------------------------------
def test_a_thousand_waiters_for_one_name_go_one_by_one_each_at_one_look(store: Store) -> None:
    worker = join(store)
    jobs = [new_job(**reserving("a")) for _ in range(1000)]
    store.enqueue(jobs)
    admit(store)
    for number, expected in enumerate(jobs[:40], 1):
        (job,) = take(store, worker, claim_no=number)
        assert job.id == expected.id
        settle(store, succeeded(job, None))
        answer = store.admit()
        assert (answer.admitted, answer.cancelled, answer.waits) == (1, 0, True)


def test_ten_thousand_share_what_one_in_a_thousand_reserves(store: Store) -> None:
    worker = join(store)
    modes = ["x" if number % 1000 == 999 else "s" for number in range(10_000)]
    jobs = [new_job(holds=((mode, "D"),)) for mode in modes]
    for start in range(0, 10_000, 1000):
        store.enqueue(jobs[start : start + 1000])
    done = []
    for number in range(1, 21):
        admit(store)
        claimed = take(store, worker, 2000, claim_no=number)
        done += [job.id for job in claimed]
        assert len(claimed) == (1 if number % 2 == 0 else 999)
        settle(store, *(succeeded(job, None) for job in claimed))
    assert done == [job.id for job in jobs]


def test_a_long_story_of_many_names_ends_and_never_two_have_what_one_reserves(store: Store) -> None:
    worker = join(store)
    shapes = (reserving("a"), sharing("a", "b"), reserving("b", "c"), sharing("c"), BOTH, reserving("a", "b", "c"))
    jobs = [put(store, **shapes[number % len(shapes)]) for number in range(60)]
    done: list[str] = []
    for number in range(1, 200):
        admit(store)
        claimed = take(store, worker, 4, claim_no=number)
        holds_agree(store)
        if not claimed:
            break
        settle(store, *(succeeded(job, None) for job in claimed))
        done += [job.id for job in claimed]
    assert sorted(done) == sorted(jobs)
