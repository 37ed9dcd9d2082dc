"""Flows: sets of jobs that are counted, waited for, and acted upon as one."""

from __future__ import annotations

import pytest

from packhorse._admission import FlowRecord, Obstacle
from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, failed, released, succeeded
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock

from .conftest import Open
from .making import (
    ERROR,
    HOUR,
    SECOND,
    T0,
    admit,
    ids,
    join,
    new_job,
    obstacle,
    put,
    settle,
    state,
    take,
    take_one,
    the,
)


def a_flow(store: Store, members: int, name: str = "f", **options: object) -> tuple[list[str], str]:
    """Enqueue members, and one of them that waits for all others."""
    jobs = [new_job(flow=name) for _ in range(members)]
    last = new_job("last", flow=name, after_flow=name, **options)
    answers = store.enqueue([*jobs, last])
    return [answer.id for answer in answers[:-1]], answers[-1].id


def test_one_waits_until_all_others_have_ended(store: Store) -> None:
    worker = join(store)
    _, last = a_flow(store, 3)
    for left in (3, 2, 1):
        assert admit(store) == (0, 0)
        assert obstacle(store, last) == Obstacle("flow", "f", place=left)
        settle(store, succeeded(take_one(store, worker, claim_no=4 - left), None))
    assert store.freed
    assert admit(store) == (1, 0)
    assert [job.id for job in take(store, worker)] == [last]


def test_members_that_join_later_are_waited_for_however_deep(store: Store) -> None:
    worker = join(store)
    _, last = a_flow(store, 1)
    for number in range(1, 5):
        job = take_one(store, worker, claim_no=number)
        put(store, flow="f", parent=job.id)
        settle(store, succeeded(job, None))
        assert admit(store) == (0, 0)
    settle(store, succeeded(take_one(store, worker, claim_no=9), None))
    assert admit(store) == (1, 0)
    assert state(store, last) == "queued"


def test_those_that_wait_for_the_same_flow_do_not_wait_for_each_other(store: Store) -> None:
    worker = join(store)
    _, first = a_flow(store, 1)
    second = put(store, flow="f", after_flow="f")
    outside = put(store, after_flow="f")
    assert store.obstacles([first, second, outside]) == [Obstacle("flow", "f", place=1)] * 3
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (3, 0)


def test_a_flow_without_members_is_not_waited_for(store: Store) -> None:
    join(store)
    job = put(store, after_flow="nobody")
    assert admit(store) == (1, 0)
    assert state(store, job) == "queued"


def test_a_member_that_waits_for_another_flow_counts(store: Store) -> None:
    worker = join(store)
    put(store, flow="one")
    middle = put(store, "middle", flow="two", after_flow="one")
    last = put(store, "last", after_flow="two")
    assert store.obstacles([middle, last]) == [Obstacle("flow", "one", place=1), Obstacle("flow", "two", place=1)]
    for expected in ("mail", "middle", "last"):
        admit(store)
        job = take_one(store, worker)
        assert job.queue == expected
        settle(store, succeeded(job, None))


def test_a_failed_member_is_judged_when_all_have_ended(store: Store) -> None:
    worker = join(store)
    members, last = a_flow(store, 3)
    _, regardless = a_flow(store, 0, after_failed=True)
    claimed = {job.id: job for job in take(store, worker)}
    settle(store, cancelled(claimed[members[2]], "feed not changed"))
    settle(store, failed(claimed[members[1]], Backoff(0), ERROR, reason="boom"))
    assert admit(store) == (0, 0)
    assert obstacle(store, last) == Obstacle("flow", "f", place=1)
    settle(store, succeeded(claimed[members[0]], None))
    assert admit(store) == (1, 1)
    record = the(store, last)
    assert (record.state, record.given_up) == ("cancelled", members[1])
    assert record.reason == f"parent tasks:add {members[1]} failed: boom"
    assert state(store, regardless) == "queued"


def test_a_requeued_member_brings_back_what_waited_for_it(store: Store) -> None:
    worker = join(store)
    members, last = a_flow(store, 2)
    settle(store, *(failed(job, Backoff(0), ERROR) for job in take(store, worker)))
    assert admit(store) == (0, 1)
    store.requeue(JobFilter(flow="f", states=("failed",)))
    assert [state(store, job) for job in (*members, last)] == ["queued", "queued", "blocked"]
    settle(store, *(succeeded(job, None) for job in take(store, worker)))
    assert admit(store) == (1, 0)


