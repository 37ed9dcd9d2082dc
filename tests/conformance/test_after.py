"""after: a job waits for its parents, gives up with them, and comes back with them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable

import pytest

from packhorse._admission import Admitted, Obstacle
from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, failed, succeeded
from packhorse._record import State
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import UnknownParent

from .making import (
    ERROR,
    HOUR,
    SECOND,
    T0,
    admit,
    ended,
    ids,
    join,
    new_job,
    obstacle,
    put,
    reserving,
    running,
    settle,
    state,
    take,
    take_one,
    the,
)

ALL: dict[State, float] = {"succeeded": 0, "failed": 0, "cancelled": 0}
FAILURES: dict[str, tuple[Callable[[Store, str], object], str]] = {
    "failed": (
        lambda store, worker: settle(store, failed(take_one(store, worker), Backoff(0), ERROR, reason="no \u2192 way")),
        "failed: no \u2192 way",
    ),
    "failed without a reason": (
        lambda store, worker: settle(store, failed(take_one(store, worker), Backoff(0), ERROR)),
        "failed",
    ),
    "cancelled itself": (
        lambda store, worker: settle(store, cancelled(take_one(store, worker), "feed not changed")),
        "was cancelled: feed not changed",
    ),
    "cancelled": (
        lambda store, worker: store.cancel(JobFilter(states=("queued",)), reason="wrong"),
        "was cancelled: wrong",
    ),
    "expired": (lambda store, worker: store.expire(), "was cancelled: expired"),
}


def chain(store: Store, length: int, **options: object) -> list[str]:
    """Enqueue jobs each of which waits for the one before."""
    jobs = [new_job(**options)]
    for _ in range(length - 1):
        jobs.append(new_job(after=(jobs[-1].id,), **options))
    return [answer.id for answer in store.enqueue(jobs)]


def fail(store: Store, worker: str) -> None:
    """Claim the one job there is, and let it fail."""
    settle(store, failed(take_one(store, worker), Backoff(0), ERROR, reason="boom"))


def test_a_job_waits_for_all_its_parents(store: Store) -> None:
    worker = join(store)
    first, second = put(store), put(store)
    child = put(store, "letters", after=(second, first))
    assert admit(store) == (0, 0)
    assert obstacle(store, child) == Obstacle("after", second)
    jobs = {job.id: job for job in take(store, worker)}
    assert obstacle(store, child) == Obstacle("after", second)
    settle(store, succeeded(jobs[second], None))
    assert admit(store) == (0, 0)
    assert obstacle(store, child) == Obstacle("after", first)
    settle(store, succeeded(jobs[first], None))
    assert obstacle(store, child) is None
    assert store.admit() == Admitted(1, 0, False, False, None)
    assert state(store, child) == "queued"


def test_a_parent_that_ended_before_is_no_obstacle(store: Store) -> None:
    parent = ended(store).id
    child = put(store, after=(parent,))
    assert state(store, child) == "blocked"
    assert admit(store) == (1, 0)


@pytest.mark.parametrize("named", ["unknown", "itself", "a later one"])
def test_a_parent_must_be_there(store: Store, named: str) -> None:
    known, later = put(store), new_job()
    child = new_job()
    parent = {"unknown": str(uuid.uuid4()), "itself": child.id, "a later one": later.id}[named]
    with pytest.raises(UnknownParent) as raised:
        store.enqueue([new_job(), child._replace(after=(known, parent)), later])
    assert raised.value.job_id == parent
    assert store.queues()[0].counts == {"queued": 1}


def test_the_same_job_again_asks_for_no_parents(store: Store) -> None:
    child = new_job(after=(ended(store).id,))
    store.enqueue([child])
    admit(store)
    store.cancel(ids(child.id))
    store.delete(ids(*child.after))
    assert store.enqueue([child])[0].existing


def test_a_parent_in_another_namespace_is_none(store: Store, open_another: Callable[..., Store]) -> None:
    parent = put(open_another(namespace="elsewhere"))
    with pytest.raises(UnknownParent):
        put(store, after=(parent,))


def test_a_parent_that_is_tried_again_has_not_ended(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    parent, child = chain(store, 2)
    settle(store, failed(take_one(store, worker), Backoff(1, base=5, jitter=False), ERROR))
    assert admit(store) == (0, 0)
    assert obstacle(store, child) == Obstacle("after", parent)
    clock.advance(5)
    store.promote()
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (1, 0)


@pytest.mark.parametrize("how", FAILURES)
def test_a_child_gives_up_with_its_parent(store: Store, clock: SettableClock, how: str) -> None:
    worker = join(store)
    store.enqueue([parent := new_job(task="shop:pay", expires=60.0), child := new_job(after=(parent.id,))])
    clock.advance(60 if how == "expired" else 1)
    act, words = FAILURES[how]
    act(store, worker)
    assert obstacle(store, child.id) is None
    assert store.freed
    assert admit(store) == (0, 1)
    record = the(store, child.id)
    assert (record.state, record.reason) == ("cancelled", f"parent shop:pay {parent.id} {words}")
    assert (record.given_up, record.finished_at, record.place) == (parent.id, store.now(), None)


@pytest.mark.parametrize("how", FAILURES)
def test_or_runs_all_the_same_if_that_was_asked_for(store: Store, clock: SettableClock, how: str) -> None:
    worker = join(store)
    store.enqueue([parent := new_job(expires=60.0), child := new_job(after=(parent.id,), after_failed=True)])
    clock.advance(60 if how == "expired" else 1)
    FAILURES[how][0](store, worker)
    assert admit(store) == (1, 0)
    assert [job.id for job in take(store, worker)] == [child.id]


def test_one_failed_parent_is_enough_and_the_first_named_is_told(store: Store) -> None:
    worker = join(store)
    parents = [put(store) for _ in range(4)]
    child = put(store, after=tuple(reversed(parents)))
    for job in take(store, worker, 3):
        verdict = succeeded(job, None) if job.id == parents[0] else failed(job, Backoff(0), ERROR)
        settle(store, verdict)
    assert admit(store) == (0, 1)
    assert the(store, child).given_up == parents[2]


def test_a_whole_chain_gives_up_step_by_step_and_every_link_says_where_it_began(store: Store) -> None:
    worker = join(store)
    jobs = chain(store, 6)
    fail(store, worker)
    steps = [store.admit() for _ in range(5)]
    assert [(step.admitted, step.cancelled, step.waits) for step in steps] == [(0, 1, True)] * 4 + [(0, 1, False)]
    assert admit(store) == (0, 0)
    for parent, job in itertools.pairwise(jobs):
        record = the(store, job)
        assert (record.given_up, record.reason) == (parent, f"parent tasks:add {jobs[0]} failed: boom")


def test_a_chain_runs_in_order(store: Store) -> None:
    worker = join(store)
    jobs = chain(store, 5)
    done = []
    for number in range(1, 6):
        admit(store)
        job = take_one(store, worker, claim_no=number)
        done.append(job.id)
        settle(store, succeeded(job, None))
    assert done == jobs


def test_a_child_that_must_hold_something_stands_in_line_once_its_parents_are_done(store: Store) -> None:
    worker = join(store)
    holder = put(store, **reserving("a"))
    parent = put(store)
    child = put(store, after=(parent,), **reserving("a"))
    other = put(store, **reserving("a"))
    admit(store)
    assert (the(store, child).place, obstacle(store, child)) == (None, Obstacle("after", parent))
    assert obstacle(store, other) == Obstacle("held", "a", holder, None, 1)
    jobs = {job.id: job for job in take(store, worker)}
    settle(store, succeeded(jobs[parent], None))
    admit(store)
    assert obstacle(store, child) == Obstacle("held", "a", holder, None, 2)


def test_many_children_of_one_parent_follow_in_pieces(store: Store) -> None:
    worker = join(store)
    parent = put(store)
    children = [new_job(after=(parent,)) for _ in range(2500)]
    for start in range(0, 2500, 500):
        store.enqueue(children[start : start + 500])
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store, 1000) == (2500, 0)
    assert [job.id for job in take(store, worker, 3000)] == [child.id for child in children]


# -- requeue ----------------------------------------------------------------------------------------------------------------
def test_a_requeued_parent_brings_back_all_that_gave_up_with_it(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    jobs = chain(store, 4, priority=3)
    fail(store, worker)
    admit(store)
    clock.advance(10)
    assert store.requeue(ids(jobs[0])).done == (jobs[0],)
    assert [state(store, job) for job in jobs] == ["queued", "blocked", "blocked", "blocked"]
    for job in jobs[1:]:
        record = the(store, job)
        assert (record.given_up, record.reason, record.finished_at, record.generation) == (None, None, None, 1)
        assert record.rank == the(store, jobs[0]).rank
    for number in range(1, 5):
        admit(store)
        settle(store, succeeded(take_one(store, worker, claim_no=number), None))
    assert {state(store, job) for job in jobs} == {"succeeded"}


def test_what_was_cancelled_otherwise_is_not_brought_back(store: Store) -> None:
    worker = join(store)
    jobs = chain(store, 3)
    store.cancel(ids(jobs[1]))
    fail(store, worker)
    assert admit(store) == (0, 1)
    store.requeue(ids(jobs[0]))
    assert [state(store, job) for job in jobs] == ["queued", "cancelled", "cancelled"]
    assert the(store, jobs[2]).given_up == jobs[1]


def test_a_requeue_of_all_of_them_counts_once(store: Store) -> None:
    worker = join(store)
    jobs = chain(store, 3)
    fail(store, worker)
    admit(store)
    assert set(store.requeue(ids(*jobs), delay=5.0).done) == set(jobs)
    assert [(job.state, job.generation) for job in store.get(jobs)] == [("scheduled", 1)] * 3


def test_a_dry_requeue_brings_nothing_back(store: Store) -> None:
    worker = join(store)
    jobs = chain(store, 2)
    fail(store, worker)
    admit(store)
    assert store.requeue(ids(jobs[0]), dry=True).done == (jobs[0],)
    assert [state(store, job) for job in jobs] == ["failed", "cancelled"]


def test_a_delayed_requeue_lets_the_children_wait(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    parent, child = chain(store, 2)
    fail(store, worker)
    admit(store)
    store.requeue(ids(parent), delay=60.0)
    assert [state(store, job) for job in (parent, child)] == ["scheduled", "blocked"]
    assert admit(store) == (0, 0)
    assert obstacle(store, child) == Obstacle("after", parent)


def test_a_child_whose_key_another_has_by_now_stays_away(store: Store) -> None:
    worker = join(store)
    parent = put(store)
    child = put(store, after=(parent,), unique="k")
    grandchild = put(store, after=(child,))
    fail(store, worker)
    admit(store)
    other = put(store, "letters", unique="k")
    store.requeue(ids(parent))
    assert [state(store, job) for job in (parent, child, grandchild)] == ["queued", "cancelled", "cancelled"]
    assert (the(store, other).unique_held, the(store, child).unique_held) == (True, False)


def test_a_requeued_child_of_a_failed_parent_gives_up_again(store: Store) -> None:
    worker = join(store)
    _, child = chain(store, 2)
    fail(store, worker)
    admit(store)
    assert store.requeue(ids(child)).done == (child,)
    assert state(store, child) == "blocked"
    assert admit(store) == (0, 1)


def test_a_parent_that_was_deleted_is_no_obstacle_any_more(store: Store) -> None:
    worker = join(store)
    parent, child = chain(store, 2)
    fail(store, worker)
    admit(store)
    store.delete(ids(parent))
    store.requeue(ids(child))
    assert admit(store) == (1, 0)


# -- what is waited for stays -----------------------------------------------------------------------------------------------
def test_a_parent_is_not_deleted_while_its_child_has_not_ended(store: Store) -> None:
    parent, child = chain(store, 2)
    plain = put(store)
    for dry in (True, False):
        changed = store.delete(ids(parent, plain), dry=dry)
        assert (changed.done, changed.refused) == ((plain,), (parent,))
    assert store.delete(ids(parent, child)).done == (child,)
    assert store.delete(ids(parent)).done == (parent,)


@pytest.mark.usefixtures("url")  # prune goes through the tables
def test_a_running_child_keeps_its_parent_and_the_result_of_it(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    parent = running(store, worker, queue="mail")
    child = put(store, after=(parent.id,))
    settle(store, succeeded(parent, "3", keep=60.0))
    other = ended(store, worker=worker, queue="mail")
    admit(store)
    job = take_one(store, worker, claim_no=9)
    assert job.id == child
    clock.advance(2 * HOUR / SECOND)
    assert store.prune(ALL) == 1
    assert store.get([other.id]) == []
    assert the(store, parent.id).result == "3"
    settle(store, succeeded(job, None))
    assert store.prune({}) == 0
    assert the(store, parent.id).result is None
    clock.advance(2 * HOUR / SECOND)
    assert store.prune(ALL) == 2
    assert store.now() == T0 + 4 * HOUR
