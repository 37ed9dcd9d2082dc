"""Changing waiting jobs, pausing queues until, letting old jobs overtake; and the same by many at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from packhorse._record import DEFAULT_STEP, rank
from packhorse._store import JobFilter

SECOND = 1_000_000


def the(world, job):
    (record,) = world.store.get([job])
    return record


# -- edit: what ------------------------------------------------------------------------------------------------------
def test_every_part_of_a_job(cli, world):
    job = world.job(tags='["old"]', meta='{"page": 1, "who": "ada"}', expires=9.0)
    before = the(world, job)
    ran = cli(
        "jobs", "edit", job[-8:], "--queue", "slow", "--priority", "7", "--expires", "never", "--timeout", "2h", "--retry", "3",
        "--tag", "a", "--tag", "b", "--meta", "page:=2", "--meta", "who:=null", "--meta", "note=x=y", "--args", "[4]",
        "--kwargs", '{"y": 5}',
    )  # fmt: skip
    assert (ran.code, ran.out) == (0, "1 job changed\n")
    after = the(world, job)
    ready = before.rank
    assert (after.queue, after.priority, after.rank) == ("slow", 7, rank(ready, 7))
    assert (after.expires_at, after.tags, after.payload) == (None, '["a", "b"]', '[[4],{"y":5}]')
    assert json.loads(after.meta) == {"page": 2, "note": "x=y"}
    options = json.loads(after.options)
    assert (options["timeout"], options["retry"]["retries"]) == (7200.0, 3)


def test_times(cli, world):
    job = world.job()
    assert cli("jobs", "edit", job, "--delay", "1h").code == 0
    assert the(world, job).state == "scheduled"
    assert 3500 * SECOND < the(world, job).due_at - world.store.now() < 3601 * SECOND
    assert cli("jobs", "edit", job, "--at", "2031-01-01T00:00:00Z", "--expires", "2032-01-01T00:00:00Z").code == 0
    assert the(world, job).due_at == 1_924_992_000 * SECOND
    assert the(world, job).expires_at == 1_956_528_000 * SECOND
    assert cli("jobs", "edit", job, "--delay", "0", "--expires", "1d").code == 0
    assert the(world, job).state == "queued"
    assert 86_000 * SECOND < the(world, job).expires_at - world.store.now() < 86_401 * SECOND


def test_no_tags_and_no_time_limit(cli, world):
    job = world.job(tags='["old"]', options='{"timeout": 5}')
    cli("jobs", "edit", job, "--tag", "", "--timeout", "none")
    assert (the(world, job).tags, json.loads(the(world, job).options)) == (None, {"timeout": None})


@pytest.mark.parametrize(
    "words, code, said",
    [
        ("--priority 101", 2, "jobs edit: priority takes a whole number from -100 to 100"),
        ("--priority high", 2, "jobs edit: priority takes a whole number from -100 to 100 (higher runs first), not 'high'"),
        ("--retry -1", 2, "jobs edit: retry takes a number of further attempts"),
        ("--delay soon", 2, "jobs edit: delay"),
        ("--delay 5m --at 15:00", 2, "give one of them"),
        ("--at noon", 2, "--at takes a time"),
        ("--expires never-ever", 2, "--expires takes a time"),
        ("--timeout 0", 2, "None means no limit"),
        ("--queue a/b", 2, "is not a name"),
        ("--meta x", 2, "--meta takes K=V or K:=JSON"),
        ("--meta x:={", 2, "is not JSON"),
        ("--args {}", 2, "--args takes a JSON list"),
        ("--kwargs nonsense", 2, "--kwargs is not JSON"),
        ("", 2, "Say what to change"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_and_change_nothing(cli, world, words, code, said):
    job = world.job()
    before = the(world, job)
    ran = cli("jobs", "edit", job, *words.split())
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert the(world, job) == before


def test_arguments_must_fit_what_a_live_worker_tells(cli, world):
    world.worker()
    job = world.job()
    ran = cli("jobs", "edit", job, "--args", "[1]")
    assert ran.code == 2
    assert "tasks:add(x, y): missing a required argument: 'y'. Nothing changed." in ran.err
    assert cli("jobs", "edit", job, "--args", "[1]", "--kwargs", '{"y": 2}').code == 0
    assert cli("jobs", "edit", job, "--kwargs", '{"y": 3}').code == 0
    assert the(world, job).payload == '[[1],{"y":3}]'


def test_arguments_of_a_task_nobody_knows_are_taken_on_trust(cli, world):
    job = world.job("tasks:gone")
    assert cli("jobs", "edit", job, "--args", '["\u00e9", 1, 2, 3]').code == 0
    assert json.loads(the(world, job).payload) == [["\u00e9", 1, 2, 3], {}]


def test_arguments_are_of_one_job(cli, world):
    jobs = [world.job(), world.job()]
    for words in (jobs, ["queue:default"], ["--all"]):
        ran = cli("jobs", "edit", *words, "--args", "[1, 2]", "--yes")
        assert ran.code == 2
        assert "exactly one job" in ran.err


# -- edit: which -----------------------------------------------------------------------------------------------------
def test_what_was_named_and_cannot_be_changed_is_an_error(cli, world):
    worker = world.worker()
    (ended,) = (world.job(), world.succeed(worker))[1]
    job = world.job()
    ran = cli("jobs", "edit", job, ended, "--priority", "2")
    assert ran.code == 1
    assert ran.out == "1 job changed; 1 other cannot be: 1 succeeded\n"
    assert "Only a job that waits can be; requeue an ended one." in ran.err
    assert the(world, job).priority == 2
    assert cli("jobs", "edit", "12345678", "--priority", "2").code == 1


def test_by_conditions_it_counts_and_asks(cli, world):
    worker = world.worker()
    world.job()
    world.succeed(worker)
    jobs = [world.job(queue="host.web-2", tags='["x"]') for _ in range(3)]
    others = [world.job(), world.job(queue="host.web-2")]
    ran = cli("jobs", "edit", "queue:host.web-2 tag:x", "--queue", "host.web-1")
    assert ran.code == 2
    assert "3 jobs will be changed. Go on? There is no terminal to ask on; say --yes." in ran.err
    ran = cli("jobs", "edit", "queue:host.web-2", "tag:x", "--queue", "host.web-1", "--dry-run")
    assert (ran.code, ran.out) == (0, "3 jobs would be changed\n")
    assert [job.queue for job in world.store.get(jobs)] == ["host.web-2"] * 3
    ran = cli("jobs", "edit", "queue:host.web-2 tag:x", "--queue", "host.web-1", "--yes")
    assert (ran.code, ran.out) == (0, "3 jobs changed\n")
    assert [job.queue for job in world.store.get([*jobs, *others])] == [*["host.web-1"] * 3, "default", "host.web-2"]
    assert cli("jobs", "edit", "queue:nowhere", "--priority", "1", "-y").out == "no job matches\n"


def test_states_that_were_asked_for_are_told_if_they_cannot_be_changed(cli, world):
    worker = world.worker()
    world.job()
    world.succeed(worker)
    world.job()
    ran = cli("jobs", "edit", "state:queued,succeeded", "--priority", "1", "--yes", "--json")
    assert ran.data == {"changed": 1, "refused": {"succeeded": 1}, "gone": 0, "dry_run": False}


def test_all_that_wait(cli, world):
    jobs = [world.job(), world.job(delay=60.0)]
    assert cli("jobs", "edit", "--all", "--priority", "5", "-y", "--json").data["changed"] == 2
    assert {job.priority for job in world.store.get(jobs)} == {5}


def test_more_than_a_batch(cli, world):
    from packhorse._ids import new_id
    from packhorse._record import NewJob

    for _ in range(3):
        world.store.enqueue(
            [NewJob(id=new_id(), task="tasks:add", queue="many", payload="[[],{}]") for _ in range(900)]
        )
    assert cli("jobs", "edit", "queue:many", "--queue", "other", "-y").out == "2,700 jobs changed\n"
    assert world.store.queues(["other"])[0].counts == {"queued": 2700}


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "Say which jobs to edit"),
        (("nobody:x",), "'nobody:x' is neither a job nor a condition"),
        (("queue:a", "queue:b"), "'queue:' is given twice"),
        (("queue:a 'b",), "No closing quotation"),
        (("12345678", "queue:a"), "Say which jobs to edit"),
        (("queue:a", "--all"), "Say which jobs to edit"),
        (("state:waiting",), "'waiting' is not a state"),
    ],
)
def test_what_is_no_choice_of_jobs(cli, world, words, said):
    ran = cli("jobs", "edit", *words, "--priority", "1")
    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_a_queue_nobody_serves_is_warned_of(cli, world):
    job = world.job()
    assert cli("jobs", "edit", job, "--queue", "mial").err == ""  # no worker is there at all
    world.worker(queues='[["mail"]]')
    ran = cli("jobs", "edit", job, "--queue", "other")
    assert (ran.code, ran.out) == (0, "1 job changed\n")
    assert ran.err == "Warning: no live worker listens to queue 'other'.  [E141]\n"
    assert cli("jobs", "edit", job, "--queue", "mail").err == ""


def test_words_of_a_condition_may_be_quoted(cli, world):
    world.job(meta='{"note": "two words"}')
    world.job()
    assert cli("jobs", "edit", "text:'two words'", "--priority", "1", "-y").out == "1 job changed\n"


def test_in_a_closed_store_nothing_is_changed(cli, world):
    job = world.job()
    world.store.freeze("sqlite:///elsewhere.db")
    assert cli("jobs", "edit", job, "--priority", "1").code == 69
    assert the(world, job).priority == 0


# -- the other bulk actions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "verb, state, done",
    [("cancel", "queued", "cancelled"), ("delete", "queued", "deleted"), ("requeue", "scheduled", "requeued")],
)
def test_a_dry_run_counts_and_changes_nothing(cli, world, verb, state, done):
    jobs = [world.job(queue="bulk", delay=60.0 if state == "scheduled" else 0.0) for _ in range(3)]
    ran = cli("jobs", verb, "-q", "bulk", "--dry-run")
    assert (ran.code, ran.out) == (0, f"3 jobs would be {done}\n")
    assert [job.state for job in world.store.get(jobs)] == [state] * 3
    assert cli("jobs", verb, "-q", "bulk", "--yes").out == f"3 jobs {done}\n"
    assert len(world.store.find(JobFilter(queue="bulk", states=(state,))).jobs) == 0


# -- queues ----------------------------------------------------------------------------------------------------------
def test_a_pause_with_an_end(cli, world):
    ran = cli("queues", "pause", "mail", "--for", "2h", "--reason", "move")
    assert ran.out.startswith("⏸ mail is paused until ")
    assert ran.out.endswith(" (in 2 h)\n")
    (queue,) = world.store.queues(["mail"])
    assert 7190 * SECOND < queue.paused_until - queue.paused_at < 7201 * SECOND
    (data,) = cli("queues", "list", "--json").data["queues"]
    assert data["paused_until"] is not None
    assert "until" in cli("queues", "list").out
    ran = cli("queues", "pause", "mail", "--until", "2031-01-01T00:00:00Z")
    assert ran.out.startswith("⏸ mail was paused already, and stays so until 20")
    assert world.store.queues(["mail"])[0].paused_until == 1_924_992_000 * SECOND
    cli("queues", "pause", "mail")
    assert cli("queues", "list", "--json").data["queues"][0]["paused_until"] is None


@pytest.mark.parametrize(
    "words, said",
    [
        ("--for 2h --until 15:00", "Give --for or --until"),
        ("--for 0", "must end in the future"),
        ("--for ages", "--for"),
        ("--until 2001-01-01", "must end in the future"),
        ("--until noon", "--until takes a time"),
    ],
)
def test_ends_that_are_none(cli, world, words, said):
    ran = cli("queues", "pause", "mail", *words.split())
    assert (ran.code, said in ran.err) == (2, True), ran.err
    assert world.store.queues() == []


def test_why_says_until_when_and_who(cli, world):
    world.worker()
    job = world.job()
    cli("queues", "pause", "default", "--for", "2h")
    data = cli("why", job, "--json").data
    assert " until " in data["why"]
    assert data["facts"]["until"] is not None
    assert data["facts"]["by"]


def test_why_names_the_command_that_moves_jobs_nobody_would_run(cli, world):
    world.worker(queues='[["web-1"]]')
    job = world.job(queue="web-2")
    command = "packhorse jobs edit queue:web-2 --queue web-1"
    assert command in cli("why", job).out
    assert cli(*command.split()[1:], "--yes").out == "1 job changed\n"
    assert the(world, job).queue == "web-1"


def test_ageing(cli, world):
    assert cli("queues", "ageing", "mail", "1h").out == (
        "mail: 1 h of waiting outweighs one step of priority, for jobs that come from now on\n"
    )
    assert world.store.queues(["mail"])[0].step == 3600 * SECOND
    assert cli("queues", "list", "--json").data["queues"][0]["ageing_seconds"] == 3600
    assert "ageing 1 h" in cli("queues", "list").out
    assert cli("queues", "ageing", "mail", "1h").out.endswith("already; nothing changed\n")
    assert cli("queues", "ageing", "mail", "default").out.startswith("mail: priority counts before age")
    assert world.store.queues(["mail"])[0].step == DEFAULT_STEP
    for value in ("0", "0.5", "31d", "often"):
        assert cli("queues", "ageing", "mail", value).code == 2


# -- several queues, with a real worker --------------------------------------------------------------------------------
RECORD = """
import pathlib, packhorse

