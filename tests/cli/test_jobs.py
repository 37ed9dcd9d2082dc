"""``packhorse jobs``: find, show, act; and the other commands that look at the store."""

from __future__ import annotations

import json
import re

import pytest

from packhorse._record import JobRecord
from packhorse._store import JobFilter
from packhorse._why_error import cause


def states(store) -> dict[str, str]:
    return {record.id: record.state for record in store.find(JobFilter(), 1000).jobs}


# -- looking ----------------------------------------------------------------------------------------------------------
def test_list_is_newest_first_and_goes_on_at_the_cursor(cli, world):
    ids = [world.job() for _ in range(5)]
    first = cli("jobs", "list", "--json", "--limit", "3").data
    assert [job["id"] for job in first["jobs"]] == ids[:1:-1]
    rest = cli("jobs", "list", "--json", "--limit", "3", "--after", str(first["next"])).data
    assert [job["id"] for job in rest["jobs"]] == ids[1::-1]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "words, found",
    [
        ([], "abcd"),
        (["--state", "queued,scheduled"], "bcd"),
        (["--state", "succeeded", "--state", "scheduled"], "ad"),
        (["--task", "tasks:boom"], "b"),
        (["--task", "tasks.boom"], "b"),
        (["-q", "mail"], "c"),
        (["--tag", "red"], "c"),
        (["--text", "needle"], "b"),
        (["--since", "1h"], "abcd"),
        (["--state", "failed"], ""),
    ],
)
def test_filters(cli, world, words, found):
    worker = world.worker()
    ids = {"a": world.job()}
    world.succeed(worker)
    ids["b"] = world.job("tasks:boom", '[["needle"],{}]')
    ids["c"] = world.job(queue="mail", tags='["red"]')
    ids["d"] = world.job(delay=600.0)
    listed = {job["id"] for job in cli("jobs", "list", "--json", *words).data["jobs"]}
    assert "".join(letter for letter, job in ids.items() if job in listed) == found


def test_unknown_state_is_told_what_there_is(cli, store):
    ran = cli("jobs", "list", "--state", "done")
    assert ran.code == 2
    assert "'done' is not a state. There are: scheduled, blocked, queued," in ran.err


def test_list_is_a_table_with_short_ids(cli, world):
    job = world.job()
    world.fail(world.worker())
    head, row = cli("jobs", "list").out.splitlines()
    assert head.split() == ["id", "state", "task", "queue", "try", "waited", "ran", "when", "worker"]
    assert row.split()[:3] == [job[-8:], "✗", "failed"]
    assert row.endswith("web-1")


def test_nothing_found_is_said(cli, store):
    assert cli("jobs", "list").out == "no job matches\n"
    assert cli("jobs", "list", "--json").data["jobs"] == []


@pytest.mark.parametrize("length", [8, 36])
def test_show_tells_everything_of_a_failed_job(cli, world, length):
    by = '{"user": "ada", "host": "web-3", "file": "views.py", "line": 88}'
    job = world.job("tasks:add", tags='["red"]', meta='{"feed": 42}', by=by)
    frames = [
        {"file": "/app/tasks.py", "line": 31, "function": "parse", "code": "return d['updated']"},
        {"file": "/usr/lib/python3.11/json/decoder.py", "line": 1, "function": "decode", "code": ""},
    ]
    world.fail(world.worker(), frames=frames, traceback="Traceback…\nKeyError: 'updated'\n")
    ran = cli("jobs", "show", job[-length:])
    for part in (
        "✗ failed  tasks:add(2, 3)",
        "failed after 1 attempt at ",
        f"id        {job}",
        "by ada@web-3, views.py:88",
        "tags      red",
        'meta      {"feed": 42}',
        "KeyError: 'updated'\n    /app/tasks.py:31 in parse\n        return d['updated']\n",
        "… 1 frame of libraries folded",
        "Log\n  one\n  two\n",
    ):
        assert part in ran.out
    assert "decoder.py" not in ran.out
    assert "Traceback…" in cli("jobs", "show", job, "--full-traceback").out


def test_show_json_has_attempts_and_why(cli, world):
    job = world.job()
    world.fail(world.worker(), retries=3)
    data = cli("jobs", "show", job, "--json").data
    assert data["state"] == "retrying"
    assert data["why"].startswith("retry due at ")
    assert [(each["number"], each["outcome"], each["worker"]) for each in data["attempts"]] == [(1, "retry", "web-1")]
    assert data["attempts"][0]["error"]["message"] == "'updated'"
    assert data["due_at"].endswith("Z")


def test_hostile_text_does_nothing_to_a_terminal(cli, world):
    job = world.job("tasks:add", json.dumps([["\x1b]0;owned\x07\u202e"], {}]), tags=json.dumps(["\x9b31m"]))
    for words in (["jobs", "list"], ["jobs", "show", job], ["why", job]):
        out = cli(*words).out
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
        assert "owned" in out


