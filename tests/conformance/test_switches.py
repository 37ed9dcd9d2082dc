"""Pauses that end by themselves, and steps: when old jobs of low priority overtake."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse._admission import Settings
from packhorse._outcome import snoozed, succeeded
from packhorse._record import DEFAULT_STEP, rank
from packhorse._steering import Edit
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import BadOption

from .making import (
    HOUR,
    SECOND,
    T0,
    admit,
    ids,
    join,
    new_job,
    obstacle,
    put,
    reserving,
    run_all,
    running,
    settle,
    state,
    take,
    take_one,
    the,
)
from .test_queues import one

#: Of the steps in these tests.
MINUTE = 60 * SECOND


# -- pauses ----------------------------------------------------------------------------------------------------------
def pause_of(store: Store, queue: str = "mail") -> tuple[Any, ...]:
    record = one(store, queue)
    return record.paused_at, record.paused_by, record.paused_reason, record.paused_until


@pytest.mark.parametrize(
    "end", [{"seconds": 60.5}, {"until": T0 + 60_500_000}, {"seconds": 1.0, "until": T0 + 60_500_000}]
)
def test_a_pause_ends_with_the_first_promote_after_its_end(
    store: Store, clock: SettableClock, end: dict[str, Any]
) -> None:
    worker = join(store)
    job = put(store)
    assert store.pause("mail", by="ada", reason="move", **end)
    assert pause_of(store) == (T0, "ada", "move", T0 + 60_500_000)
    clock.advance(60)
    assert store.promote() == (0, 0.5)
    assert take(store, worker) == []
    clock.advance(1)
    assert take(store, worker) == []
    assert pause_of(store) == (T0, "ada", "move", T0 + 60_500_000)
    assert store.promote() == (0, None)
    assert pause_of(store) == (None, None, None, None)
    assert take_one(store, worker).id == job


def test_a_pause_is_over_at_its_very_end(store: Store, clock: SettableClock) -> None:
    store.pause("mail", until=T0 + SECOND)
    clock.advance(1)
    assert store.promote() == (0, None)
    assert pause_of(store) == (None, None, None, None)


def test_promote_tells_what_comes_first(store: Store, clock: SettableClock) -> None:
    put(store, delay=10.0)
    store.pause("mail", seconds=5)
    store.pause("other", seconds=20)
    store.pause("for ever")
    assert store.promote() == (0, 5.0)
    clock.advance(5)
    assert store.promote() == (0, 5.0)
    clock.advance(5)
    assert store.promote() == (1, 10.0)
    clock.advance(10)
    assert store.promote() == (0, None)
    assert [queue.name for queue in store.queues() if queue.paused_at is not None] == ["for ever"]


def test_pauses_end_however_many_jobs_are_due(store: Store, clock: SettableClock) -> None:
    for _ in range(2):
        put(store, delay=1.0)
    for name in ("a", "b", "c"):
        store.pause(name, seconds=2)
    clock.advance(2)
    assert store.promote(1) == (1, 0.0)
    assert [queue.name for queue in store.queues() if queue.paused_at is not None] == []


def test_a_pause_can_be_replaced(store: Store, clock: SettableClock) -> None:
    assert store.pause("mail", by="ada", reason="move", seconds=60)
    clock.advance(5)
    assert not store.pause("mail", by="bob", reason="longer", seconds=600)
    assert pause_of(store) == (T0, "bob", "longer", T0 + 605 * SECOND)
    assert not store.pause("mail")
    assert pause_of(store) == (T0, None, None, None)
    clock.advance(9999)
    assert store.promote() == (0, None)
    assert pause_of(store)[0] == T0


def test_a_replaced_end_counts_no_more(store: Store, clock: SettableClock) -> None:
    store.pause("mail", seconds=10)
    store.pause("mail", seconds=100)
    assert store.promote() == (0, 100.0)
    clock.advance(50)
    assert store.promote() == (0, 50.0)
    assert store.resume("mail")
    assert store.promote() == (0, None)
    assert pause_of(store) == (None, None, None, None)


def test_paused_anew_it_begins_anew(store: Store, clock: SettableClock) -> None:
    store.pause("mail", seconds=10)
    store.resume("mail")
    clock.advance(5)
    assert store.pause("mail")
    assert pause_of(store) == (T0 + 5 * SECOND, None, None, None)


@pytest.mark.parametrize("end", [{"seconds": 0.0}, {"seconds": -1.0}, {"until": T0}, {"until": 0}])
@pytest.mark.parametrize("paused", [True, False])
def test_a_pause_must_end_in_the_future(store: Store, end: dict[str, Any], paused: bool) -> None:
    if paused:
        store.pause("mail", by="ada", seconds=5)
    with pytest.raises(BadOption):
        store.pause("mail", by="bob", **end)
    assert [queue.paused_by for queue in store.queues()] == ["ada"] * paused


def test_whoever_waits_is_let_go_when_the_pause_is_over(store: Store, clock: SettableClock) -> None:
    join(store)
    job = put(store, **reserving("a"))
    store.pause("mail", seconds=10)
    assert admit(store) == (0, 0)
    found = obstacle(store, job)
    assert found is not None
    assert found.kind == "paused"
    clock.advance(10)
    assert not store.freed
    store.promote()
    assert store.freed
    assert obstacle(store, job) is None
    assert admit(store) == (1, 0)


def test_the_end_of_a_pause_wakes_others(store: Store, other: Store, clock: SettableClock) -> None:
    put(store)
    store.pause("mail", seconds=10)
    clock.advance(10)
    other.changed()
    store.promote()
    assert not store.capabilities.hints or other.wait(5.0)


def test_in_a_closed_namespace_no_pause_ends(store: Store, clock: SettableClock) -> None:
    store.pause("mail", seconds=10)
    store.freeze("elsewhere")
    clock.advance(20)
    assert store.promote() == (0, None)
    assert pause_of(store)[0] == T0
    store.thaw()
    assert store.promote() == (0, None)
    assert pause_of(store)[0] is None


# -- steps -----------------------------------------------------------------------------------------------------------
def test_an_old_job_of_low_priority_overtakes(store: Store, clock: SettableClock) -> None:
    assert store.set_step("mail", MINUTE)
    low = put(store, priority=-1)
    clock.advance(61)
    soon = put(store, priority=0)
    clock.advance(30)
    first, late = put(store, priority=2), put(store, priority=-1)
    assert [job.id for job in take(store, join(store))] == [first, low, soon, late]


def test_without_a_step_of_its_own_priority_is_strict(store: Store, clock: SettableClock) -> None:
    low = put(store, priority=-1)
    clock.advance(24 * 3600)
    high = put(store, priority=0)
    assert [job.id for job in take(store, join(store))] == [high, low]


def test_what_step_a_queue_has(store: Store) -> None:
    put(store, "other")
    assert one(store, "other").step == DEFAULT_STEP
    assert store.set_step("mail", MINUTE)
    assert not store.set_step("mail", MINUTE)
    assert [(queue.name, queue.step) for queue in store.queues()] == [("mail", MINUTE), ("other", DEFAULT_STEP)]
    assert store.set_step("mail", HOUR)
    assert store.set_step("mail", None)
    assert not store.set_step("mail", None)
    assert not store.set_step("mail", DEFAULT_STEP)
    assert not store.set_step("other", None)
    assert not store.set_step("unknown", None)
    assert {queue.name: queue.step for queue in store.queues()}["other"] == DEFAULT_STEP


def test_a_step_holds_for_every_connection(store: Store, other: Store) -> None:
    put(other, priority=1)
    store.set_step("mail", MINUTE)
    job = put(other, priority=1)
    assert the(store, job).rank == rank(T0, 1, MINUTE)
    other.set_step("mail", None)
    assert the(store, put(store, priority=1)).rank == rank(T0, 1)


@pytest.mark.parametrize("step", [0, -1, 999_999, DEFAULT_STEP + 1])
def test_a_step_has_bounds(store: Store, step: int) -> None:
    with pytest.raises(BadOption):
        store.set_step("mail", step)
    assert store.queues() == []
    assert store.set_step("mail", SECOND)


def test_a_step_and_a_pause_leave_each_other_alone(store: Store) -> None:
    store.set_step("mail", MINUTE)
    store.pause("mail", by="ada", seconds=5)
    store.set_step("mail", HOUR)
    assert pause_of(store) == (T0, "ada", None, T0 + 5 * SECOND)
    store.resume("mail")
    assert one(store, "mail").step == HOUR


def test_standing_ranks_are_not_touched(store: Store) -> None:
    jobs = [put(store, priority=priority) for priority in (-1, 0, 1)]
    delayed = put(store, priority=1, delay=5.0)
    before = store.get([*jobs, delayed])
    store.set_step("mail", MINUTE)
    assert store.get([*jobs, delayed]) == before


def test_priority_0_is_the_same_with_any_step(store: Store) -> None:
    store.set_step("mail", MINUTE)
    assert the(store, put(store)).rank == T0


@pytest.mark.parametrize("priority", [-100, -1, 1, 100])
def test_every_new_rank_is_by_the_step_of_the_queue(store: Store, clock: SettableClock, priority: int) -> None:
    store.set_step("mail", MINUTE)
    assert the(store, put(store, priority=priority)).rank == rank(T0, priority, MINUTE)
    assert the(store, put(store, priority=priority, delay=7.0)).rank == rank(T0 + 7 * SECOND, priority, MINUTE)
    assert the(store, put(store, priority=priority, **reserving("a"))).rank == rank(T0, priority, MINUTE)
    assert the(store, put(store, "other", priority=priority)).rank == rank(T0, priority)


def test_many_jobs_of_several_queues_and_priorities_in_one_call(store: Store) -> None:
    store.set_step("mail", MINUTE)
    store.set_step("slow", HOUR)
    steps = {"mail": MINUTE, "slow": HOUR, "plain": DEFAULT_STEP, "new": DEFAULT_STEP}
    jobs = [new_job(queue, priority=priority) for priority in (0, 3, -2) for queue in steps]
    store.enqueue(jobs)
    assert [the(store, job.id).rank for job in jobs] == [rank(T0, job.priority, steps[job.queue]) for job in jobs]


def test_a_snooze_is_ranked_by_the_step(store: Store) -> None:
    store.set_step("mail", MINUTE)
    job = running(store, queue="mail", priority=3)
    settle(store, snoozed(job, 20))
    assert the(store, job.id).rank == rank(T0 + 20 * SECOND, 3, MINUTE)


@pytest.mark.parametrize("delay", [0.0, 30.0])
def test_a_requeue_is_ranked_by_the_step(store: Store, clock: SettableClock, delay: float) -> None:
    job = running(store, queue="mail", priority=3)
    settle(store, succeeded(job, None))
    scheduled = put(store, priority=-2, delay=100.0)
    store.set_step("mail", MINUTE)
    clock.advance(5)
    store.requeue(ids(job.id, scheduled), delay=delay)
    ready = T0 + 5 * SECOND + round(delay * SECOND)
    assert [the(store, id).rank for id in (job.id, scheduled)] == [rank(ready, 3, MINUTE), rank(ready, -2, MINUTE)]


def test_those_that_come_back_with_a_requeued_one_are_ranked_by_the_step(store: Store) -> None:
    join(store)
    parent = put(store)
    child = put(store, "other", after=(parent,), priority=4)
    store.cancel(ids(parent))
    assert admit(store) == (0, 1)
    store.set_step("other", MINUTE)
    store.requeue(ids(parent))
    assert the(store, child).rank == rank(T0, 4, MINUTE)


def test_an_edit_ranks_by_the_steps_of_both_queues(store: Store, clock: SettableClock) -> None:
    store.set_step("mail", MINUTE)
    store.set_step("other", HOUR)
    job, plain = put(store, priority=2), put(store, priority=2)
    clock.advance(5)
    store.edit([job], Edit(queue="other"))
    assert the(store, job).rank == rank(T0, 2, HOUR)
    store.edit([job], Edit(priority=-3))
    assert the(store, job).rank == rank(T0, -3, HOUR)
    store.edit([job], Edit(queue="third", priority=1))
    assert the(store, job).rank == rank(T0, 1)
    store.edit([plain], Edit(delay=10.0))
    assert the(store, plain).rank == rank(T0 + 15 * SECOND, 2, MINUTE)
    store.edit([plain], Edit(delay=0.0, queue="other"))
    assert the(store, plain).rank == rank(T0 + 5 * SECOND, 2, HOUR)


def test_an_edit_of_one_ranked_by_another_step_takes_a_time_in_bounds(store: Store, clock: SettableClock) -> None:
    clock.advance(5)
    high, low, due = put(store, priority=1), put(store, priority=-1), put(store, priority=1, delay=20.0)
    store.set_step("mail", MINUTE)
    clock.advance(5)
    store.edit([high, low, due], Edit(priority=0))
    # From one rank and two steps the ready time cannot be told: it lies between the creation and the due time.
    assert [the(store, job).rank for job in (high, low, due)] == [T0 + 5 * SECOND, T0 + 10 * SECOND, T0 + 5 * SECOND]


def test_what_is_let_go_keeps_its_rank(store: Store) -> None:
    worker = join(store)
    job = put(store, priority=2, **reserving("a"))
    store.set_step("mail", MINUTE)
    admit(store)
    assert the(store, job).rank == rank(T0, 2)
    assert run_all(store, worker) == [job]


def test_what_is_due_keeps_its_rank(store: Store, clock: SettableClock) -> None:
    job = put(store, priority=2, delay=5.0)
    store.set_step("mail", MINUTE)
    clock.advance(5)
    store.promote()
    assert (state(store, job), the(store, job).rank) == ("queued", rank(T0 + 5 * SECOND, 2))


# -- the oldest, where the step is not the default -----------------------------------------------------------------------
def test_the_oldest_is_told_by_the_step(store: Store, clock: SettableClock) -> None:
    store.set_step("mail", MINUTE)
    clock.advance(1)
    put(store, priority=5)
    clock.advance(10)
    put(store, priority=-5)
    clock.advance(10)
    assert one(store, "mail").oldest_ready_at == T0 + 1 * SECOND
    take(store, join(store), 1)
    assert one(store, "mail").oldest_ready_at == T0 + 11 * SECOND
    take(store, join(store, "w2"), 1)
    assert one(store, "mail").oldest_ready_at is None


def test_ranked_by_another_step_the_oldest_lies_in_bounds(store: Store, clock: SettableClock) -> None:
    clock.advance(1)
    put(store, priority=1)
    clock.advance(1)
    put(store, priority=-1)
    store.set_step("mail", MINUTE)
    clock.advance(10)
    # By the present step the one of high priority would have been ready a month before it was made.
    assert one(store, "mail").oldest_ready_at == T0 + 1 * SECOND
    assert take(store, join(store), 1)[0].priority == 1
    # And the other will be so in a month.
    assert one(store, "mail").oldest_ready_at == T0 + 12 * SECOND


# -- elsewhere -----------------------------------------------------------------------------------------------------------
def test_steps_travel(store: Store) -> None:
    assert store.export_settings().steps == ()
    store.set_step("b", HOUR)
    store.set_step("a", MINUTE)
    store.set_step("c", MINUTE)
    store.set_step("c", None)
    put(store, "d")
    assert store.export_settings().steps == (("a", MINUTE), ("b", HOUR))


def test_steps_are_taken_over(store: Store) -> None:
    store.set_step("kept", MINUTE)
    store.set_step("a", MINUTE)
    store.pause("b", by="ada")
    store.freeze("filling")
    store.import_settings(Settings(steps=(("a", HOUR), ("b", 2 * HOUR))))
    assert {queue.name: queue.step for queue in store.queues()} == {"kept": MINUTE, "a": HOUR, "b": 2 * HOUR}
    assert one(store, "b").paused_by == "ada"
    store.thaw()
    assert the(store, put(store, "b", priority=1)).rank == rank(T0, 1, 2 * HOUR)
