"""Unique keys of the scope "flow": held until the flow of their job is over, whatever becomes of the job itself."""

from __future__ import annotations

import threading

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, failed, succeeded
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import UniqueConflict

from .conftest import Open
from .making import (
    ERROR,
    HOUR,
    SECOND,
    admit,
    ids,
    join,
    new_job,
    put,
    reserving,
    run_all,
    settle,
    state,
    take,
    take_one,
    the,
)
from .test_races import race

KEY = "//schedule:1"
HOLDER = {"unique": KEY, "unique_until": "flow"}


def owner(store: Store) -> str | None:
    """Return the job that has the key; None: nobody."""
    try:
        (answer,) = store.enqueue([new_job("probe", unique=KEY, on_conflict="raise")])
    except UniqueConflict as error:
        return error.job_id
    store.cancel(ids(answer.id))
    store.delete(ids(answer.id))
    return None


def begin(store: Store, worker: str, *, flow: str | None = "f") -> tuple[str, str]:
    """Run a job that enqueues a member of its flow; return both, the first ended, the second queued."""
    first = put(store, flow=flow, **HOLDER)
    claimed = take_one(store, worker)
    member = put(store, flow=flow)
    settle(store, succeeded(claimed, None))
    return first, member


def test_what_is_stored(store: Store) -> None:
    job = the(store, put(store, flow="f", **HOLDER))
    assert (job.unique_key, job.unique_until, job.unique_held, job.unique_end) == (KEY, "flow", True, None)


def test_it_is_held_until_the_last_member_has_ended(store: Store) -> None:
    worker = join(store)
    first, second = begin(store, worker)
    assert owner(store) == first
    claimed = take_one(store, worker)
    third = put(store, flow="f", **reserving("a"))
    settle(store, failed(claimed, Backoff(0), ERROR))
    assert [state(store, job) for job in (first, second, third)] == ["succeeded", "failed", "blocked"]
    assert owner(store) == first
    assert run_all(store, worker) == [third]
    assert owner(store) is None


@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled", "cancelled while it waits", "expired"])
def test_each_end_of_a_job_alone_in_its_flow_frees_the_key(store: Store, clock: SettableClock, how: str) -> None:
    worker = join(store)
    job = put(store, flow="f", expires=60.0, **HOLDER)
    put(store, flow="g", delay=3600.0)
    assert owner(store) == job
    if how == "cancelled while it waits":
        store.cancel(ids(job))
    elif how == "expired":
        clock.advance(60)
        store.expire()
    else:
        claimed = take_one(store, worker)
        verdicts = {
            "succeeded": succeeded(claimed, None),
            "failed": failed(claimed, Backoff(0), ERROR),
            "cancelled": cancelled(claimed, "enough"),
        }
        settle(store, verdicts[how])
    assert owner(store) is None


@pytest.mark.parametrize("how", ["cancel", "delete", "expire"])
def test_the_last_member_may_go_in_any_way(store: Store, clock: SettableClock, how: str) -> None:
    worker = join(store)
    first = put(store, flow="f", **HOLDER)
    claimed = take_one(store, worker)
    member = put(store, flow="f", expires=60.0, delay=30.0)
    settle(store, succeeded(claimed, None))
    assert owner(store) == first
    clock.advance(60)
    {"cancel": lambda: store.cancel(ids(member)), "delete": lambda: store.delete(ids(member)), "expire": store.expire}[
        how
    ]()
    assert owner(store) is None


def test_without_a_flow_it_is_held_until_the_end(store: Store) -> None:
    worker = join(store)
    job = put(store, **HOLDER)
    claimed = take_one(store, worker)
    put(store)
    assert owner(store) == job
    settle(store, succeeded(claimed, None))
    assert owner(store) is None


def test_the_claim_and_a_retry_do_not_free_it(store: Store) -> None:
    worker = join(store)
    job = put(store, flow="f", **HOLDER)
    settle(store, failed(take_one(store, worker), Backoff(2), ERROR))
    assert (state(store, job), owner(store)) == ("retrying", job)


def test_who_waits_for_the_flow_is_a_part_of_it(store: Store) -> None:
    worker = join(store)
    first = put(store, flow="f", **HOLDER)
    last = put(store, flow="f", after_flow="f")
    settle(store, succeeded(take_one(store, worker), None))
    assert owner(store) == first
    assert run_all(store, worker) == [last]
    assert owner(store) is None


def test_the_next_one_takes_it_from_the_last(store: Store) -> None:
    worker = join(store)
    first, _ = begin(store, worker)
    assert run_all(store, worker)
    assert the(store, first).unique_held
    second = put(store, flow="g", **HOLDER)
    assert second != first
    assert [the(store, job).unique_held for job in (first, second)] == [False, True]
    # A flow that goes on after its end gets nothing back.
    put(store, flow="f")
    assert owner(store) == second


def test_replace_does_not_undo_a_flow_under_way(store: Store) -> None:
    worker = join(store)
    first, _ = begin(store, worker)
    (answer,) = store.enqueue([new_job(flow="g", on_conflict="replace", **HOLDER)])
    assert (answer.id, answer.state, answer.existing) == (first, "succeeded", True)


def test_replace_takes_it_from_one_that_waits(store: Store) -> None:
    first = put(store, flow="f", **HOLDER)
    new = new_job(flow="g", on_conflict="replace", **HOLDER)
    assert store.enqueue([new])[0].id == new.id
    assert (state(store, first), the(store, first).unique_held, owner(store)) == ("cancelled", False, new.id)


