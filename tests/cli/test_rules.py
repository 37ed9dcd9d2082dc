"""Limits, flows, and what holds a queue up, on the command line."""

from __future__ import annotations

import pytest

from packhorse._admission import FlowRecord
from packhorse._backoff import Backoff
from packhorse._outcome import failed, parked, succeeded
from packhorse.cli import flows

from .conftest import World


@pytest.fixture
def world(store):
    return World(store)


def admit(world: World) -> None:
    while world.store.admit().more:
        pass


# -- limits -----------------------------------------------------------------------------------------------------------
def test_limits_are_set_shown_changed_and_taken_back(cli, store):
    assert "no limit is declared; to declare one:  packhorse queues limit smtp 4" in cli("queues", "limit").out
    assert cli("queues", "limit", "smtp", "4").err == "smtp = 4\n"
    assert cli("queues", "limit", "smtp", "4").err == "smtp = 4 already; nothing changed\n"
    changed = cli("queues", "limit", "smtp", "10/1s")
    assert changed.code == 0
    assert changed.err.startswith("smtp = 10/1s  (was 4, ")
    (row,) = cli("queues", "limit", "--list").out.splitlines()[1:]
    assert row.split()[:2] == ["smtp", "10/1s"]
    (data,) = cli("queues", "limit", "smtp", "--json").data["limits"]
    assert (data["name"], data["value"], data["app"]) == ("smtp", "10/1s", None)
    assert data["by"]
    assert data["set_at"].endswith("Z")
    assert cli("queues", "limit", "smtp", "--delete").err == "smtp has no limit of its own any more\n"
    assert cli("queues", "limit", "smtp", "--delete").err == "smtp is declared nowhere; nothing changed\n"
    assert store.limits() == []


def test_a_person_overrides_code_and_is_told_so(cli, store):
    store.set_limits({"smtp": "4", "tenant:*": "2"}, app="shop.tasks")
    assert cli("queues", "limit", "smtp", "1").err == "smtp = 1  (was 4, the code of shop.tasks)\n"
    assert store.set_limits({"smtp": "4"}, app="shop.tasks") == []
    said = cli("queues", "limit", "tenant:*", "--delete").err
    assert said == "tenant:* has no limit of its own any more; the next worker of shop.tasks declares it again\n"


@pytest.mark.parametrize(
    "words, said",
    [
        (["smtp", "0"], "must have numbers from 1"),
        (["smtp", "ten"], "A limit is a number of jobs at once, or a rate"),
        (["a*b", "3"], "* before its end"),
    ],
)
def test_a_limit_that_cannot_be_read_is_refused(cli, words, said):
    ran = cli("queues", "limit", *words)
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize("words", [["--delete"], ["smtp", "4", "--delete"], ["smtp", "4", "--list"]])
def test_what_makes_no_sense_together_is_refused(cli, words):
    assert cli("queues", "limit", *words).code == 2


# -- demand -----------------------------------------------------------------------------------------------------------
def test_what_could_run_if_there_were_slots(cli, world):
    assert cli("queues", "demand", "--json").data == {
        "queues": [], "running": 0, "ready": 0, "wanted": 0, "slots": 0, "estimate": False
    }  # fmt: skip
    worker = world.worker(slots=4, queues='[["default"]]')
    for _ in range(3):
        world.job(holds=(("x", "disk"),), queue="books")
    world.job()
    world.job()
    world.claim(worker)
    world.job(queue="later", delay=60.0)
    assert [line.split() for line in cli("queues", "demand").out.splitlines()] == [
        ["queue", "run", "could", "start", "slots", "wanted", "slots"],
        ["books", "0", "1", "1", "0"],
        ["default", "1", "1", "2", "4"],
        ["later", "0", "0", "0", "0"],
        ["all", "1", "2", "3", "4"],
    ]
    data = cli("queues", "demand", "books", "none", "--json").data
    assert data["queues"] == [
        {"name": "books", "running": 0, "ready": 1, "wanted": 1, "slots": 0},
        {"name": "none", "running": 0, "ready": 0, "wanted": 0, "slots": 0},
    ]
    assert (data["wanted"], data["slots"], data["estimate"]) == (1, 4, False)
    assert "'a b' is not a name" in cli("queues", "demand", "a b").err


