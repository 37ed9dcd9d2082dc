"""The chore of a worker: when it looks again, and what becomes of what it cannot fire."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest

from packhorse import _owning, _rule, _schedule
from packhorse._record import NewJob
from packhorse._schedule_record import ScheduleRecord
from packhorse._stores.memory import MemoryStore, SettableClock
from packhorse._worker.firing import Firing

T0 = 1_800_000_000_000_000
SECOND = 1_000_000


class Place:
    def __init__(self) -> None:
        self.clock = SettableClock(frozen=T0)
        self.url = f"memory://{uuid.uuid4().hex}"
        self.store = MemoryStore(self.url, clock=self.clock)
        self.firing = Firing("ash")

    def save(self, name: str = "a", every: Any = 60, **how: Any) -> ScheduleRecord:
        job = NewJob("", "m:f", "q", "[[],{}]")
        text = _schedule.encode(_schedule.spec(_rule.every(every), job, **{"overlap": "allow", **how}))
        _owning.apply(self.store, lambda book: _owning.save(book, name, text, "ada"))
        return _owning.find(self.store.schedules(), name)

    def queued(self) -> int:
        return sum(queue.counts.get("queued", 0) for queue in self.store.queues())


@pytest.fixture
def place() -> Place:
    return Place()


def test_it_looks_each_second_and_in_time_for_the_next_tick(place: Place) -> None:
    assert not place.firing.look(place.store, 100.0)
    assert place.firing.due == 101.0
    place.save()
    place.clock.advance(59.75)
    assert not place.firing.look(place.store, 200.0)
    assert place.firing.due == pytest.approx(200.25)
    place.clock.advance(0.25)
    assert place.firing.look(place.store, 200.25)
    assert place.firing.due == pytest.approx(201.25)
    assert place.queued() == 1


def test_what_was_missed_one_by_one_does_not_hold_up_the_rest(place: Place) -> None:
    place.save(missed="all")
    place.clock.advance(60 * 120)
    looks = 0
    while place.firing.look(place.store, 5.0):
        looks += 1
        assert place.firing.due in (5.0, 6.0)
    assert place.queued() == 120
    assert looks == 3


def test_a_new_and_a_changed_schedule_are_seen_at_the_next_look(place: Place) -> None:
    place.firing.look(place.store, 1.0)
    place.save(every=60)
    place.clock.advance(60)
    assert place.firing.look(place.store, 2.0)
    _owning.apply(place.store, lambda book: _owning.pause(book, "a", "", ""))
    place.clock.advance(60)
    assert not place.firing.look(place.store, 3.0)
    assert place.queued() == 1


def test_two_who_look_make_one_job_a_tick(place: Place) -> None:
    other = Firing("elm")
    second = MemoryStore(place.url, clock=place.clock)
    place.save()
    for number in range(1, 20):
        place.clock.advance(60)
        made = [place.firing.look(place.store, number), other.look(second, number)]
        assert made == [True, False]
        assert place.queued() == number


def test_a_change_in_the_very_moment_wins(place: Place) -> None:
    place.save()
    place.firing.look(place.store, 1.0)
    place.clock.advance(60)
    schedules = place.store.schedules

    def late(known: int = -1) -> Any:
        answer = schedules(known)
        if known >= 0:
            place.store.schedules = schedules  # type: ignore[method-assign]
            _owning.apply(place.store, lambda book: _owning.pause(book, "a", "", ""))
        return answer

    place.store.schedules = late  # type: ignore[method-assign]
    assert not place.firing.look(place.store, 2.0)
    assert place.queued() == 0
    assert not place.firing.look(place.store, 3.0)


def test_a_closed_store_is_left_in_peace(place: Place) -> None:
    place.save()
    place.store.freeze("elsewhere")
    place.clock.advance(60)
    assert not place.firing.look(place.store, 1.0)
    assert place.firing.due == 2.0
    place.store.thaw()
    assert place.firing.look(place.store, 2.0)


def test_a_fault_is_a_line_once_and_holds_up_no_other(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    odd = place.save("odd")
    place.save("good")
    broken = odd._replace(spec='{"cron":"* * * * *","timezone":"Moon/X","job":{}}')
    assert place.store.put_schedules(place.store.schedules().version, [broken])
    with caplog.at_level(logging.ERROR, "packhorse.schedules"):
        for number in range(1, 4):
            place.clock.advance(60)
            assert place.firing.look(place.store, number)
            place.save("more", every=60 + number)  # a change: the book is read anew
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "schedule 'odd' cannot be fired by this worker"
    ]
    assert "Moon/X" in caplog.text


def test_missed_ticks_are_told(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.save()
    place.clock.advance(60 * 10)
    with caplog.at_level(logging.WARNING, "packhorse.schedules"):
        assert place.firing.look(place.store, 1.0)
    assert "9 ticks were missed" in caplog.text


def test_publishing_writes_what_a_catalogue_says(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    text = place.save().spec
    said = {"app": "shop", "changed": 0.0, "schedules": {"b": text}}
    for build in ("1", "2"):
        place.firing.publish(place.store, {"schedules": [{**said, "build": build}]})
    assert _owning.find(place.store.schedules(), "b").app == "shop"
    with caplog.at_level(logging.WARNING, "packhorse.schedules"):
        old = {**said, "build": "1", "schedules": {"b": text, "c": text}}
        place.firing.publish(place.store, {"schedules": [old]})
    assert "older than 2" in caplog.text
    place.firing.publish(place.store, {})