def test_within_one_call(store: Store) -> None:
    worker = join(store)
    begin(store, worker)
    run_all(store, worker)
    first, second = new_job(flow="g", **HOLDER), new_job(flow="h", **HOLDER)
    answers = store.enqueue([first, second])
    assert [(answer.id, answer.existing) for answer in answers] == [(first.id, False), (first.id, True)]


# -- requeue ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("over", [False, True])
def test_the_holder_may_be_requeued(store: Store, over: bool) -> None:
    worker = join(store)
    first, member = begin(store, worker)
    if over:
        assert run_all(store, worker) == [member]
    for dry in (True, False):
        assert store.requeue(ids(first), dry=dry).done == (first,)
    assert (state(store, first), owner(store)) == ("queued", first)


def test_a_requeue_is_refused_while_another_flow_is_under_way(store: Store) -> None:
    worker = join(store)
    first, member = begin(store, worker)
    assert run_all(store, worker) == [member]
    second = put(store, flow="g", **HOLDER)
    claimed = take_one(store, worker)
    last = put(store, flow="g")
    settle(store, succeeded(claimed, None))
    for dry in (True, False):
        changed = store.requeue(ids(first), dry=dry)
        assert (changed.done, changed.refused) == ((), (first,))
    # Of both, the one that has it goes.
    changed = store.requeue(ids(first, second), dry=True)
    assert (changed.done, changed.refused) == ((second,), (first,))
    assert run_all(store, worker) == [last]
    assert store.requeue(ids(first)).done == (first,)
    assert [the(store, job).unique_held for job in (first, second)] == [True, False]
    assert owner(store) == first


def test_a_requeued_member_goes_on_with_the_flow(store: Store) -> None:
    worker = join(store)
    first, member = begin(store, worker)
    assert run_all(store, worker) == [member]
    store.requeue(ids(member))
    assert owner(store) == first


# -- prune, and another store -----------------------------------------------------------------------------------------
@pytest.mark.usefixtures("url")  # prune goes through the tables
def test_the_holder_is_not_pruned_before_its_flow_is_over(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    first, member = begin(store, worker)
    clock.advance(2 * HOUR / SECOND)
    assert store.prune({"succeeded": 0}) == 0
    assert run_all(store, worker) == [member]
    assert store.prune({"succeeded": 0}) == 1
    assert store.get([first]) == []
    assert owner(store) is None


def test_it_moves(store: Store, open_another: Open) -> None:
    worker = join(store)
    first, member = begin(store, worker)
    there = open_another(namespace="there")
    there.import_jobs(store.export(0))
    assert (owner(there), the(there, first).unique_until) == (first, "flow")
    there.cancel(ids(member))
    assert owner(there) is None


def test_a_schedule_fires_once_the_flow_is_over(store: Store) -> None:
    worker = join(store)
    first, member = begin(store, worker)
    (answer,) = store.enqueue([new_job(flow="g", **HOLDER)])
    assert (answer.id, answer.existing) == (first, True)
    assert run_all(store, worker) == [member]
    (answer,) = store.enqueue([new_job(flow="g", **HOLDER)])
    assert not answer.existing
    assert admit(store) == (0, 0)


# -- races ------------------------------------------------------------------------------------------------------------
def test_one_of_many_takes_the_key_while_the_last_member_ends(store: Store, open_another: Open) -> None:
    worker = join(store)
    keys = [f"//k{number}" for number in range(30)]
    firsts = [new_job(flow=key, unique=key, unique_until="flow") for key in keys]
    store.enqueue(firsts)
    claimed = {job.id: job for job in take(store, worker)}
    members = {key: put(store, "members", flow=key) for key in keys}
    settle(store, *(succeeded(job, None) for job in claimed.values()))
    claimed = {job.id: job for job in take(store, worker, queues=["members"])}
    nexts = [[new_job(flow=f"{key} {n}", unique=key, unique_until="flow") for key in keys] for n in range(2)]
    together = threading.Barrier(3)
    answers: dict[str, list[str]] = {key: [] for key in keys}

    def act(mine: Store, number: int) -> None:
        for place, key in enumerate(keys):
            together.wait(30)
            if number == 2:
                settle(mine, succeeded(claimed[members[key]], None))
            else:
                answers[key].append(mine.enqueue([nexts[number][place]])[0].id)

    race(open_another, 3, act)
    for place, key in enumerate(keys):
        new = {nexts[n][place].id for n in range(2)}
        first = firsts[place].id
        # Each was told of the run before, or of the one that began: never two of those.
        assert set(answers[key]) <= {first, *new}
        assert len(store.get(sorted(new))) == len(set(answers[key]) & new) <= 1
        held = [job.id for job in store.get([first, *sorted(new)]) if job.unique_held]
        assert len(held) == 1


def test_a_flow_that_is_handed_on_from_job_to_job_never_seems_over(store: Store, open_another: Open) -> None:
    worker = join(store)
    first = new_job(flow="f", **HOLDER)
    store.enqueue([first])
    over = threading.Event()
    taken: list[str] = []

    def act(mine: Store, number: int) -> None:
        if number:
            while not over.is_set():
                taken.extend({mine.enqueue([new_job("others", **HOLDER)])[0].id} - {first.id})
            return
        try:
            for call in range(1, 60):
                (job,) = take(mine, worker, 1, ["mail"], claim_no=call)
                put(mine, flow="f")
                settle(mine, succeeded(job, None))
        finally:
            over.set()

    race(open_another, 3, act)
    assert taken == []