def test_logs(cli, world):
    job = world.job()
    world.fail(world.worker())
    assert cli("jobs", "logs", job).out == "one\ntwo\n"
    assert cli("jobs", "logs", job, "--json").data["logs"] == [{"attempt": 1, "text": "one\ntwo\n", "dropped": 0}]
    assert cli("jobs", "logs", job, "--attempt", "2").err == "nothing was logged\n"


@pytest.mark.parametrize("words", [["jobs", "show"], ["jobs", "logs"], ["why"], ["jobs", "cancel"]])
def test_unknown_id(cli, store, words):
    ran = cli(*words, "01234567")
    assert ran.code == 1
    assert ran.err.startswith(f"JobNotFound: no job '01234567' is stored in {store.url} (namespace default).")
    assert "An id has 36 characters, or say its last 8.  " not in ran.err
    assert "An id has 36 characters, or say its last 8." in cli(*words, "0123").err


# -- acting -----------------------------------------------------------------------------------------------------------
def test_cancel_by_id_acts_at_once_and_why_tells_who(cli, world):
    job = world.job()
    assert cli("jobs", "cancel", job[-8:], "--reason", "not wanted").out == "1 job cancelled\n"
    assert states(world.store) == {job: "cancelled"}
    assert "not wanted" in cli("why", job).out


def test_cancel_of_a_running_job_asks_it(cli, world):
    world.job()
    (claimed,) = world.claim(world.worker())
    assert cli("jobs", "cancel", claimed.id).out == "1 running job asked to stop\n"


@pytest.mark.parametrize(
    "verb, state, message",
    [
        (
            "cancel",
            "succeeded",
            "1 job cannot be cancelled: {} is succeeded. Only a job that has not ended can be cancelled.",
        ),
        (
            "requeue",
            "running",
            "1 job cannot be requeued: {} is running. A running job cannot be requeued: cancel it first",
        ),
        ("requeue", "queued", "1 job cannot be requeued: {} is queued. It is going to run anyway."),
        (
            "delete",
            "running",
            "1 job cannot be deleted: {} is running. A running job cannot be deleted: cancel it first.",
        ),
    ],
)
def test_state_that_does_not_allow_it(cli, world, verb, state, message):
    job = world.job()
    if state != "queued":
        worker = world.worker()
        world.succeed(worker) if state == "succeeded" else world.claim(worker)
    ran = cli("jobs", verb, job, *(["--yes"] if verb == "delete" else []))
    assert ran.code == 1
    assert message.format(job[-8:]) in ran.err
    assert "[E118]" in ran.err
    assert states(world.store) == {job: state}


def test_requeue(cli, world):
    job = world.job()
    world.succeed(world.worker())
    assert cli("jobs", "requeue", job, "--delay", "5m").out == "1 job requeued\n"
    assert states(world.store) == {job: "scheduled"}


def test_filter_shows_a_count_and_does_nothing_without_a_yes(cli, program, world):
    ids = [world.job() for _ in range(3)]
    ran = program("jobs", "cancel", "--state", "queued")
    assert ran.code == 2
    assert "3 jobs will be cancelled. Go on? There is no terminal to ask on; say --yes." in ran.err
    assert cli("jobs", "cancel", "--state", "queued", "--dry-run").out == "3 jobs would be cancelled\n"
    assert set(states(world.store).values()) == {"queued"}
    assert cli("jobs", "cancel", "--state", "queued", "--yes").out == "3 jobs cancelled\n"
    assert states(world.store) == dict.fromkeys(ids, "cancelled")


def test_more_than_one_batch_is_done_whole(cli, world):
    for _ in range(2100):
        world.job()
    ran = cli("jobs", "delete", "--all", "--yes")
    assert ran.out == "2,100 jobs deleted\n"
    assert states(world.store) == {}


def test_without_any_condition_it_is_refused(cli, world):
    job = world.job()
    ran = cli("jobs", "delete", "--yes")
    assert ran.code == 2
    assert "Say which jobs to delete: ids, or options such as --state, or --all." in ran.err
    assert cli("jobs", "delete", job, "--state", "queued", "--yes").code == 2
    assert states(world.store) == {job: "queued"}


def test_delete_of_a_named_job_asks_too(cli, program, world):
    job = world.job()
    assert program("jobs", "delete", job).code == 2
    assert states(world.store) == {job: "queued"}
    assert cli("jobs", "delete", job, "--yes").out == "1 job deleted\n"
    assert states(world.store) == {}


