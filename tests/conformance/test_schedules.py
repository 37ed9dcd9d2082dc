"""schedules, put_schedules, fire, runs: a book that is changed as a whole, and ticks that are dealt with once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from packhorse._outcome import succeeded
from packhorse._record import NewJob
from packhorse._schedule_record import RUNS_KEPT, Book, Fired, RunRecord, ScheduleRecord
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import IdConflict

from .conftest import Open
from .making import SECOND, T0, ids, join, new_job, put, settle, state, take, the

MINUTE = 60 * SECOND


def new_schedule(name: str = "nightly", **changes: Any) -> ScheduleRecord:
    """Return a schedule that can be put. No store reads what it says."""
    plain = ScheduleRecord(str(uuid.uuid4()), name, '{"every":60}', created_at=T0, watermark=T0)
    return plain._replace(**changes)


def book(store: Store) -> Book:
    """Return the whole book."""
    found = store.schedules()
    assert found.schedules is not None
    return found


def stored(store: Store, name: str = "nightly") -> ScheduleRecord:
    """Return one schedule."""
    (found,) = [schedule for schedule in book(store).schedules or () if schedule.name == name]
    return found


def keep(store: Store, *schedules: ScheduleRecord, **more: Any) -> None:
    """Put schedules, whatever the version."""
    assert store.put_schedules(book(store).version, schedules, **more)


def scheduled(store: Store, **changes: Any) -> ScheduleRecord:
    """Put one schedule and return it as it is stored."""
    keep(store, new_schedule(**changes))
    return stored(store)


def skipping(schedule: ScheduleRecord, **changes: Any) -> NewJob:
    """Return a job that is not to run beside another of its schedule."""
    return new_job(unique=f"//schedule:{schedule.id}", **changes)


# -- the book --------------------------------------------------------------------------------------------------------
def test_no_schedules_at_first(store: Store) -> None:
    assert store.schedules() == Book(T0, 0, [], "{}")


def test_a_schedule_comes_back_as_it_was_put(store: Store) -> None:
    full = new_schedule(
        app="shop.tasks", build="0a1b", declared='{"every":30}', paused_at=T0 - 1, paused_by="ada", paused_reason="\u00e9",
        edited_at=T0 - 2, edited_by="bob", retired_at=T0 - 3, watermark=T0 + 7 * SECOND,
    )  # fmt: skip
    bare = new_schedule("bare")
    keep(store, full, bare)
    assert book(store).schedules == [bare._replace(revision=1), full._replace(revision=1)]


def test_schedules_come_by_name(store: Store, other: Store) -> None:
    keep(store, *(new_schedule(name) for name in ("b", "a.x", "Z", "c")))
    names = [schedule.name for schedule in book(other).schedules or ()]
    assert names == ["Z", "a.x", "b", "c"]


def test_a_known_version_is_not_read_again(store: Store, other: Store) -> None:
    keep(store, new_schedule())
    version = book(other).version
    assert other.schedules(version).schedules is None
    keep(store, new_schedule("other"))
    again = other.schedules(version)
    assert again.version > version
    assert again.schedules is not None
    assert len(again.schedules) == 2


def test_a_book_tells_the_time(store: Store, clock: SettableClock) -> None:
    clock.advance(5)
    assert store.schedules().now == T0 + 5 * SECOND
    assert store.schedules(0).now == T0 + 5 * SECOND


def test_who_has_not_seen_the_last_change_changes_nothing(store: Store, other: Store) -> None:
    version = book(store).version
    assert other.put_schedules(version, [new_schedule("a")])
    assert not store.put_schedules(version, [new_schedule("b")], builds='{"x":1}')
    assert [schedule.name for schedule in book(store).schedules or ()] == ["a"]
    assert book(store).builds == "{}"


def test_builds_are_kept(store: Store, other: Store) -> None:
    assert store.put_schedules(0, [], builds='{"app":["1"]}')
    assert book(other).builds == '{"app":["1"]}'
    keep(store, new_schedule())
    assert book(other).builds == '{"app":["1"]}'


def test_what_is_gone_is_gone_with_its_runs(store: Store) -> None:
    old = scheduled(store)
    assert store.fire(old, T0 + MINUTE, None, "skipped").moved
    new = new_schedule()
    keep(store, new, gone=[old.id])
    assert [schedule.id for schedule in book(store).schedules or ()] == [new.id]
    assert store.runs(old.id) == []
    assert store.runs(new.id) == []


def test_a_put_never_takes_a_watermark_back(store: Store) -> None:
    schedule = scheduled(store)
    assert store.fire(schedule, T0 + MINUTE, None, "skipped").moved
    keep(store, schedule._replace(spec="{}"))
    assert (stored(store).spec, stored(store).watermark) == ("{}", T0 + MINUTE)
    keep(store, schedule._replace(watermark=T0 + 2 * MINUTE))
    assert stored(store).watermark == T0 + 2 * MINUTE


def test_namespaces_have_books_of_their_own(store: Store, open_another: Open) -> None:
    elsewhere = open_another(namespace="elsewhere")
    elsewhere.migrate()
    same = new_schedule()
    keep(store, same)
    assert book(elsewhere).schedules == []
    keep(elsewhere, same)
    assert store.fire(stored(store), T0 + MINUTE, None, "skipped").moved
    assert (stored(elsewhere).watermark, elsewhere.runs(same.id)) == (T0, [])


def test_a_book_outlives_its_connections(store: Store, open_another: Open) -> None:
    if not store.capabilities.durable:
        pytest.skip("does not outlive them, and does not say so")
    schedule = scheduled(store)
    store.fire(schedule, T0 + MINUTE, new_job())
    store.close()
    again = open_another()
    assert stored(again).watermark == T0 + MINUTE
    assert len(again.runs(schedule.id)) == 1


# -- fire ------------------------------------------------------------------------------------------------------------
def test_a_tick_makes_its_job(store: Store, clock: SettableClock) -> None:
    schedule = scheduled(store)
    clock.advance(61)
    job = new_job(task="tasks:clean", tags='["x"]', by='{"schedule":"nightly"}')
    assert store.fire(schedule, T0 + MINUTE, job) == Fired(True, T0 + MINUTE, job.id)
    made = the(store, job.id)
    assert (made.state, made.task, made.tags, made.by) == ("queued", "tasks:clean", '["x"]', '{"schedule":"nightly"}')
    assert store.runs(schedule.id) == [RunRecord(T0 + MINUTE, T0 + 61 * SECOND, "fired", job.id, 0)]
    assert [claimed.id for claimed in take(store, join(store))] == [job.id]


def test_a_job_may_start_later_than_its_tick(store: Store, clock: SettableClock) -> None:
    schedule = scheduled(store)
    clock.advance(60)
    job = new_job(at=T0 + 70 * SECOND)
    store.fire(schedule, T0 + MINUTE, job)
    assert (the(store, job.id).state, the(store, job.id).due_at) == ("scheduled", T0 + 70 * SECOND)


def test_a_tick_is_dealt_with_once(store: Store, other: Store) -> None:
    schedule = scheduled(store)
    job = new_job()
    assert store.fire(schedule, T0 + MINUTE, job).moved
    for handle in (store, other):
        assert handle.fire(schedule, T0 + MINUTE, job) == Fired(False, T0 + MINUTE)
        assert handle.fire(schedule, T0 + MINUTE, new_job()) == Fired(False, T0 + MINUTE)
    assert len(store.runs(schedule.id)) == 1
    assert store.queues(["mail"])[0].counts["queued"] == 1


def test_a_watermark_only_moves_forwards(store: Store) -> None:
    schedule = scheduled(store)
    store.fire(schedule, T0 + 2 * MINUTE, None, "skipped")
    now = stored(store)
    assert store.fire(now, T0 + MINUTE, new_job()) == Fired(False, T0 + 2 * MINUTE)
    assert store.fire(now, T0 + 2 * MINUTE, new_job()) == Fired(False, T0 + 2 * MINUTE)
    assert store.fire(now, T0 + 3 * MINUTE, new_job()).moved


def test_the_answer_is_enough_to_fire_the_next_tick(store: Store) -> None:
    schedule = scheduled(store)
    for minute in range(1, 4):
        answer = store.fire(schedule, T0 + minute * MINUTE, new_job())
        assert answer.moved
        assert answer.watermark is not None
        schedule = schedule._replace(watermark=answer.watermark)
    assert stored(store).watermark == T0 + 3 * MINUTE


def test_firing_is_no_change_of_the_book(store: Store, other: Store) -> None:
    schedule = scheduled(store)
    version = book(store).version
    other.fire(schedule, T0 + MINUTE, new_job())
    assert store.schedules(version).schedules is None
    assert store.put_schedules(version, [schedule])


@pytest.mark.parametrize("change", [{"paused_at": T0}, {"spec": '{"every":5}'}, {"retired_at": T0}])
def test_who_has_not_seen_a_change_fires_nothing(store: Store, other: Store, change: dict[str, Any]) -> None:
    schedule = scheduled(store)
    keep(other, schedule._replace(**change))
    assert store.fire(schedule, T0 + MINUTE, new_job()) == Fired(False, None)
    assert store.queues() == []
    assert store.runs(schedule.id) == []


def test_a_change_of_another_schedule_is_no_matter(store: Store, other: Store) -> None:
    schedule = scheduled(store)
    keep(other, new_schedule("other"))
    assert store.fire(schedule, T0 + MINUTE, new_job()).moved


def test_a_schedule_that_is_gone_fires_nothing(store: Store) -> None:
    schedule = scheduled(store)
    keep(store, gone=[schedule.id])
    assert store.fire(schedule, T0 + MINUTE, new_job()) == Fired(False, None)
    assert store.fire(new_schedule(), T0 + MINUTE, new_job()) == Fired(False, None)
    assert store.queues() == []


def test_a_tick_without_a_job_is_on_record(store: Store) -> None:
    schedule = scheduled(store)
    assert store.fire(schedule, T0 + 5 * MINUTE, None, "missed", 5) == Fired(True, T0 + 5 * MINUTE, None)
    assert store.runs(schedule.id) == [RunRecord(T0 + 5 * MINUTE, T0, "missed", None, 5)]


def test_no_second_job_while_the_first_has_not_ended(store: Store) -> None:
    schedule = scheduled(store)
    first, second, third = (skipping(schedule) for _ in range(3))
    store.fire(schedule, T0 + MINUTE, first)
    answer = store.fire(schedule._replace(watermark=T0 + MINUTE), T0 + 2 * MINUTE, second)
    assert answer == Fired(True, T0 + 2 * MINUTE, first.id)
    assert store.get([second.id]) == []
    (claimed,) = take(store, join(store))
    settle(store, succeeded(claimed, "1"))
    assert store.fire(schedule._replace(watermark=T0 + 2 * MINUTE), T0 + 3 * MINUTE, third).job == third.id
    assert [(run.tick, run.outcome, run.job) for run in store.runs(schedule.id)] == [
        (T0 + 3 * MINUTE, "fired", third.id),
        (T0 + 2 * MINUTE, "overlap", first.id),
        (T0 + MINUTE, "fired", first.id),
    ]


def test_jobs_that_wait_for_each_other_are_blocked_at_first(store: Store) -> None:
    schedule = scheduled(store)
    job = new_job(holds=(("x", f"//schedule:{schedule.id}"),))
    store.fire(schedule, T0 + MINUTE, job)
    assert state(store, job.id) == "blocked"


def test_runs_come_newest_first_and_only_so_many_are_kept(store: Store) -> None:
    schedule = scheduled(store)
    for minute in range(1, RUNS_KEPT + 6):
        answer = store.fire(schedule, T0 + minute * MINUTE, None, "skipped")
        assert answer.watermark is not None
        schedule = schedule._replace(watermark=answer.watermark)
    runs = store.runs(schedule.id, 1000)
    assert [run.tick for run in runs] == [T0 + minute * MINUTE for minute in range(RUNS_KEPT + 5, 5, -1)]
    assert store.runs(schedule.id, 2) == runs[:2]
    assert len(store.runs(schedule.id)) == 20


def test_a_job_that_cannot_be_stored_moves_nothing(store: Store) -> None:
    schedule = scheduled(store)
    job = new_job()
    store.enqueue([job])
    with pytest.raises(IdConflict):
        store.fire(schedule, T0 + MINUTE, job._replace(payload="[[3], {}]"))
    assert stored(store).watermark == T0
    assert store.runs(schedule.id) == []


def test_the_tick_of_a_job_that_is_there_already_makes_no_other(store: Store) -> None:
    schedule = scheduled(store)
    job = new_job()
    store.enqueue([job])
    assert store.fire(schedule, T0 + MINUTE, job) == Fired(True, T0 + MINUTE, job.id)
    assert store.queues(["mail"])[0].counts["queued"] == 1


def test_a_closed_namespace_fires_nothing(store: Store) -> None:
    schedule = scheduled(store)
    store.freeze("elsewhere")
    assert store.fire(schedule, T0 + MINUTE, new_job()) == Fired(False, None)
    assert store.fire(schedule, T0 + MINUTE, None, "skipped") == Fired(False, None)
    assert store.runs(schedule.id) == []
    store.thaw()
    assert store.fire(schedule, T0 + MINUTE, new_job()).moved


def test_a_new_job_is_a_hint(store: Store, other: Store) -> None:
    schedule = scheduled(store)
    put(store)
    other.changed()
    store.fire(schedule, T0 + MINUTE, new_job())
    assert other.changed()


def test_of_many_firers_one_makes_the_job(store: Store, open_another: Open) -> None:
    schedule = scheduled(store)
    handles = [open_another() for _ in range(4)]
    ticks = 25

    def fire_all(handle: Store) -> int:
        mine, watermark = 0, T0
        while watermark < T0 + ticks * MINUTE:
            job = new_job(id=str(uuid.uuid5(uuid.UUID(schedule.id), str(watermark + MINUTE))))
            answer = handle.fire(schedule._replace(watermark=watermark), watermark + MINUTE, job)
            mine += answer.moved
            assert answer.watermark is not None
            watermark = answer.watermark
        return mine

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(fire_all, handles))
    assert sum(made) == ticks
    assert store.queues(["mail"])[0].counts["queued"] == ticks
    assert sorted(run.tick for run in store.runs(schedule.id, 100)) == [T0 + n * MINUTE for n in range(1, ticks + 1)]


def test_a_deleted_job_stays_on_record(store: Store) -> None:
    schedule = scheduled(store)
    job = new_job()
    store.fire(schedule, T0 + MINUTE, job)
    store.delete(ids(job.id))
    assert store.runs(schedule.id)[0].job == job.id
