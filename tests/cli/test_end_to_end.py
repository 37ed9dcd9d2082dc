"""From the shell to the result with a real worker in between."""

from __future__ import annotations


def test_enqueue_work_and_look(program):
    good = program("run", "tasks:add", "2", "3", "--json").data["id"]
    bad = program("run", "tasks:boom", "-o", "retry=0", "--json").data["id"]
    unknown = program("run", "elsewhere:thing", "--json").data["id"]
    worker = program("worker", "tasks", "--burst", "--name", "w1")
    assert worker.code == 0, worker.err
    ended = {job["id"]: job for job in program("jobs", "list", "--json").data["jobs"]}
    assert (ended[good]["state"], ended[good]["result"], ended[bad]["state"]) == ("succeeded", 5, "failed")
    shown = program("jobs", "show", bad[-8:])
    assert "about to fail" in shown.out
    assert "KeyError: 'updated'" in shown.out
    assert "tasks.py" in shown.out
    assert program("why", unknown, "--json").data["kind"] == "unknown-task"
    assert program("jobs", "requeue", bad).code == 0
    assert program("why", bad, "--json").data["kind"] == "no-worker"


def test_app_that_cannot_be_imported_is_78_and_one_message(program):
    ran = program("worker", "nosuch.tasks", "--burst")
    assert ran.code == 78
    assert "nosuch" in ran.err
    assert "[E113]" in ran.err
    assert "Traceback" not in ran.err


def test_store_that_can_be_none_is_78_and_one_message(program):
    ran = program("worker", "tasks", "--burst", PACKHORSE_URL="sqlite:////nowhere/at/all.db")
    assert ran.code == 78
    assert "its directory /nowhere/at does not exist" in ran.err
    assert "[E104]" in ran.err
    assert "Traceback" not in ran.err
