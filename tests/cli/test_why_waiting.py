"""Why a job waits: every kind of obstacle, in words and as facts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse._outcome import parked
from packhorse._record import WorkerRecord
from packhorse._stores import open_store

from .conftest import World
from .test_why import NOON, SECOND, Clock, at, why


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[World]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url, clock=clock)
    yield World(store)
    store.close()


def admit(world: World) -> None:
    while world.store.admit().more:
        pass


def running(world: World, worker: WorkerRecord, job: str) -> None:
    """Let a job go and run."""
    admit(world)
    assert [each.id for each in world.claim(worker)] == [job]


def test_a_parent_that_waits_or_runs(world, clock):
    worker = world.worker()
    first, second = world.job(), world.job()
    job = world.job(after=(first, second))
    answer = why(world, job)
    assert answer.text == f"waits for the end of job {first} (tasks:add), which is queued, and 1 more job."
    assert (answer.kind, answer.facts) == (
        "after", {"after": first, "task": "tasks:add", "state": "queued", "unended": 2}
    )  # fmt: skip
    world.succeed(worker)
    running(world, worker, second)
    clock.now += 5 * SECOND
    assert why(world, job).text == f"waits for the end of job {second} (tasks:add), which is running."


def test_a_parent_that_fails(world):
    worker = world.worker()
    first = world.job()
    job = world.job(after=(first,))
    world.fail(worker)
    admit(world)
    assert why(world, job).text.startswith("cancelled at ")
    assert f"parent tasks:add {first} failed" in why(world, job).text


def test_a_flow(world):
    world.worker()
    job = world.job(after_flow="import 7")
    world.job(flow="import 7")
    assert why(world, job).text == "waits for the flow 'import 7', of which 1 job has not ended."
    world.job(flow="import 7")
    answer = why(world, job)
    assert answer.text == "waits for the flow 'import 7', of which 2 jobs have not ended."
    assert (answer.kind, answer.facts) == ("flow", {"flow": "import 7", "unended": 2})


def test_a_pause_and_a_queue_nobody_serves(world):
    job = world.job(holds=(("x", "book"),))
    assert (
        why(world, job).text == "no live worker listens to queue 'default'; to start one:  packhorse worker -q default"
    )
    world.worker()
    world.store.pause("default", by="ada@a1", reason="stocktaking")
    answer = why(world, job)
    assert answer.kind == "paused"
    assert answer.text.startswith(f"queue 'default' is paused by ada@a1 since {at(NOON)}: stocktaking")


def test_nothing_any_more(world):
    world.worker()
    job = world.job(holds=(("x", "book"),))
    answer = why(world, job)
    assert (answer.kind, answer.text) == (
        "admission", "nothing is in its way any more: a worker lets it go with its next look."
    )  # fmt: skip
    admit(world)
    assert why(world, job).kind == "ahead"


def test_a_name_that_is_held(world, clock):
    worker = world.worker()
    holder = world.job(holds=(("x", "book"),))
    running(world, worker, holder)
    shares, reserves, behind = (world.job(holds=((mode, "book"),)) for mode in ("s", "x", "s"))
    admit(world)
    answer = why(world, shares)
    assert answer.text == f"waits for 'book', held by job {holder} (tasks:add), place 1 in the line."
    assert answer.facts == {
        "name": "book", "mode": "shares", "holder": holder, "task": "tasks:add", "since": None, "place": 1, "held": 1,
        "holders": [{"id": holder, "task": "tasks:add", "state": "running"}],
    }  # fmt: skip
    assert why(world, reserves).text.endswith("place 2 in the line.")
    assert why(world, reserves).facts["mode"] == "reserves"
    assert why(world, behind).text.endswith("place 2 in the line.")


def test_who_waits_before_is_named_when_nobody_has_it(world):
    worker = world.worker()
    world.worker("web-2", queues='[["other"]]')
    holder = world.job(holds=(("x", "a"),))
    running(world, worker, holder)
    first = world.job(holds=(("x", "a"), ("x", "book")))
    second = world.job(holds=(("x", "book"),))
    admit(world)
    answer = why(world, second)
    assert answer.text == f"waits for 'book' behind job {first} (tasks:add), which waits too, place 2 in the line."


def test_since_when_it_is_held(world, clock):
    worker = world.worker()
    holder = world.job(holds=(("x", "book"),))
    admit(world)
    (claimed,) = world.claim(worker)
    from packhorse._record import Report

    world.store.report(worker.id, [Report(claimed.id, claimed.token, started=0.0)])
    clock.now += 90 * SECOND
    job = world.job(holds=(("x", "book"),))
    admit(world)
    answer = why(world, job)
    assert f"held by job {holder} (tasks:add) since {at(NOON)} (1 m 30 s), place 1" in answer.text
    waits = world.job(after=(holder,))
    assert why(world, waits).text.endswith(f"which runs since {at(NOON)} (1 m 30 s).")


def test_a_limit_that_is_full_or_declared_nowhere(world):
    worker = world.worker()
    jobs = [world.job(holds=(("l", "smtp"),)) for _ in range(3)]
    answer = why(world, jobs[0])
    assert answer.text == "limit 'smtp' is declared nowhere; to declare it:  packhorse queues limit smtp 4"
    assert (answer.kind, answer.facts) == ("undeclared", {"limit": "smtp"})
    world.store.set_limits({"smt*": "1"})
    running(world, worker, jobs[0])
    answer = why(world, jobs[1])
    assert answer.text == (f"limit 'smtp' is full: 1 of 1, held by job {jobs[0]} (tasks:add), place 1 in the line.")
    assert (answer.facts["limit"], answer.facts["mode"]) == ("1", "limit")


def named(*jobs: str) -> str:
    return ", ".join(f"{job} (tasks:add)" for job in jobs)


def test_up_to_three_holders_are_named(world, clock):
    worker = world.worker()
    world.store.set_limits({"smtp": "4"})
    jobs = [world.job(holds=(("l", "smtp"),)) for _ in range(7)]
    admit(world)
    assert [each.id for each in world.claim(worker, 4)] == jobs[:4]
    answer = why(world, jobs[5])
    assert answer.text == (
        f"limit 'smtp' is full: 4 of 4, held by jobs {named(*jobs[:3])} and 1 more, place 2 in the line."
    )
    assert (answer.facts["held"], [job["id"] for job in answer.facts["holders"]]) == (4, jobs[:4])
    world.store.set_limits({"smtp": "2"})
    assert why(world, jobs[5]).text.startswith("limit 'smtp' is full: 4 of 2, held by jobs ")


def test_all_who_share_keep_out_one_who_reserves(world, clock):
    worker = world.worker()
    sharers = [world.job(holds=(("s", "book"),)) for _ in range(25)]
    admit(world)
    world.claim(worker, 25)
    job = world.job(holds=(("x", "book"),))
    admit(world)
    answer = why(world, job)
    assert answer.text == f"waits for 'book', held by jobs {named(*sharers[:3])} and 22 more, place 1 in the line."
    assert (answer.facts["held"], [job["id"] for job in answer.facts["holders"]]) == (25, sharers[:20])


def test_two_holders(world, clock):
    worker = world.worker()
    first, second = (world.job(holds=(("s", "book"),)) for _ in range(2))
    admit(world)
    job = world.job(holds=(("x", "book"),))
    admit(world)
    assert why(world, job).text == (
        f"waits for 'book', held by jobs {named(first)} and {named(second)}, the first is queued and starts soon, "
        "place 1 in the line."
    )
    from packhorse._record import Report

    claimed = world.claim(worker, 2)
    world.store.report(worker.id, [Report(each.id, each.token, started=0.0) for each in claimed])
    clock.now += 90 * SECOND
    assert f"and {named(second)}, the first since {at(NOON)} (1 m 30 s), place 1" in why(world, job).text


def test_the_rest_of_a_limit_is_for_those_before(world):
    worker = world.worker()
    world.worker("web-2", queues='[["other"]]')
    world.store.set_limits({"smtp": "2"})
    blocker = world.job(holds=(("x", "a"),))
    one = world.job(holds=(("l", "smtp"),))
    admit(world)
    world.claim(worker, 2)
    before = world.job(holds=(("l", "smtp"), ("x", "a")))
    job = world.job(holds=(("l", "smtp"),))
    admit(world)
    assert why(world, before).facts["holder"] == blocker
    assert why(world, job).text == (
        f"limit 'smtp' is full: 1 of 2, held by job {named(one)}; one before it in the line, place 2 in the line."
    )


def test_who_reserves_keeps_out_who_counts(world):
    worker = world.worker()
    world.store.set_limits({"book": "2"})
    reserves = world.job(holds=(("x", "book"),))
    running(world, worker, reserves)
    job = world.job(holds=(("l", "book"),))
    admit(world)
    assert why(world, job).text == f"waits for 'book', held by job {named(reserves)}, place 1 in the line."


def test_a_rate(world):
    worker = world.worker()
    world.store.set_limits({"api": "1/1m"})
    first, second = (world.job(holds=(("l", "api"),)) for _ in range(2))
    running(world, worker, first)
    answer = why(world, second)
    assert answer.text == f"limit 'api' (1/1m) lets the next job go at {at(NOON + 60 * SECOND)} (in 1 m)."
    assert answer.kind == "rate"
    assert (answer.facts["limit"], answer.facts["rate"]) == ("api", "1/1m")


def test_a_task_nobody_knows_is_another_matter(world):
    worker = world.worker(tasks=())
    job = world.job(holds=(("x", "book"),))
    admit(world)
    (claimed,) = world.claim(worker)
    world.settle(worker, parked(claimed, "default"))
    answer = why(world, job)
    assert answer.kind == "unknown-task"
    assert "knows the task 'tasks:add'" in answer.text