# -- queues and workers -----------------------------------------------------------------------------------------------
def test_queues_list_pause_resume(cli, world):
    world.job(queue="mail")
    world.worker(queues='[["mail"]]')
    assert cli("queues", "pause", "mail", "--reason", "full disk").out == "⏸ mail is paused\n"
    (queue,) = cli("queues", "list", "--json").data["queues"]
    assert (queue["name"], queue["paused"], queue["paused_reason"], queue["workers"]) == (
        "mail",
        True,
        "full disk",
        ["web-1"],
    )
    assert queue["counts"]["queued"] == 1
    assert "full disk" in cli("queues", "list").out
    assert cli("queues", "pause", "mail").out == "⏸ mail was paused already, and stays so\n"
    assert cli("queues", "list", "--json").data["queues"][0]["paused_reason"] is None
    assert cli("queues", "resume", "mail").out == "▶ mail is open again, 1 job queued\n"
    assert cli("queues", "resume", "mail").out == "▶ mail was not paused; nothing changed\n"


def test_purge_deletes_what_waits_and_keeps_the_rest(cli, world):
    worker = world.worker()
    done = world.job()
    world.succeed(worker)
    world.job()
    world.job(delay=60.0)
    other = world.job(queue="mail")
    assert cli("queues", "purge", "default", "--dry-run").out == "2 jobs would be deleted\n"
    assert cli("queues", "purge", "default", "--yes").out == "2 jobs deleted\n"
    assert states(world.store) == {done: "succeeded", other: "queued"}


def test_workers_list_and_show(cli, world):
    worker = world.worker(info='{"python": "3.13.0", "sys_path": ["/x"]}', slots=4)
    world.job()
    (_claimed,) = world.claim(worker)
    (found,) = cli("workers", "list", "--json").data["workers"]
    assert (found["name"], found["state"], found["slots"], found["queues"]) == ("web-1", "live", 4, None)
    for name in ("web-1", worker.id, worker.id[-8:]):
        shown = cli("workers", "show", name).out
        assert "tasks:add" in shown
        assert "3.13.0" in shown
    assert cli("workers", "show", "web-1", "--json").data["tasks"] == {
        "tasks:add": {"signature": "add(x: int, y: int)"}
    }
    ran = cli("workers", "show", "wep-1")
    assert ran.code == 2
    assert "no worker 'wep-1'; did you mean 'web-1'?" in ran.err


def test_why_json(cli, world):
    job = world.job()
    data = cli("why", job, "--json").data
    assert (data["id"], data["state"], data["kind"]) == (job, "queued", "no-worker")
    assert data["facts"]["queue"] == "default"


# -- the store --------------------------------------------------------------------------------------------------------
def test_db(cli, place):
    assert cli("db", "status").code == 69
    ran = cli("db", "migrate")
    assert ran.code == 0
    assert re.search(r"is at schema \d+, current\n$", ran.out)
    assert cli("db", "migrate").code == 0
    data = cli("db", "status", "--json").data
    assert (data["current"], data["source"]) == (True, "from PACKHORSE_URL")
    assert "CREATE TABLE packhorse_jobs" in cli("db", "sql").out


def test_looking_makes_no_store(cli, place):
    assert cli("jobs", "list").code == 69
    assert not (place / "jobs.db").exists()


def test_config_tells_value_and_source(cli, place, monkeypatch):
    rows = {each["name"]: each for each in cli("config", "--json").data["settings"]}
    assert rows["store"] == {"name": "store", "value": f"sqlite:///{place}/jobs.db", "source": "from PACKHORSE_URL"}
    assert "from --store" in cli("config", "--store", "sqlite:///other.db").out
    monkeypatch.delenv("PACKHORSE_URL")
    ran = cli("config")
    assert ran.code == 0
    assert "none named and none found" in ran.out


def test_every_column_of_a_job_is_in_its_json(cli, world):
    world.job()
    (data,) = cli("jobs", "list", "--json").data["jobs"]
    elsewhere = {"seq", "rank", "payload", "crash_fails", "suspect", "generation", "fence", "token", "line", "result_until",
                 "cancel_at", "cancel_by"}  # fmt: skip
    assert set(JobRecord.__slots__) - elsewhere <= set(data)


def test_an_endless_recursion_of_two_is_shown_in_part(cli, world):
    world.job()
    frames = [{"file": "/app/tasks.py", "line": 1 + n % 2, "function": "ab"[n % 2], "code": ""} for n in range(60)]
    (job,) = [world.fail(world.worker(), frames=frames, traceback="")]
    out = cli("jobs", "show", job).out
    assert out.count("/app/tasks.py") == 12
    assert "  … 48 older frames (--full-traceback)\n" in out


def test_a_cause_is_not_said_twice():
    record = '{"type": "WorkerDied", "message": "the worker process died on web-1"}'
    assert cause("the worker process died on web-1", record) == "the worker process died on web-1"
    assert cause("stopped by shutdown", record) == "stopped by shutdown; WorkerDied: the worker process died on web-1"
    assert cause(None, record) == "WorkerDied: the worker process died on web-1"
    assert cause("", None) == ""
