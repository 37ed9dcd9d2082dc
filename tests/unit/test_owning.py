"""Whose a schedule is: builds in the order in which they come, people's changes, and what is gone from the code."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse import _owning, _rule, _schedule
from packhorse._owning import Declared
from packhorse._record import NewJob
from packhorse._schedule_record import ScheduleRecord
from packhorse._stores.memory import MemoryStore, SettableClock
from packhorse.errors import BadSchedule, ScheduleNotFound

T0 = 1_800_000_000_000_000
HOUR = 3_600_000_000


def says(every: Any = 60, task: str = "tasks:clean") -> str:
    rule = _rule.every(every) if every else None
    return _schedule.encode(_schedule.spec(rule, NewJob("", task, "mail", "[[],{}]")))


class Place:
    """A store, and what happens to its schedules."""

    def __init__(self) -> None:
        self.clock = SettableClock(frozen=T0)
        self.store = MemoryStore(clock=self.clock)

    def deploy(
        self, build: str, app: str = "shop", changed: float = 0.0, force: bool = False, only: Any = None, **specs: str
    ) -> _owning.Change:
        declared = Declared(app, build, specs, changed)
        return _owning.apply(self.store, lambda book: _owning.publish(book, declared, force=force, only=only))

    def save(self, name: str, text: str) -> _owning.Change:
        return _owning.apply(self.store, lambda book: _owning.save(book, name, text, "ada@host"))

    def the(self, name: str) -> ScheduleRecord:
        return _owning.find(self.store.schedules(), name)

    @property
    def version(self) -> int:
        return self.store.schedules().version


@pytest.fixture
def place() -> Place:
    return Place()


# -- deploys ----------------------------------------------------------------------------------------------------------
def test_a_worker_writes_what_its_code_declares(place: Place) -> None:
    change = place.deploy("1", a=says(60), b=says("1h"))
    assert (change.created, change.updated, change.retired) == (2, 0, 0)
    found = place.the("a")
    assert (found.app, found.build, found.spec, found.watermark, found.created_at) == ("shop", "1", says(60), T0, T0)


def test_the_same_again_writes_nothing(place: Place) -> None:
    place.deploy("1", a=says())
    version = place.version
    for _ in range(3):
        assert place.deploy("1", a=says()).empty
    assert place.version == version


def test_an_application_without_schedules_leaves_no_trace(place: Place) -> None:
    assert place.deploy("1").empty
    assert place.version == 0


def test_a_new_build_changes_and_never_multiplies(place: Place) -> None:
    place.deploy("1", a=says(60))
    old = place.the("a")
    place.deploy("2", a=says(30))
    new = place.the("a")
    assert (new.id, new.spec, new.build) == (old.id, says(30), "2")
    assert len(place.store.schedules().schedules or ()) == 1


def test_an_old_build_never_writes_back(place: Place) -> None:
    place.deploy("1", a=says(60), old=says())
    place.deploy("2", a=says(30), new=says())
    change = place.deploy("1", a=says(60), old=says())
    assert change.empty
    assert "packhorse scheduled reschedule" in change.told[0]
    assert place.the("a").spec == says(30)
    assert place.the("old").retired_at == T0
    assert place.the("new").retired_at is None


def test_an_old_build_that_says_the_same_has_nothing_to_tell(place: Place) -> None:
    place.deploy("1", a=says())
    place.deploy("2", a=says())
    assert not place.deploy("1", a=says()).told


def test_whoever_goes_back_on_purpose_has_newer_files(place: Place) -> None:
    place.deploy("1", changed=100.0, a=says(60))
    place.deploy("2", changed=200.0, a=says(30))
    assert place.deploy("1", changed=100.0, a=says(60)).empty
    place.deploy("1", changed=300.0, a=says(60))
    assert place.the("a").spec == says(60)
    assert place.deploy("2", changed=200.0, a=says(30)).empty


def test_rules_gone_from_the_code_are_retired_and_kept(place: Place) -> None:
    place.deploy("1", a=says(), b=says())
    change = place.deploy("2", a=says())
    assert change.retired == 1
    assert place.the("b").retired_at == T0
    assert _schedule.next_tick(place.the("b")) is None
    assert place.deploy("2", a=says()).empty


def test_a_rule_that_comes_back_makes_up_for_nothing(place: Place) -> None:
    place.deploy("1", a=says())
    place.deploy("2")
    place.clock.advance(3600)
    place.deploy("3", a=says())
    assert (place.the("a").retired_at, place.the("a").watermark) == (None, T0 + HOUR)


def test_new_times_begin_now_and_other_changes_keep_what_is_missed(place: Place) -> None:
    place.deploy("1", a=says(60))
    place.clock.advance(3600)
    place.deploy("2", a=says(60, "tasks:other"))
    assert place.the("a").watermark == T0
    place.deploy("3", a=says(30, "tasks:other"))
    assert place.the("a").watermark == T0 + HOUR


def test_a_tick_left_out_stays_left_out(place: Place) -> None:
    place.deploy("1", a=says(60))
    assert place.store.fire(place.the("a"), T0 + 2 * HOUR, None, "skipped").moved
    place.deploy("2", a=says(30))
    assert place.the("a").watermark == T0 + 2 * HOUR


def test_two_applications_do_not_share_a_name(place: Place) -> None:
    place.deploy("1", a=says(60))
    change = place.deploy("1", app="other", a=says(30), b=says())
    assert "'a'" in change.told[0]
    assert (place.the("a").app, place.the("a").spec, place.the("b").app) == ("shop", says(60), "other")


def test_a_retired_name_is_free_for_others(place: Place) -> None:
    place.deploy("1", a=says(60))
    place.deploy("2")
    place.deploy("1", app="other", a=says(30))
    assert (place.the("a").app, place.the("a").retired_at) == ("other", None)


def test_many_workers_that_start_together_write_once(place: Place) -> None:
    stale = place.store.schedules()
    place.deploy("1", a=says())
    change = _owning.publish(stale, Declared("shop", "1", {"a": says()}))
    assert not place.store.put_schedules(stale.version, change.schedules)
    assert len(place.store.schedules().schedules or ()) == 1


# -- people -----------------------------------------------------------------------------------------------------------
def test_a_change_by_a_person_holds_until_reschedule(place: Place) -> None:
    place.deploy("1", a=says(60))
    place.save("a", says(10))
    place.deploy("2", a=says(30))
    found = place.the("a")
    assert (found.spec, found.declared, found.edited_by, found.app) == (says(10), says(30), "ada@host", "shop")
    change = place.deploy("2", force=True, a=says(30))
    assert (change.created, change.updated, change.retired) == (0, 1, 0)
    found = place.the("a")
    assert (found.spec, found.declared, found.edited_at, found.edited_by) == (says(30), None, None, None)


def test_reschedule_makes_a_build_the_newest(place: Place) -> None:
    place.deploy("1", a=says(60))
    place.deploy("2", a=says(30))
    place.deploy("1", force=True, a=says(60))
    assert place.the("a").spec == says(60)
    assert place.deploy("2", a=says(30)).empty


def test_reschedule_of_one_leaves_the_others(place: Place) -> None:
    place.deploy("1", a=says(60), b=says(60), c=says(60))
    place.save("a", says(10))
    place.save("b", says(10))
    place.deploy("1", force=True, only=frozenset({"a"}), a=says(60), b=says(60))
    assert (place.the("a").spec, place.the("b").spec, place.the("c").retired_at) == (says(60), says(10), None)


def test_a_pause_outlives_deploys(place: Place) -> None:
    place.deploy("1", a=says(60))
    _owning.apply(place.store, lambda book: _owning.pause(book, "a", "ada@host", "too loud"))
    place.deploy("2", a=says(30))
    found = place.the("a")
    assert (found.paused_at, found.paused_by, found.paused_reason, found.spec) == (T0, "ada@host", "too loud", says(30))


def test_resume_makes_up_for_nothing(place: Place) -> None:
    place.deploy("1", a=says(60))
    _owning.apply(place.store, lambda book: _owning.pause(book, "a", "", ""))
    assert _owning.pause(place.store.schedules(), "a", "", "").empty
    place.clock.advance(3600)
    _owning.apply(place.store, lambda book: _owning.resume(book, "a"))
    assert (place.the("a").paused_at, place.the("a").watermark) == (None, T0 + HOUR)
    assert _owning.resume(place.store.schedules(), "a").empty


def test_what_a_program_saves_is_its_own(place: Place) -> None:
    place.save("mine", says(60))
    version = place.version
    assert place.save("mine", says(60)).empty
    assert place.version == version
    place.save("mine", says(30))
    assert (place.the("mine").app, place.the("mine").spec, place.the("mine").edited_at) == (None, says(30), None)
    place.deploy("1", a=says())
    assert place.the("mine").retired_at is None


def test_a_name_that_a_person_has_used_before_the_code(place: Place) -> None:
    place.save("a", says(10))
    place.deploy("1", a=says(60))
    assert (place.the("a").spec, place.the("a").app, place.the("a").declared) == (says(10), "shop", says(60))
    place.deploy("1", force=True, a=says(60))
    assert place.the("a").spec == says(60)


def test_who_saves_a_retired_one_has_it(place: Place) -> None:
    place.deploy("1", a=says(60))
    place.deploy("2")
    place.clock.advance(3600)
    place.save("a", says(60))
    found = place.the("a")
    assert (found.app, found.retired_at, found.watermark) == (None, None, T0 + HOUR)


def test_deleting(place: Place) -> None:
    place.save("mine", says())
    old = place.the("mine")
    _owning.apply(place.store, lambda book: _owning.drop(book, "mine"))
    assert _owning.drop(place.store.schedules(), "mine").empty
    place.save("mine", says())
    assert place.the("mine").id != old.id
    place.deploy("1", a=says())
    with pytest.raises(BadSchedule, match="declared by the code of shop"):
        _owning.drop(place.store.schedules(), "a")
    place.deploy("2")
    _owning.apply(place.store, lambda book: _owning.drop(book, "a"))
    with pytest.raises(ScheduleNotFound):
        place.the("a")


def test_an_unknown_name_has_a_near_one(place: Place) -> None:
    place.save("nightly", says())
    with pytest.raises(ScheduleNotFound, match="did you mean 'nightly'"):
        place.the("nigthly")


# -- another store ----------------------------------------------------------------------------------------------------
def test_a_move_takes_schedules_along_as_far_as_they_have_come(place: Place) -> None:
    there = Place()
    place.deploy("1", a=says(60), b=says(60))
    place.deploy("2", a=says(60))
    place.save("mine", says(30))
    assert place.store.fire(place.the("mine"), T0 + HOUR, None, "skipped").moved
    there.deploy("1", app="early", a=says(5), other=says(5))
    for _ in range(2):
        _owning.carry(place.store, there.store)
    moved = {schedule.name: schedule._replace(revision=0) for schedule in place.store.schedules().schedules or ()}
    found = {schedule.name: schedule._replace(revision=0) for schedule in there.store.schedules().schedules or ()}
    assert {name: found[name] for name in moved} == moved
    assert set(found) == {"a", "b", "mine", "other"}
    assert there.deploy("1", a=says(1)).empty


def test_a_move_of_no_schedules_changes_nothing(place: Place) -> None:
    there = Place()
    there.save("mine", says())
    version = there.version
    _owning.carry(place.store, there.store)
    assert there.version == version