# -- flows ------------------------------------------------------------------------------------------------------------
def test_flows_are_listed_newest_first_and_shown_task_by_task(cli, world):
    assert cli("flows", "list").out == "no flow has jobs\n"
    worker = world.worker()
    for _ in range(2):
        world.job("tasks:fetch", flow="import 1")
    world.job("tasks:store", flow="import 1")
    world.job(flow="import 2")
    first, second = world.claim(worker, 2)
    world.settle(worker, succeeded(first, "null"))
    world.settle(worker, failed(second, Backoff(0), '{"type": "KeyError", "message": "x"}'))
    rows = cli("flows", "list").out.splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [["import", "2"], ["import", "1"]]
    data = cli("flows", "list", "--json").data
    assert [flow["id"] for flow in data["flows"]] == ["import 2", "import 1"]
    assert data["next"] is None
    assert cli("flows", "list", "--limit", "1", "--json").data["next"] == "import 2"
    assert [flow["id"] for flow in cli("flows", "list", "--after", "import 2", "--json").data["flows"]] == ["import 1"]
    shown = cli("flows", "show", "import 1").out
    assert shown.startswith("import 1  3 jobs, 2 ended\n")
    assert "1 failed:  packhorse jobs list --flow 'import 1' --state failed" in shown
    assert shown.index("tasks:fetch") < shown.index("tasks:store")
    stages = cli("flows", "show", "import 1", "--json").data["stages"]
    assert [(stage["task"], stage["counts"]["succeeded"], stage["counts"]["failed"]) for stage in stages] == [
        ("tasks:fetch", 1, 1),
        ("tasks:store", 0, 0),
    ]


@pytest.mark.parametrize(
    "counts, seconds, ended, said, data",
    [
        ({"succeeded": 20, "failed": 10, "queued": 60}, 10, False, "so far 10 s, 3.0 a second, about 20 s left", (3.0, 20.0)),
        ({"cancelled": 3, "running": 1}, 360, False, "so far 6 m, 0.5 a minute, about 2 m left", (0.008, 120.0)),
        ({"running": 4}, 5, False, "so far 5.0 s", (None, None)),
        ({"succeeded": 30}, 10, True, "took 10 s, 3.0 a second", (3.0, None)),
    ],
)  # fmt: skip
def test_rate_and_time_left_of_a_flow(counts, seconds, ended, said, data):
    now = 1_800_000_000_000_000
    flow = FlowRecord("f", counts, now - seconds * 1_000_000, now if ended else None)
    assert flows._how_long(flow, now) == said
    told = flows._data(flow, now)
    assert (told["per_second"], told["seconds_left"], told["seconds"]) == (*data, float(seconds))


def test_a_flow_that_is_not_there(cli, world):
    ran = cli("flows", "show", "nope")
    assert ran.code == 2
    assert "no job of a flow 'nope' is stored" in ran.err


def test_jobs_of_a_flow_are_listed_counted_cancelled_and_requeued(cli, world):
    members = [world.job(flow="f") for _ in range(3)]
    other = world.job()
    assert {job["id"] for job in cli("jobs", "list", "--flow", "f", "--json").data["jobs"]} == set(members)
    assert cli("jobs", "cancel", "--flow", "f", "--dry-run").out == "3 jobs would be cancelled\n"
    assert cli("jobs", "cancel", "--flow", "f").code == 2, "it asks, and nobody is there to answer"
    assert cli("jobs", "cancel", "--flow", "f", "--yes").out == "3 jobs cancelled\n"
    assert world.store.get([other])[0].state == "queued"
    assert cli("jobs", "requeue", "--flow", "f", "--state", "cancelled", "--yes").out == "3 jobs requeued\n"
    assert cli("jobs", "delete", "--flow", "f", "--yes").out == "3 jobs deleted\n"


