"""admit, obstacles: what has waiting rules waits until nothing is in its way, and not longer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packhorse._admission import Admitted, Obstacle
from packhorse._backoff import Backoff
from packhorse._outcome import crashed, failed, parked, released, snoozed, succeeded
from packhorse._record import Claimed, Verdict
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .conftest import Open
from .making import (
    ERROR,
    SECOND,
    T0,
    admit,
    beat,
    die,
    ended,
    ids,
    join,
    new_job,
    obstacle,
    put,
    reserving,
    settle,
    sharing,
    state,
    take,
    take_one,
    the,
)


def test_a_job_with_rules_waits_for_admit_and_for_nothing_else(store: Store) -> None:
    worker = join(store)
    first = put(store)
    answers = store.enqueue([new_job(**reserving("a")), new_job(after=(first,)), new_job(after_flow="f"), new_job()])
    assert [answer.state for answer in answers] == ["blocked", "blocked", "blocked", "queued"]
    assert {job.id for job in take(store, worker)} == {first, answers[3].id}
    assert store.admit() == Admitted(2, 0, False, True, None)
    assert [state(store, answer.id) for answer in answers[:3]] == ["queued", "blocked", "queued"]
    assert [job.id for job in take(store, worker, claim_no=2)] == [answers[0].id, answers[2].id]


def test_what_was_given_can_be_read_again(store: Store) -> None:
    parent = put(store)
    holds = (("l", "a"), ("s", "\u00e9\u2192b"), ("x", "c"))
    job = the(store, put(store, holds=holds, after=(parent,), after_flow="f", after_failed=True, flow="g"))
    assert job.holds == '[["l", "a"], ["s", "\\u00e9\\u2192b"], ["x", "c"]]'
    assert (job.after, job.after_flow, job.after_failed, job.flow) == (f'["{parent}"]', "f", True, "g")
    assert (job.place, job.parked, job.given_up, job.line, job.waits) == (None, False, None, "mail", True)
    plain = the(store, parent)
    assert (plain.holds, plain.after, plain.after_flow, plain.after_failed, plain.flow) == (
        None,
        None,
        None,
        False,
        None,
    )


def test_a_claimed_job_brings_its_holds_and_its_flow(store: Store) -> None:
    worker = join(store)
    put(store, **sharing("a"), flow="f")
    admit(store)
    job = take_one(store, worker)
    assert (job.holds, job.flow) == ('[["s", "a"]]', "f")


def test_nothing_to_admit(store: Store) -> None:
    join(store)
    put(store)
    assert store.admit() == Admitted(0, 0, False, False, None)


def test_jobs_are_let_go_as_they_came_at_most_so_many_a_call(store: Store) -> None:
    join(store)
    jobs = [put(store, **reserving(str(number))) for number in range(7)]
    answer = store.admit(3)
    assert (answer.admitted, answer.more, answer.waits) == (3, True, True)
    assert [state(store, job) for job in jobs] == ["queued"] * 3 + ["blocked"] * 4
    assert admit(store, 3) == (4, 0)
    assert [the(store, job).place for job in jobs] == sorted(the(store, job).place or 0 for job in jobs)


def test_a_delayed_job_waits_first_for_its_time(store: Store, clock: SettableClock) -> None:
    join(store)
    job = put(store, delay=5, **reserving("a"))
    assert (state(store, job), admit(store), obstacle(store, job)) == ("scheduled", (0, 0), None)
    clock.advance(5)
    assert store.promote() == (1, None)
    assert (state(store, job), the(store, job).due_at) == ("blocked", None)
    assert admit(store) == (1, 0)
    assert (state(store, job), the(store, job).rank) == ("queued", T0 + 5 * SECOND)


def test_priority_decides_among_those_let_go(store: Store) -> None:
    worker = join(store)
    low, high = put(store, **sharing("a")), put(store, priority=5, **sharing("a"))
    admit(store)
    assert [job.id for job in take(store, worker)] == [high, low]


# -- queues ---------------------------------------------------------------------------------------------------------------
def test_no_worker_no_admission(store: Store) -> None:
    elsewhere, stopping = join(store, "elsewhere", queues='[["letters"]]'), join(store, "stopping", queues='[["mail"]]')
    store.stopping(stopping)
    dead = join(store, "dead")
    die(store, dead)
    job = put(store, **reserving("a"))
    assert admit(store) == (0, 0)
    assert obstacle(store, job) == Obstacle("unserved", "mail")
    assert the(store, job).place is None
    served = join(store, "served", queues='[["letters"], ["x", "mail"]]')
    assert obstacle(store, job) is None
    assert admit(store) == (1, 0)
    assert {elsewhere, served} < {row.id for row in store.workers()}


def test_a_pause_keeps_a_job_waiting_and_takes_nothing_back(store: Store) -> None:
    worker = join(store)
    let_go, waits = put(store, **reserving("a")), put(store, "letters", **reserving("b"))
    store.pause("letters")
    assert admit(store) == (1, 0)
    assert obstacle(store, waits) == Obstacle("paused", "letters")
    store.pause("mail")
    later = put(store, "parcels", **reserving("a"))
    assert admit(store) == (0, 0)
    assert obstacle(store, later) == Obstacle("held", "a", let_go, None, 1)
    store.resume("letters")
    assert admit(store) == (1, 0)
    assert [job.id for job in take(store, worker)] == [waits]


def test_who_waits_in_a_paused_queue_holds_up_nobody_and_keeps_the_place(store: Store) -> None:
    worker = join(store)
    holder = put(store, **reserving("a"))
    first, second = put(store, "letters", **reserving("a")), put(store, "parcels", **reserving("a"))
    third = put(store, "parcels", **reserving("a"))
    admit(store)
    place = the(store, first).place
    store.pause("letters")
    assert obstacle(store, third) == Obstacle("held", "a", holder, None, 2)
    (job,) = take(store, worker)
    settle(store, succeeded(job, None))
    assert admit(store) == (1, 0)
    assert state(store, second) == "queued"
    store.resume("letters")
    assert admit(store) == (0, 0)
    assert obstacle(store, third) == Obstacle("held", "a", second, None, 2)
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (1, 0)
    assert (state(store, first), the(store, first).place) == ("queued", place)


def test_a_pause_lets_those_behind_pass_at_once(store: Store) -> None:
    join(store)
    put(store, **sharing("a"))
    first, second = put(store, "letters", **reserving("a")), put(store, **sharing("a"))
    admit(store)
    assert obstacle(store, second) == Obstacle("held", "a", first, None, 2)
    store.pause("letters")
    assert store.freed
    assert admit(store) == (1, 0)
    assert state(store, second) == "queued"


@pytest.mark.parametrize("way", ["stopping", "leave", "condemn"])
def test_so_does_the_last_worker_of_a_queue_when_it_goes(store: Store, way: str) -> None:
    join(store, queues='[["mail"]]')
    going = join(store, "going", queues='[["letters"]]')
    put(store, **sharing("a"))
    put(store, "letters", **reserving("a"))
    put(store, **sharing("a"))
    assert admit(store) == (1, 0)
    die(store, going) if way == "condemn" else getattr(store, way)(going)
    assert store.freed
    assert admit(store) == (1, 0)


# -- back to waiting ----------------------------------------------------------------------------------------------------
BACK: dict[str, Callable[[Claimed], Verdict]] = {
    "retried": lambda job: failed(job, Backoff(3, base=5, jitter=False), ERROR),
    "snoozed": lambda job: snoozed(job, 5),
}


@pytest.mark.parametrize("how", BACK)
def test_one_that_comes_back_waits_again_in_its_old_place(store: Store, clock: SettableClock, how: str) -> None:
    worker = join(store)
    first = put(store, **reserving("a"))
    admit(store)
    place = the(store, first).place
    settle(store, BACK[how](take_one(store, worker)))
    second, third = put(store, **reserving("a")), put(store, **reserving("a"))
    assert admit(store) == (1, 0)
    clock.advance(6)
    store.promote()
    assert state(store, first) == "blocked"
    assert admit(store) == (0, 0)
    assert obstacle(store, first) == Obstacle("held", "a", second, None, 1)
    assert obstacle(store, third) == Obstacle("held", "a", second, None, 2)
    settle(store, succeeded(take_one(store, worker), None))
    admit(store)
    assert (state(store, first), the(store, first).place, state(store, third)) == ("queued", place, "blocked")


def test_one_of_an_unknown_task_waits_again_once_a_worker_knows_it(store: Store) -> None:
    worker = join(store)
    first = put(store, task="m:f", **reserving("a"))
    admit(store)
    place = the(store, first).place
    settle(store, parked(take_one(store, worker), "mail"))
    second = put(store, **reserving("a"))
    assert the(store, first).parked
    assert not the(store, first).waits
    assert (obstacle(store, first), admit(store)) == (None, (1, 0))
    assert store.resolve(["mail#m:f"]) == 1
    record = the(store, first)
    assert (record.state, record.parked, record.line, record.reason) == ("blocked", False, "mail#m:f", None)
    assert store.resolve(["mail#m:f"]) == 0
    assert beat(store, worker).lines == ["mail#m:f"]
    assert obstacle(store, first) == Obstacle("held", "a", second, None, 1)
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (1, 0)
    assert (the(store, first).line, the(store, first).place) == ("mail#m:f", place)
    assert take(store, worker) == []
    assert [job.id for job in take(store, worker, lines=["mail#m:f"])] == [first]


def test_a_plain_job_of_an_unknown_task_is_parked_until_then(store: Store) -> None:
    worker = join(store)
    job = put(store, task="m:f")
    settle(store, parked(take_one(store, worker), "mail"))
    assert the(store, job).parked
    store.resolve(["mail#m:f"])
    assert (state(store, job), the(store, job).parked) == ("queued", False)


def test_a_requeued_job_waits_at_the_end(store: Store) -> None:
    worker = join(store)
    first = put(store, **reserving("a"))
    admit(store)
    settle(store, succeeded(take_one(store, worker), None))
    second = put(store, **reserving("a"))
    admit(store)
    place = the(store, first).place
    assert store.requeue(ids(first)).done == (first,)
    assert (state(store, first), the(store, first).place) == ("blocked", None)
    assert admit(store) == (0, 0)
    assert (the(store, first).place or 0) > (the(store, second).place or 0) > (place or 0)


def test_a_requeue_of_one_that_waits_for_its_time_keeps_the_place(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    job = put(store, **reserving("a"))
    admit(store)
    place = the(store, job).place
    settle(store, BACK["retried"](take_one(store, worker)))
    assert store.requeue(ids(job)).done == (job,)
    assert (state(store, job), the(store, job).place) == ("blocked", place)
    assert store.requeue(ids(job)).refused == (job,)
    assert admit(store) == (1, 0)


# -- what a handle knows, and moving -------------------------------------------------------------------------------------
def test_a_handle_says_whether_it_freed_something(store: Store, other: Store) -> None:
    worker = join(store)
    admit(store)
    plain = put(store)
    settle(store, succeeded(take_one(store, worker), None))
    store.cancel(ids(plain))
    store.delete(ids(plain))
    assert not store.freed
    put(store, **reserving("a"))
    assert (store.freed, other.freed) == (True, False)
    admit(other)
    assert (store.freed, other.freed) == (True, False)
    admit(store)
    assert not store.freed
    job = take_one(store, worker)
    settle(other, succeeded(job, None))
    assert (store.freed, other.freed) == (False, True)


def test_the_end_of_a_parent_frees_and_so_does_that_of_a_member(store: Store) -> None:
    worker = join(store)
    store.enqueue([parent := new_job(), new_job(after=(parent.id,))])
    admit(store)
    settle(store, succeeded(take_one(store, worker), None))
    assert store.freed
    admit(store)
    take(store, worker, claim_no=2)
    store.enqueue([new_job(flow="f"), new_job(after_flow="f")])
    admit(store)
    settle(store, succeeded(take_one(store, worker, claim_no=3), None))
    assert store.freed


def test_a_closed_namespace_rests(store: Store) -> None:
    join(store)
    job = put(store, **reserving("a"))
    store.freeze("redis://elsewhere")
    assert store.admit() == Admitted(0, 0, False, False, None)
    store.thaw()
    assert admit(store) == (1, 0)
    assert state(store, job) == "queued"


def test_what_waits_elsewhere_keeps_its_place_and_what_is_held_is_held(store: Store, open_another: Open) -> None:
    worker = join(store)
    jobs = [put(store, **reserving("a")) for _ in range(3)]
    admit(store)
    settle(store, released(take_one(store, worker), "moving"))
    there = open_another(namespace="there")
    there.import_jobs(store.export(0))
    join(there)
    assert [the(there, job)._replace(seq=0) for job in jobs] == [the(store, job)._replace(seq=0) for job in jobs]
    late = put(there, **reserving("a"))
    assert admit(there) == (0, 0)
    assert there.obstacles([*jobs, late]) == [
        None,
        Obstacle("held", "a", jobs[0], None, 1),
        Obstacle("held", "a", jobs[0], None, 2),
        Obstacle("held", "a", jobs[0], None, 3),
    ]


def test_obstacles_are_told_for_waiting_jobs_alone(store: Store) -> None:
    join(store)
    queued, final = put(store), ended(store).id
    assert store.obstacles([queued, "unknown", final]) == [None, None, None]
    assert store.obstacles([]) == []


def test_a_crash_does_not_let_go(store: Store) -> None:
    worker = join(store)
    first, second = put(store, **reserving("a")), put(store, **reserving("a"))
    admit(store)
    settle(store, crashed(take_one(store, worker), ERROR, "SIGSEGV"))
    assert (state(store, first), admit(store)) == ("queued", (0, 0))
    assert obstacle(store, second) == Obstacle("held", "a", first, None, 1)
