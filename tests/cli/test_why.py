"""Why a job is where it is: every kind of answer, on every store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse import _outcome, _runtime, _settings
from packhorse._backoff import Backoff
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._when import local, rfc3339
from packhorse._why import Why, explain

from .conftest import World

SECOND = 1_000_000
NOON = 1_795_000_000 * SECOND
ERROR = json.dumps({"type": "KeyError", "message": "'updated'\nmore"})


class Clock:
    now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[World]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url, clock=clock)
    yield World(store)
    store.close()


def why(world: World, job: str) -> Why:
    (record,) = world.store.get([job])
    answer = explain(world.store, record)
    assert json.dumps(answer.facts)
    return answer


def at(moment: int) -> str:
    return local(moment).strftime("%H:%M:%S")


def test_due_in_the_future(world):
    world.worker()
    job = world.job(delay=300.0)
    assert str(why(world, job)) == f"due at {at(NOON + 300 * SECOND)} (in 5 m)."


def test_due_on_another_day_has_the_date(world):
    world.worker()
    job = world.job(delay=2 * 86400.0)
    assert local(NOON + 2 * 86400 * SECOND).strftime("due at %Y-%m-%d %H:%M:%S (in 2 d).") == why(world, job).text


def test_due_says_beforehand_what_will_stand_in_the_way(world):
    job = world.job(delay=300.0)
    but = "; but no live worker listens to queue 'default'; to start one:  packhorse worker -q default."
    assert why(world, job).text.endswith(but)


def test_due_and_nobody_there(world, clock):
    job = world.job(delay=300.0)
    clock.now += 400 * SECOND
    assert why(world, job).kind == "no-worker"


def test_retry_after_an_error(world):
    job = world.job()
    worker = world.worker()
    (claimed,) = world.claim(worker)
    world.settle(worker, _outcome.failed(claimed, Backoff(5, base=40, jitter=False), ERROR))
    assert (
        why(world, job).text
        == f"retry due at {at(NOON + 40 * SECOND)} (in 40 s), after attempt 1: KeyError: 'updated'."
    )
    assert why(world, job).kind == "retry"


def test_snoozed(world):
    job = world.job()
    worker = world.worker()
    (claimed,) = world.claim(worker)
    world.settle(worker, _outcome.snoozed(claimed, 60, "the feed is not ready"))
    assert (
        why(world, job).text
        == f"due at {at(NOON + 60 * SECOND)} (in 1 m); it put itself off (once): the feed is not ready."
    )


def test_paused(world, clock):
    world.worker()
    job = world.job(queue="mail")
    world.store.pause("mail", by="bob@web-1", reason="full disk")
    clock.now += 60 * SECOND
    assert why(world, job).text == (
        f"queue 'mail' is paused by bob@web-1 since {at(NOON)}: full disk; to go on:  packhorse queues resume mail"
    )


def test_no_worker_at_all(world):
    job = world.job(queue="mail")
    assert why(world, job).text == "no live worker listens to queue 'mail'; to start one:  packhorse worker -q mail"


def test_no_worker_but_one_on_a_queue_of_a_like_name(world):
    world.worker(queues='[["default"], ["mail"]]')
    job = world.job(queue="defautl")
    assert why(world, job).text == (
        "no live worker listens to queue 'defautl'; did you mean 'default'? "
        "To move its jobs there:  packhorse jobs edit queue:defautl --queue default"
    )
    assert why(world, job).facts["did_you_mean"] == "default"


def test_no_worker_but_some_elsewhere(world):
    world.worker(queues='[["default", "mail"]]')
    job = world.job(queue="big")
    assert "no live worker listens to queue 'big' (they listen to default, mail); to start" in why(world, job).text


MOVE = "to let its jobs run elsewhere:  packhorse jobs edit queue:host.web-2 --queue"


def test_the_queue_of_a_host_that_is_gone(world, clock):
    job = world.job(queue="host.web-2")
    start = "no live worker listens to queue 'host.web-2': it is that of host 'web-2', "
    assert why(world, job).text == f"{start}of which nothing is known; {MOVE} host.OTHER"
    worker = world.worker("two", host="web-2.example.org", queues='[["host.web-2"]]')
    world.worker("three", host="web-3", queues='[["host.web-3", "mail"]]')
    assert why(world, job).kind == "ahead"
    clock.now += 120 * SECOND
    world.worker("four", host="web-4", queues='[["host.web-4", "mail"]]')
    answer = why(world, job)
    assert answer.text == f"{start}last heard of 2 m ago; {MOVE} host.web-4"
    assert (answer.kind, answer.facts["host"], answer.facts["host_seen_at"], answer.facts["host_queues"]) == (
        "no-worker", "web-2", rfc3339(NOON), ["host.web-4"]
    )  # fmt: skip
    assert world.store.condemn(worker.id, 0)
    assert why(world, job).text == answer.text


def test_the_queue_of_a_host_whose_workers_do_not_serve_it(world):
    world.worker("two", host="web-2", queues='[["mail"]]')
    answer = why(world, world.job(queue="host.web-2"))
    assert answer.text == (
        "no live worker listens to queue 'host.web-2': it is that of host 'web-2', whose workers do not; "
        "to start one there:  packhorse worker -q 'host.%h'"
    )


def test_the_queue_of_a_host_with_a_prefix_of_its_own(world, clock):
    worker = world.worker("two", host="web-2", queues='[["disk:web-2"]]')
    job = world.job(queue="disk:web-2")
    assert world.store.condemn(worker.id, 0)
    assert "it is that of host 'web-2', last heard of" in why(world, job).text
    assert why(world, world.job(queue="disk:web-9")).text.endswith("packhorse worker -q disk:web-9")


@pytest.mark.parametrize("how", ["stopping", "silent", "dead"])
def test_worker_that_takes_nothing_does_not_count(world, clock, how):
    worker = world.worker()
    job = world.job()
    assert why(world, job).kind == "ahead"
    if how == "stopping":
        world.store.stopping(worker.id)
    elif how == "dead":
        assert world.store.condemn(worker.id, world.store.workers()[0].beats)
    else:
        clock.now += 61 * SECOND
    assert why(world, job).kind == "no-worker"


def park(world: World, job_task: str = "billing.tasks:charge", **more) -> str:
    job = world.job(job_task)
    worker = world.worker("old", **more)
    (claimed,) = world.claim(worker)
    world.settle(worker, _outcome.parked(claimed, "default"))
    return job


def test_unknown_task(world):
    job = park(world, tasks=())
    assert why(world, job).text == (
        "no live worker on queue 'default' knows the task 'billing.tasks:charge'; "
        "start one with  packhorse worker billing.tasks  or deploy it, and the job runs by itself."
    )


def test_unknown_task_that_a_worker_of_another_queue_knows(world):
    job = park(world, tasks=())
    world.worker("web-2", tasks=("billing.tasks:charge",), queues='[["mail"]]')
    assert why(world, job).text.endswith("; worker web-2 (build 9f2c) does, but does not listen to this queue.")


def test_unknown_task_that_a_dead_worker_knew(world, clock):
    job = park(world, tasks=())
    worker = world.worker("web-2", tasks=("billing.tasks:charge",))
    assert world.store.condemn(worker.id, 0)
    clock.now += 30 * SECOND
    assert why(world, job).text.endswith("; worker web-2 (build 9f2c) did and is gone, last heard of 30 s ago.")


def test_unknown_task_that_a_worker_knows_now(world):
    job = park(world, tasks=())
    world.worker("web-2", tasks=("billing.tasks:charge",))
    assert why(world, job).text == (
        "worker web-2 (build 9f2c) knows the task 'billing.tasks:charge' and takes the job with its next beat."
    )


def test_unknown_task_of_a_like_name(world):
    job = park(world, "tasks:adds")
    assert why(world, job).text.endswith("knows the task 'tasks:adds' (they know 'tasks:add').")


def test_next_in_line(world):
    world.worker(slots=4)
    job = world.job()
    assert why(world, job).text == "next in queue 'default': it starts when a slot is free (4 slots on 1 worker)."


def test_how_many_are_ahead_and_how_fast_they_go(world, clock):
    worker = world.worker()
    for _ in range(10):
        world.job()
    for _ in range(5):
        clock.now += 2 * SECOND
        world.succeed(worker)
    job = world.job()
    answer = why(world, job)
    # Five ended, the first of them 8 s ago.
    assert answer.text == "5 ahead of it in queue 'default', about 8.0 s at 37.5 a minute."
    assert (answer.kind, answer.facts["ahead"]) == ("ahead", 5)


def test_ahead_without_a_recent_end(world):
    world.worker()
    world.job()
    job = world.job()
    assert why(world, job).text == "1 ahead of it in queue 'default'; none has ended there in the last 15 minutes."


def test_claimed_and_running(world, clock):
    worker = world.worker()
    job = world.job()
    (claimed,) = world.claim(worker)
    place = "on worker web-1 (pid 812 on a1), attempt 1"
    assert why(world, job).text == f"claimed {place}; it starts as soon as its slot is free."
    bars = json.dumps(
        {"": {"done": 40, "total": 100, "note": "page 12"}, "download": {"done": 0.5, "total": 1.0, "note": ""}}
    )
    world.store.report(worker.id, [report(claimed, started=0.0, progress=bars)])
    clock.now += 13 * SECOND
    assert why(world, job).text == f"running since {at(NOON)} (13 s) {place}; 40/100 page 12, download 50 %."


def report(claimed, **news):
    from packhorse._record import Report

    return Report(claimed.id, claimed.token, **news)


def test_running_over_its_limit_with_a_cancel_on_a_silent_worker(world, clock):
    worker = world.worker()
    job = world.job(options='{"timeout": 30}')
    (claimed,) = world.claim(worker)
    world.store.report(worker.id, [report(claimed, started=0.0)])
    clock.now += 100 * SECOND
    world.store.cancel(JobFilter(ids=(job,)), by="bob", reason="no")
    clock.now += 5 * SECOND
    text = why(world, job).text
    assert "; 1 m 15 s over its time limit of 30 s, being stopped" in text
    assert "; cancel asked for by bob 5.0 s ago; but its worker was last heard of 1 m 45 s ago." in text


def test_limit_of_the_task_is_read_from_the_catalogue(world, clock):
    worker = world.worker(catalogue=json.dumps({"tasks": {"tasks:add": {"timeout": 10}}}))
    job = world.job()
    (claimed,) = world.claim(worker)
    world.store.report(worker.id, [report(claimed, started=0.0)])
    clock.now += 15 * SECOND
    assert "; 5.0 s over its time limit of 10 s, being stopped." in why(world, job).text


def test_worker_is_gone(world):
    worker = world.worker()
    job = world.job()
    world.claim(worker)
    world.store.condemn(worker.id, 0)
    assert why(world, job).text == (
        "its worker web-1 is gone; the next live worker takes it back and runs it again (attempt 1)."
    )


def test_worker_is_gone_and_may_still_have_what_the_job_reserves(world):
    worker = world.worker()
    jobs = [world.job(holds=((mode, name),)) for mode, name in (("x", "disk"), ("s", "box"))]
    world.store.admit()
    world.claim(worker, 2)
    world.store.condemn(worker.id, 0)
    reserving, sharing = (why(world, job).text for job in jobs)
    assert (
        "it reserves something, so once that worker must have stopped it (about two minutes) the next live" in reserving
    )
    assert "reserves" not in sharing
    world.store.condemn(worker.id, 0, True)
    assert "reserves" not in why(world, jobs[0]).text


# -- ended ------------------------------------------------------------------------------------------------------------
def test_succeeded(world):
    job = world.job()
    world.succeed(world.worker())
    assert why(world, job).text == f"succeeded: it returned after 1.5 s at {at(NOON)}."


def test_succeeded_with_a_result_that_was_dropped(world):
    job = world.job()
    worker = world.worker()
    (claimed,) = world.claim(worker)
    world.settle(worker, _outcome.succeeded(claimed, None, reason="its result (generator) was dropped  [E122]"))
    assert why(world, job).text.endswith("; its result (generator) was dropped  [E122].")


def test_failed_after_some_attempts(world, clock):
    job = world.job()
    worker = world.worker()
    for retries in (1, 1):
        (claimed,) = world.claim(worker)
        world.settle(worker, _outcome.failed(claimed, Backoff(retries, base=1, jitter=False), ERROR))
        clock.now += 10 * SECOND
        world.store.promote()
    assert why(world, job).text == f"failed after 2 attempts at {at(NOON + 10 * SECOND)}: KeyError: 'updated'."
    assert why(world, job).facts["error"] == "KeyError: 'updated'"


def test_poison(world):
    job = world.job()
    worker = world.worker()
    (claimed,) = world.claim(worker)
    world.settle(worker, _outcome.crashed(claimed._replace(crashes=2), ERROR, "killed by SIGSEGV"))
    answer = why(world, job)
    assert answer.kind == "poison"
    assert answer.text == f"failed at {at(NOON)}; poison: crashed 3×, last killed by SIGSEGV in tasks:add."


def test_cancelled(world):
    job = world.job()
    world.store.cancel(JobFilter(ids=(job,)), by="bob@web-1", reason="not wanted")
    assert why(world, job).text == f"cancelled by bob@web-1 at {at(NOON)}: not wanted."


def test_cancelled_by_itself(world):
    job = world.job()
    worker = world.worker()
    (claimed,) = world.claim(worker)
    world.settle(worker, _outcome.cancelled(claimed, "feed not changed"))
    assert why(world, job).text == f"cancelled at {at(NOON)}: feed not changed."


def test_expired(world, clock):
    job = world.job(expires=60.0)
    clock.now += 61 * SECOND
    assert world.store.expire() == [job]
    answer = why(world, job)
    assert answer.kind == "expired"
    assert answer.text == f"cancelled: expired, it had not started by {at(NOON + 60 * SECOND)}."


def test_asking_changes_nothing(world):
    job = world.job()
    world.worker()
    before = world.store.get([job])
    why(world, job)
    assert world.store.get([job]) == before


def test_record_that_is_damaged_is_still_explained(world):
    world.worker()
    job = world.job()
    (record,) = world.store.get([job])
    broken = record._replace(state="failed", error="not json", finished_at=NOON, failures=1)
    assert explain(world.store, broken).text == f"failed after 1 attempt at {at(NOON)}: not json."


def test_handle_gives_the_same_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PACKHORSE_URL", f"sqlite:///{tmp_path}/jobs.db")
    from packhorse._queue import Queue

    job = Queue("mail").enqueue("elsewhere:thing")
    store: Store = _runtime.open_store(_settings.resolve())
    (record,) = store.get([job.id])
    assert job.why() == explain(store, record).text
    store.close()
    _runtime.forget()