@packhorse.task
def note(text: str) -> None:
    with pathlib.Path("order.txt").open("a") as file:
        file.write(text)
"""


@pytest.mark.parametrize(
    "queues, order",
    [(["-q", "a", "-q", "b"], "aaabbb"), (["-q", "b", "-q", "a"], "bbbaaa"), (["-q", "b"], "bbb")],
)
def test_a_worker_takes_all_of_the_first_queue_before_any_of_the_next(program, place, world, queues, order):
    (place / "noting.py").write_text(RECORD)
    for queue in ("b", "a"):
        for _ in range(3):
            world.job("noting:note", f'[["{queue}"],{{}}]', queue=queue)
            time.sleep(0.001)
    ran = program("worker", "noting", *queues, "--burst")
    assert ran.code == 0, ran.err
    assert (place / "order.txt").read_text() == order


def test_a_worker_goes_on_when_the_pause_is_over(place, world):
    (place / "noting.py").write_text(RECORD)
    world.store.pause("default", seconds=3.0)
    (paused,) = world.store.queues(["default"])
    job = world.job("noting:note", '[["x"],{}]')
    with subprocess.Popen([sys.executable, "-m", "packhorse", "worker", "noting"], stderr=subprocess.DEVNULL) as worker:
        try:
            deadline = time.monotonic() + 30
            while the(world, job).state != "succeeded" and time.monotonic() < deadline:
                world.store.wait(0.1)
        finally:
            worker.terminate()
    record = the(world, job)
    assert record.state == "succeeded"
    assert record.started_at >= paused.paused_until


def test_a_worker_takes_from_both_where_they_stand_together(program, place, world):
    (place / "noting.py").write_text(RECORD)
    for queue in ("b", "a"):
        for _ in range(3):
            world.job("noting:note", f'[["{queue}"],{{}}]', queue=queue)
    ran = program("worker", "noting", "-q", "a,b", "--burst")
    assert ran.code == 0, ran.err
    assert sorted((place / "order.txt").read_text()) == list("aaabbb")
