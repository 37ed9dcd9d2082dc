"""``packhorse scheduled``: what is due, what became of it, and what people may do about it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from packhorse import _owning, _rule, _schedule
from packhorse._record import NewJob, WorkerRecord
from packhorse._schedule_record import ScheduleRecord
from packhorse._store import Store
from packhorse._stores import open_store

MINUTE = 60_000_000


@pytest.fixture
def store(place) -> Iterator[Store]:
    opened = open_store(os.environ["PACKHORSE_URL"])
    yield opened
    opened.close()


def says(every: Any = "1h", task: str = "tasks:add", **how: Any) -> str:
    rule = _rule.every(every) if every else None
    return _schedule.encode(_schedule.spec(rule, NewJob("", task, "mail", "[[1,2],{}]"), **how))


def save(store: Store, name: str = "nightly", text: str | None = None) -> ScheduleRecord:
    _owning.apply(store, lambda book: _owning.save(book, name, text or says(), "ada@ash"))
    return the(store, name)


def the(store: Store, name: str = "nightly") -> ScheduleRecord:
    return _owning.find(store.schedules(), name)


def declare(store: Store, **specs: str) -> None:
    """Be a live worker whose code declares these."""
    catalogue = {"schedules": [{"app": "shop", "build": "b2", "changed": 0.0, "schedules": specs}]}
    worker = WorkerRecord(uuid.uuid4().hex, uuid.uuid4().hex, "ash", 7, "boot", catalogue=json.dumps(catalogue))
    store.register(worker)
    _owning.apply(store, lambda book: _owning.publish(book, _owning.Declared("shop", "b2", specs)))


def test_no_schedules_at_all(cli, store):
    assert "there are no schedules" in cli("scheduled", "list").out
    assert cli("scheduled", "list", "--json").data == {"schedules": []}
    assert "nothing is due" in cli("scheduled", "next").out


def test_list(cli, store):
    save(store)
    save(store, "off", says(0, "tasks:echo"))
    declare(store, coded=says("5m", place="tasks.py:7"))
    ran = cli("scheduled", "list")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["name", "when", "task", "queue", "next", "last", "state"]
    assert [line.split()[0] for line in lines[1:]] == ["coded", "nightly", "off"]
    assert "every 1 h" in lines[2]
    data = {each["name"]: each for each in cli("scheduled", "list", "--json").data["schedules"]}
    assert (data["coded"]["app"], data["coded"]["place"], data["coded"]["every"]) == ("shop", "tasks.py:7", 300)
    assert (data["nightly"]["state"], data["nightly"]["app"], data["nightly"]["last_run"]) == ("on", None, None)
    assert (data["off"]["state"], data["off"]["next_run"]) == ("off", None)
    assert {"name", "task", "when", "timezone", "next_run", "last_run", "last_state", "paused"} <= set(data["nightly"])


def test_what_became_of_the_last_ticks(cli, store):
    schedule = save(store)
    job = _schedule.job_of(schedule, schedule.watermark)
    store.fire(schedule, schedule.watermark + MINUTE, job)
    store.fire(the(store), schedule.watermark + 2 * MINUTE, None, "missed", 3)
    (data,) = cli("scheduled", "list", "nightly", "--json").data["schedules"]
    assert data["last_state"] == "missed"
    assert [(run["outcome"], run["job"], run["missed"], run["state"]) for run in data["runs"]] == [
        ("missed", None, 3, None),
        ("fired", job.id, 0, "scheduled"),
    ]
    out = cli("scheduled", "list", "nightly").out
    assert job.id in out
    assert "3 missed" in out


def test_next_of_all_in_order(cli, store):
    save(store, "slow", says("50m"))
    save(store, "quick", says("20m"))
    save(store, "off", says(0))
    found = cli("scheduled", "next", "-n", "5", "--json").data["next"]
    assert len(found) == 5
    assert [each["start"] for each in found] == sorted(each["start"] for each in found)
    assert {each["name"] for each in found} == {"slow", "quick"}
    only = cli("scheduled", "next", "slow", "-n", "2", "--json").data["next"]
    assert [each["name"] for each in only] == ["slow", "slow"]
    assert len(cli("scheduled", "next", "-n", "3").out.splitlines()) == 4


def test_run_is_an_ordinary_job(cli, store):
    schedule = save(store)
    _owning.apply(store, lambda book: _owning.pause(book, "nightly", "", ""))
    first, second = (cli("scheduled", "run", "nightly", "--json").data for _ in range(2))
    assert first["id"] != second["id"]
    (job,) = store.get([first["id"]])
    assert (job.state, job.task, job.queue, job.unique_key) == ("queued", "tasks:add", "mail", None)
    assert json.loads(job.by or "")["user"]
    assert the(store).watermark == schedule.watermark
    assert store.runs(schedule.id) == []
    assert "queued" in cli("scheduled", "run", "nightly").out


def test_pause_and_resume(cli, store):
    before = save(store)
    assert "⏸ nightly is paused" in cli("scheduled", "pause", "nightly", "--reason", "too loud").out
    assert "already" in cli("scheduled", "pause", "nightly").out
    assert the(store).paused_reason == "too loud"
    assert the(store).paused_by
    assert "too loud" in cli("scheduled", "list").out
    assert cli("scheduled", "next").out == "nothing is due\n"
    assert "▶ nightly goes on" in cli("scheduled", "resume", "nightly").out
    assert "was not paused" in cli("scheduled", "resume", "nightly").out
    assert the(store).paused_at is None
    assert the(store).watermark > before.watermark


def test_skip_leaves_out_the_next_tick_and_says_so(cli, store):
    schedule = save(store)
    tick = _schedule.next_tick(schedule)
    assert tick is not None
    assert "leaves out" in cli("scheduled", "skip", "nightly").out
    assert the(store).watermark == tick
    assert [(run.tick, run.outcome) for run in store.runs(schedule.id)] == [(tick, "skipped")]
    assert cli("scheduled", "skip", "nightly", "--json").data["name"] == "nightly"
    assert the(store).watermark == tick + 60 * MINUTE


def test_what_makes_no_jobs_has_no_tick_to_skip(cli, store):
    save(store, text=says(0))
    ran = cli("scheduled", "skip", "nightly")
    assert ran.code == 1
    assert "E118" in ran.err


def test_reschedule_undoes_what_people_changed(cli, store):
    declare(store, nightly=says("1h"), other=says("2h"))
    save(store, text=says("5m"))
    save(store, "other", says("6m"))
    assert "changed by ada@ash" in cli("scheduled", "list").out
    assert cli("scheduled", "reschedule", "nightly", "--json").data == {"created": 0, "updated": 1, "removed": 0}
    assert (the(store).spec, the(store, "other").spec) == (says("1h"), says("6m"))
    assert cli("scheduled", "reschedule").out == "0 created, 1 updated, 0 removed\n"
    assert the(store, "other").spec == says("2h")


def test_reschedule_needs_code_to_go_by(cli, store):
    save(store)
    ran = cli("scheduled", "reschedule")
    assert (ran.code, "no live worker declares schedules" in ran.err) == (1, True)
    declare(store, other=says())
    ran = cli("scheduled", "reschedule", "nightly")
    assert (ran.code, "no live worker declares a schedule 'nightly'" in ran.err) == (1, True)


@pytest.mark.parametrize("words", ["list", "next", "run", "pause", "resume", "skip"])
def test_an_unknown_name_is_told_the_nearest(cli, store, words):
    save(store)
    ran = cli("scheduled", words, "nigthly")
    assert ran.code == 1
    assert "did you mean 'nightly'?" in ran.err
    assert "E137" in ran.err


def test_a_zone_that_this_host_does_not_know_is_told(cli, store):
    spec = json.loads(says()) | {"cron": "@daily", "timezone": "Moon/Tycho"}
    del spec["every"]
    save(store, "odd", says())
    schedule = the(store, "odd")
    assert store.put_schedules(store.schedules().version, [schedule._replace(spec=json.dumps(spec))])
    ran = cli("scheduled", "list")
    assert ran.code == 0
    assert "no time zone 'Moon/Tycho'" in ran.out
    (data,) = cli("scheduled", "list", "--json").data["schedules"]
    assert (data["state"], data["next_run"]) == ("unreadable", None)


def test_a_job_tells_its_schedule(cli, store):
    schedule = save(store)
    job = _schedule.job_of(schedule, schedule.watermark, '{"schedule": "nightly", "host": "ash"}')
    store.fire(schedule, schedule.watermark + MINUTE, job)
    assert "by the schedule 'nightly'" in cli("jobs", "show", job.id).out
