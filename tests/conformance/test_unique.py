"""Unique keys: held by one job at most, set at the enqueue and by a requeue alone, and never leaked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, crashed, failed, parked, released, snoozed, succeeded
from packhorse._record import Enqueued
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import IdConflict, UniqueConflict, UnknownParent

from .conftest import Open
from .making import (
    ERROR,
    HOUR,
    SECOND,
    T0,
    admit,
    beat,
    ids,
    join,
    new_job,
    put,
    reserving,
    settle,
    state,
    take,
    take_one,
    the,
)

KEY = "m:f\x1fada \u2192 \u00e9"


def has_key(store: Store, job: str) -> bool:
    return the(store, job).unique_held


def is_free(store: Store) -> bool:
    """Tell whether a new job could have the key, without leaving one there."""
    try:
        (answer,) = store.enqueue([new_job("probe", unique=KEY, on_conflict="raise")])
    except UniqueConflict:
        return False
    store.cancel(ids(answer.id))
    store.delete(ids(answer.id))
    return True


def test_what_is_stored_of_a_key(store: Store) -> None:
    started = the(store, put(store, unique="a", unique_until="started"))
    finished = the(store, put(store, unique="b"))
    a_time = the(store, put(store, unique="c", unique_until=60.5))
    none = the(store, put(store))
    assert [
        (job.unique_key, job.unique_until, job.unique_held, job.unique_end) for job in (started, finished, a_time, none)
    ] == [
        ("a", "started", True, None),
        ("b", "finished", True, None),
        ("c", "time", True, T0 + 60_500_000),
        (None, None, False, None),
    ]


def test_return_answers_with_the_job_that_is_there(store: Store, clock: SettableClock) -> None:
    first = put(store, unique=KEY, delay=60.0)
    clock.advance(1)
    second = new_job("letters", unique=KEY, task="m:g", payload="[[], {}]")
    assert store.enqueue([second]) == [Enqueued(first, "scheduled", T0, T0 + 60 * SECOND, True)]
    assert store.get([second.id]) == []
    assert [queue.name for queue in store.queues()] == ["mail"]


def test_raise_names_the_job_that_is_there_and_stores_nothing(store: Store) -> None:
    first = put(store, unique=KEY)
    others = [new_job(), new_job(unique=KEY, on_conflict="raise"), new_job()]
    with pytest.raises(UniqueConflict) as raised:
        store.enqueue(others)
    assert raised.value.job_id == first
    assert first in str(raised.value)
    assert store.get([job.id for job in others]) == []


WAITING: dict[str, Callable[[Store, str], object]] = {
    "queued": lambda store, worker: put(store, unique=KEY),
    "scheduled": lambda store, worker: put(store, unique=KEY, delay=60.0),
    "blocked": lambda store, worker: put(store, unique=KEY, **reserving("a")),
    "retrying": lambda store, worker: (
        put(store, unique=KEY) and settle(store, failed(take_one(store, worker), Backoff(1, base=60), ERROR))
    ),
}


@pytest.mark.parametrize("where", WAITING)
def test_replace_cancels_one_that_waits(store: Store, clock: SettableClock, where: str) -> None:
    worker = join(store)
    WAITING[where](store, worker)
    (old,) = _all(store)
    assert state(store, old) == where
    clock.advance(1)
    new = new_job(unique=KEY, on_conflict="replace")
    assert store.enqueue([new]) == [Enqueued(new.id, "queued", T0 + SECOND, None, False)]
    record = the(store, old)
    assert (record.state, record.reason, record.finished_at) == ("cancelled", f"replaced by {new.id}", T0 + SECOND)
    assert (record.unique_held, record.unique_key, record.due_at, record.cancel_by) == (False, KEY, None, None)
    assert has_key(store, new.id)


def test_replace_returns_one_that_runs(store: Store) -> None:
    worker = join(store)
    running = put(store, unique=KEY)
    take_one(store, worker)
    (answer,) = store.enqueue([new_job(unique=KEY, on_conflict="replace")])
    assert (answer.id, answer.state, answer.existing) == (running, "running", True)


def test_within_one_call_it_holds_in_order(store: Store) -> None:
    first, second, third, fourth = (
        new_job(unique=KEY, on_conflict=how) for how in ("raise", "return", "replace", "return")
    )
    answers = store.enqueue([first, second, third, fourth])
    assert [(answer.id, answer.existing, answer.state) for answer in answers] == [
        (first.id, False, "queued"),
        (first.id, True, "queued"),
        (third.id, False, "queued"),
        (third.id, True, "queued"),
    ]
    assert [(job.id, job.state) for job in store.get([job.id for job in (first, second, third, fourth)])] == [
        (first.id, "cancelled"),
        (third.id, "queued"),
    ]
    with pytest.raises(UniqueConflict):
        store.enqueue([new_job(unique="other"), new_job(unique="other", on_conflict="raise")])
    assert store.queues()[0].counts == {"cancelled": 1, "queued": 1}


def test_an_error_further_on_undoes_a_replacement(store: Store) -> None:
    first = put(store, unique=KEY)
    known = put(store)
    replacing = new_job(unique=KEY, on_conflict="replace")
    bad = {
        UnknownParent: new_job(after=(new_job().id,)),
        IdConflict: new_job(id=known, payload="[[9], {}]"),
        UniqueConflict: new_job(unique=KEY, on_conflict="raise"),
    }
    for error, job in bad.items():
        with pytest.raises(error):
            store.enqueue([replacing, job])
        assert (state(store, first), has_key(store, first), store.get([replacing.id])) == ("queued", True, [])


def test_the_same_id_again_is_no_conflict(store: Store) -> None:
    job = new_job(unique=KEY, on_conflict="raise")
    store.enqueue([job])
    assert store.enqueue([job, job])[1].existing
    store.cancel(ids(job.id))
    put(store, unique=KEY)
    assert store.enqueue([job])[0] == Enqueued(job.id, "cancelled", T0, None, True)


def test_one_that_was_not_stored_is_no_parent(store: Store) -> None:
    put(store, unique=KEY)
    parent = new_job(unique=KEY)
    with pytest.raises(UnknownParent):
        store.enqueue([parent, new_job(after=(parent.id,))])


def test_keys_of_other_namespaces_and_other_keys_are_no_matter(store: Store, open_another: Open) -> None:
    elsewhere = open_another(namespace="elsewhere")
    for where in (store, elsewhere):
        for key in (KEY, KEY.upper(), KEY + " ", "%", "e\u0301", "\u00e9"):
            assert not where.enqueue([new_job(unique=key)])[0].existing


# -- until when -----------------------------------------------------------------------------------------------------------
ENDS: dict[str, Callable[[Store, str], object]] = {
    "succeeded": lambda store, worker: settle(store, succeeded(take_one(store, worker), None)),
    "failed": lambda store, worker: settle(store, failed(take_one(store, worker), Backoff(0), ERROR)),
    "cancelled itself": lambda store, worker: settle(store, cancelled(take_one(store, worker), "enough")),
    "cancelled while it waits": lambda store, worker: store.cancel(ids(*_all(store))),
    "cancelled while it runs": lambda store, worker: (
        (job := take_one(store, worker)) and store.cancel(ids(job.id)) and settle(store, released(job))
    ),
    "cancelled, never received": lambda store, worker: (
        take_one(store, worker) and store.cancel(ids(*_all(store))) and beat(store, worker)
    ),
    "unstorable": lambda store, worker: settle(store, succeeded(take_one(store, worker), None, reason="\ud800")),
    "deleted": lambda store, worker: store.delete(ids(*_all(store))),
}


def _all(store: Store) -> list[str]:
    return [parcel.job.id for parcel in store.export(0)]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("until", ["started", "finished"])
def test_an_end_frees_the_key(store: Store, how: str, until: str) -> None:
    worker = join(store)
    job = put(store, unique=KEY, unique_until=until)
    assert not is_free(store)
    ENDS[how](store, worker)
    assert all(not record.unique_held and record.unique_key == KEY for record in store.get([job]))
    assert is_free(store)


@pytest.mark.parametrize("until", ["started", "finished"])
def test_expiry_and_giving_up_free_the_key(store: Store, clock: SettableClock, until: str) -> None:
    worker = join(store)
    put(store, unique=KEY, unique_until=until, expires=5.0)
    clock.advance(5)
    store.expire()
    assert is_free(store)
    parent = put(store)
    put(store, unique=KEY, unique_until=until, after=(parent,))
    settle(store, cancelled(take_one(store, worker), "no"))
    assert not is_free(store)
    assert admit(store) == (0, 1)
    assert is_free(store)


STAYS: dict[str, Callable[[Store, str], object]] = {
    "claimed": lambda store, worker: take_one(store, worker),
    "released": lambda store, worker: settle(store, released(take_one(store, worker))),
    "a ghost": lambda store, worker: take_one(store, worker) and beat(store, worker),
    "retried": lambda store, worker: settle(store, failed(take_one(store, worker), Backoff(2), ERROR)),
    "snoozed": lambda store, worker: settle(store, snoozed(take_one(store, worker), 60)),
    "crashed": lambda store, worker: settle(store, crashed(take_one(store, worker), ERROR, "SIGSEGV")),
    "of an unknown task": lambda store, worker: settle(store, parked(take_one(store, worker), "mail")),
}


@pytest.mark.parametrize("how", STAYS)
@pytest.mark.parametrize("until", ["started", "finished"])
def test_a_claim_frees_the_key_if_that_was_asked_for_and_nothing_takes_it_back(
    store: Store, clock: SettableClock, how: str, until: str
) -> None:
    worker = join(store)
    job = put(store, unique=KEY, unique_until=until)
    STAYS[how](store, worker)
    clock.advance(3600)
    store.promote()
    store.resolve(["mail#tasks:add"])
    assert has_key(store, job) == (until == "finished")
    assert is_free(store) == (until == "started")


@pytest.mark.parametrize("how", [how for how in ENDS if how != "deleted"])
def test_a_key_for_a_time_outlasts_the_job_and_nothing_prolongs_it(
    store: Store, clock: SettableClock, how: str
) -> None:
    worker = join(store)
    job = put(store, unique=KEY, unique_until=60.0)
    clock.advance(10)
    ENDS[how](store, worker)
    clock.advance(49.999999)
    assert not is_free(store)
    assert the(store, job).unique_end == T0 + 60 * SECOND
    clock.advance(0.000001)
    assert is_free(store)


def test_whoever_takes_a_key_after_its_time_is_the_only_one_who_has_it(store: Store, clock: SettableClock) -> None:
    first = put(store, unique=KEY, unique_until=60.0)
    clock.advance(60)
    assert has_key(store, first)
    second = put(store, unique=KEY)
    assert (has_key(store, first), has_key(store, second), state(store, first)) == (False, True, "queued")


def test_replace_does_not_undo_what_has_ended(store: Store) -> None:
    worker = join(store)
    first = put(store, unique=KEY, unique_until=60.0)
    settle(store, succeeded(take_one(store, worker), None))
    (answer,) = store.enqueue([new_job(unique=KEY, on_conflict="replace")])
    assert (answer.id, answer.state, answer.existing) == (first, "succeeded", True)


@pytest.mark.usefixtures("url")  # prune goes through the tables
def test_a_job_is_not_pruned_while_it_has_a_key_for_a_time(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    put(store, unique=KEY, unique_until=2.0 * HOUR / SECOND)
    settle(store, succeeded(take_one(store, worker), None))
    clock.advance(1.5 * HOUR / SECOND)
    assert store.prune({"succeeded": 0}) == 0
    clock.advance(0.5 * HOUR / SECOND)
    assert store.prune({"succeeded": 0}) == 1


# -- requeue ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("until", ["started", "finished"])
def test_a_requeued_job_has_its_key_again(store: Store, until: str) -> None:
    worker = join(store)
    job = put(store, unique=KEY, unique_until=until)
    settle(store, succeeded(take_one(store, worker), None))
    assert store.requeue(ids(job)).done == (job,)
    assert has_key(store, job)
    assert not is_free(store)


def test_a_requeue_is_refused_while_another_has_the_key(store: Store) -> None:
    worker = join(store)
    first = put(store, unique=KEY)
    settle(store, succeeded(take_one(store, worker), None))
    second = put(store, unique=KEY)
    for dry in (True, False):
        changed = store.requeue(ids(first), dry=dry)
        assert (changed.done, changed.refused) == ((), (first,))
    assert (state(store, first), has_key(store, second)) == ("succeeded", True)
    store.cancel(ids(second))
    changed = store.requeue(ids(first, second))
    assert (changed.done, changed.refused) == ((first,), (second,))


def test_a_requeue_of_a_job_with_a_key_for_a_time_is_free_of_it(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    first = put(store, unique=KEY, unique_until=60.0)
    settle(store, succeeded(take_one(store, worker), None))
    clock.advance(60)
    second = put(store, unique=KEY)
    assert store.requeue(ids(first)).done == (first,)
    assert (has_key(store, first), has_key(store, second)) == (False, True)


def test_a_requeue_takes_the_key_from_one_whose_time_is_over(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    first = put(store, unique=KEY)
    settle(store, succeeded(take_one(store, worker), None))
    second = put(store, unique=KEY, unique_until=60.0)
    assert store.requeue(ids(first)).refused == (first,)
    clock.advance(60)
    assert store.requeue(ids(first)).done == (first,)
    assert (has_key(store, first), has_key(store, second)) == (True, False)


def test_running_a_waiting_job_now_leaves_its_key_alone(store: Store) -> None:
    worker = join(store)
    first = put(store, unique=KEY, unique_until="started")
    settle(store, failed(take_one(store, worker), Backoff(1, base=60), ERROR))
    second = put(store, unique=KEY, unique_until="started")
    assert store.requeue(ids(first)).done == (first,)
    assert (has_key(store, first), has_key(store, second)) == (False, True)
    assert len(take(store, worker)) == 2


def test_a_key_goes_along_to_another_store(store: Store, open_another: Open) -> None:
    job = put(store, unique=KEY)
    there = open_another(namespace="there")
    there.import_jobs(store.export(0))
    assert there.enqueue([new_job(unique=KEY)])[0].id == job
    assert not is_free(there)