# -- what holds a queue up --------------------------------------------------------------------------------------------
def test_nothing_waits(cli, world):
    assert cli("queues", "why", "default").out == "default  no job\n  nothing waits in it\n"
    assert cli("queues", "why", "default", "--json").data == {"queue": "default", "counts": {}, "why": []}


def test_what_holds_all_of_it_up_comes_first(cli, world):
    world.job()
    told = cli("queues", "why", "default").out.splitlines()
    assert told[0] == "default  1 queued"
    assert told[1].startswith("  no live worker listens to queue 'default'")
    assert told[2].startswith("  1 job could run, the oldest for ")


def test_each_reason_is_told_once_with_its_number(cli, world):
    worker = world.worker(slots=4)
    world.store.set_limits({"smtp": "1"})
    holders = [world.job(holds=(("x", "disk"),)), world.job(holds=(("l", "smtp"),))]
    admit(world)
    for _ in range(3):
        world.job(holds=(("x", "disk"),))
    for _ in range(2):
        world.job(holds=(("l", "smtp"),))
    world.job(holds=(("l", "nowhere"),))
    world.job(after=tuple(holders))
    world.job(delay=300.0)
    admit(world)
    kinds = {reason["kind"]: reason for reason in cli("queues", "why", "default", "--json").data["why"]}
    assert set(kinds) == {"queued", "held", "undeclared", "after", "due"}
    told = cli("queues", "why", "default").out
    assert f"3 jobs wait for 'disk', held by job {holders[0]} (tasks:add)." in told
    assert f"2 jobs wait for 'smtp' (1 at once), held by job {holders[1]} (tasks:add)." in told
    assert "limit 'nowhere' is declared nowhere" in told
    assert f"waits for the end of job {holders[0]}" in told
    assert "1 job due later, the next at " in told
    assert "2 jobs could run, the oldest for " in told
    assert "4 slots on 1 worker, 0 run" in told
    assert told.index("3 jobs wait") < told.index("2 jobs wait for")
    assert worker


def test_retries_and_unknown_tasks(cli, world):
    worker = world.worker()
    error = '{"type": "KeyError", "message": "x"}'
    for _ in range(2):
        world.job()
        (claimed,) = world.claim(worker)
        world.settle(worker, failed(claimed, Backoff(5, base=60, jitter=False), error))
    world.job("billing:charge")
    (claimed,) = world.claim(worker)
    world.settle(worker, parked(claimed, "default"))
    told = cli("queues", "why", "default").out
    assert "2 jobs to be tried again, the next at " in told
    assert "; 2 of them after KeyError: x." in told
    assert "1 job: no live worker knows the task 'billing:charge'." in told


def test_why_of_a_job_has_facts_for_programs(cli, world):
    world.worker()
    holder = world.job(holds=(("x", "disk"),))
    waiter = world.job(holds=(("s", "disk"),))
    admit(world)
    data = cli("why", waiter, "--json").data
    assert (data["kind"], data["facts"]["holder"], data["facts"]["mode"]) == ("held", holder, "shares")
    assert data["facts"]["place"] == 1
    assert f"held by job {holder}" in cli("why", waiter).out


def test_a_job_shows_what_it_needs(cli, world):
    first = world.job()
    job = world.job(
        holds=(("l", "smtp"), ("s", "disk"), ("x", "box")),
        after=(first,),
        flow="import 1",
        unique="k",
        unique_until=60.0,
    )
    data = cli("jobs", "show", job, "--json").data
    assert (data["reserves"], data["shares"], data["limit"]) == (["box"], ["disk"], ["smtp"])
    assert (data["after"], data["flow"], data["unique"]) == ([first], "import 1", "k")
    told = cli("jobs", "show", job).out
    for words in (
        "reserves  box",
        "shares    disk",
        "limit     smtp",
        f"after     {first}",
        "flow      import 1",
        "unique    k",
    ):
        assert words in told