def test_every_way_in_which_a_member_goes_counts(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    put(store, flow="f", expires=5.0)
    gone, waits = put(store, flow="f", delay=60.0), put(store, flow="f")
    last = put(store, "last", after_flow="f", after_failed=True)
    assert obstacle(store, last) == Obstacle("flow", "f", place=3)
    clock.advance(5)
    store.expire()
    assert obstacle(store, last) == Obstacle("flow", "f", place=2)
    store.delete(ids(gone))
    assert obstacle(store, last) == Obstacle("flow", "f", place=1)
    job = take_one(store, worker, queues=["mail"])
    settle(store, released(job))
    assert obstacle(store, last) == Obstacle("flow", "f", place=1)
    store.cancel(ids(waits))
    assert admit(store) == (1, 0)


def test_a_last_member_that_is_deleted_frees_what_waits(store: Store) -> None:
    join(store)
    member = put(store, flow="f")
    last = put(store, after_flow="f")
    admit(store)
    store.delete(ids(member))
    assert store.freed
    assert admit(store) == (1, 0)
    assert state(store, last) == "queued"


def test_a_member_of_a_replaced_key_ends(store: Store) -> None:
    join(store)
    put(store, flow="f", unique="k")
    last = put(store, after_flow="f", after_failed=True)
    admit(store)
    store.enqueue([new_job(unique="k", on_conflict="replace")])
    assert admit(store) == (1, 0)
    assert state(store, last) == "queued"


@pytest.mark.usefixtures("url")  # prune goes through the tables
def test_members_stay_while_one_waits_for_their_flow(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    members, last = a_flow(store, 2)
    settle(store, *(succeeded(job, "1", keep=1.0) for job in take(store, worker)))
    clock.advance(2 * HOUR / SECOND)
    assert store.prune({"succeeded": 0}) == 0
    assert [job.result for job in store.get(members)] == ["1", "1"]
    admit(store)
    settle(store, succeeded(take_one(store, worker), None))
    assert store.prune({"succeeded": 0}) == 2
    assert [job.id for job in store.find(JobFilter(flow="f")).jobs] == [last]


# -- as one -----------------------------------------------------------------------------------------------------------------
def test_a_flow_is_found_cancelled_requeued_and_deleted_as_one(store: Store) -> None:
    join(store)
    members, last = a_flow(store, 2)
    other = put(store, flow="g")
    flow = JobFilter(flow="f")
    assert [job.id for job in store.find(flow).jobs] == [last, *reversed(members)]
    assert [job.id for job in store.find(JobFilter(flow="f", states=("queued",)), 1).jobs] == [members[1]]
    assert store.find(JobFilter(flow="unknown")).jobs == []
    assert set(store.cancel(flow, dry=True).done) == {*members, last}
    assert set(store.cancel(flow).done) == {*members, last}
    assert set(store.requeue(flow).done) == {*members, last}
    assert admit(store) == (0, 0)
    store.cancel(flow)
    assert set(store.delete(flow).done) == {*members, last}
    assert [record.id for record in store.flows()] == ["g"]
    assert state(store, other) == "queued"


def test_flows_are_counted(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    assert store.flows() == []
    members, last = a_flow(store, 3)
    put(store)
    assert store.flows() == [FlowRecord("f", {"queued": 3, "blocked": 1}, T0, None)]
    clock.advance(10)
    put(store, "later", flow="f", delay=60.0)
    claimed = take(store, worker, 2, ["mail"])
    settle(store, succeeded(claimed[0], None))
    (record,) = store.flows(["f", "unknown"])
    assert {kind: count for kind, count in record.counts.items() if count} == {
        "succeeded": 1,
        "running": 1,
        "queued": 1,
        "blocked": 1,
        "scheduled": 1,
    }
    assert (record.created_at, record.finished_at) == (T0, None)
    settle(store, succeeded(claimed[1], None)._replace(ended=2.0))
    store.cancel(JobFilter(flow="f"))
    (record,) = store.flows()
    assert {kind: count for kind, count in record.counts.items() if count} == {"succeeded": 2, "cancelled": 3}
    assert (record.created_at, record.finished_at) == (T0, T0 + 10 * SECOND)
    clock.advance(10)
    store.requeue(ids(last))
    assert store.flows()[0].finished_at is None
    store.cancel(ids(last))
    assert store.flows()[0].finished_at == T0 + 20 * SECOND
    store.delete(ids(members[0], members[1]))
    assert store.flows()[0].created_at == T0


def test_a_flow_is_there_as_long_as_one_of_its_members(store: Store, clock: SettableClock) -> None:
    first = put(store, flow="f")
    clock.advance(10)
    second = put(store, flow="f")
    store.delete(ids(first))
    assert store.flows()[0].created_at == T0
    store.delete(ids(second))
    assert store.flows() == []
    put(store, flow="f")
    assert store.flows()[0].created_at == T0 + 10 * SECOND


def test_flows_are_listed_newest_first_in_pages(store: Store, clock: SettableClock) -> None:
    for name in ("b", "a", "d", "c"):
        put(store, flow=name)
        clock.advance(1 if name == "a" else 0)
    assert [record.id for record in store.flows()] == ["d", "c", "b", "a"]
    assert [record.id for record in store.flows(limit=2)] == ["d", "c"]
    assert [record.id for record in store.flows(limit=2, after="c")] == ["b", "a"]
    assert [record.id for record in store.flows(["a", "c"], after="d")] == ["c", "a"]
    assert store.flows(after="a") == store.flows(after="unknown") == store.flows([]) == []


def test_flows_of_other_namespaces_are_others(store: Store, open_another: Open) -> None:
    elsewhere = open_another(namespace="elsewhere")
    put(elsewhere, flow="f")
    join(store)
    job = put(store, after_flow="f")
    assert store.flows() == []
    assert admit(store) == (1, 0)
    assert state(store, job) == "queued"


def test_a_flow_goes_along_to_another_store(store: Store, open_another: Open, clock: SettableClock) -> None:
    _, last = a_flow(store, 2)
    clock.advance(5)
    there = open_another(namespace="there")
    there.import_jobs(store.export(0))
    worker = join(there)
    assert there.flows() == store.flows()
    settle(there, *(succeeded(job, None) for job in take(there, worker)))
    assert admit(there) == (1, 0)
    assert state(there, last) == "queued"


def test_a_flow_of_many_is_waited_for_by_one(store: Store) -> None:
    worker = join(store)
    for _ in range(3):
        store.enqueue([new_job(flow="f") for _ in range(1000)])
    last = put(store, "last", after_flow="f")
    for number in range(1, 4):
        assert admit(store) == (0, 0)
        assert obstacle(store, last) == Obstacle("flow", "f", place=4000 - 1000 * number)
        settle(store, *(succeeded(job, None) for job in take(store, worker, 1000, claim_no=number)))
    assert admit(store) == (1, 0)
    assert {kind: count for kind, count in store.flows()[0].counts.items() if count} == {"succeeded": 3000}
