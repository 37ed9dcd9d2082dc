"""A14, E83, and cancelling: time limits and cancels reach a job whatever it does, and are told apart."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from packhorse import Backoff
from tests.worker import tasks
from tests.worker.site import Site, alive, eventually
from tests.worker.watch import busy


def error_of(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.error)
    return found


def test_a_soft_limit_ends_a_sync_job(shared: Site) -> None:
    began = time.monotonic()
    job = shared.run(tasks.nap, 60, timeout=0.3)
    assert time.monotonic() - began < 20  # it would nap for 60
    assert (job.state, error_of(job)["type"], error_of(job)["code"]) == ("failed", "TimeLimit", "E150")
    assert "0.3 s" in error_of(job)["message"]
    assert "nap" in error_of(job)["traceback"]


def test_the_limit_of_the_task_holds_where_none_is_given(shared: Site) -> None:
    assert error_of(shared.run(tasks.limited))["type"] == "TimeLimit"


def test_a_soft_limit_ends_an_async_job(shared: Site) -> None:
    job = shared.run(tasks.async_nap, 60, timeout=0.3)
    assert (job.state, error_of(job)["type"]) == ("failed", "TimeLimit")


def test_a_job_may_answer_its_limit_with_a_result(shared: Site) -> None:
    job = shared.run(tasks.catches_limit, timeout=0.3)
    assert (job.state, job.result) == ("succeeded", '"stopped: timeout"')


def test_a_job_may_answer_its_limit_with_a_retry(shared: Site) -> None:
    job = shared.run(tasks.retries_at_limit, "retried-at-limit", timeout=0.3, retry=1)
    assert (job.state, job.result, job.failures) == ("succeeded", '"done"', 1)


def test_a_time_limit_is_retried_as_the_policy_says(shared: Site) -> None:
    job = shared.run(tasks.nap, 60, timeout=0.2, retry=Backoff(1, base=0.01))
    assert (job.state, job.failures) == ("failed", 2)
    assert [a.outcome for a in shared.attempts(job)] == ["retry", "failed"]


def test_a_job_that_hears_nothing_in_c_is_killed(shared: Site) -> None:
    """A14: blocked in C with every signal blocked; its child is killed 5 s after the limit, and nothing else."""
    began = time.monotonic()
    job = shared.run(tasks.hang_in_c, timeout=0.3)
    assert 5 < time.monotonic() - began < 20
    assert (job.state, error_of(job)["type"]) == ("failed", "TimeLimit")
    assert not alive(int(shared.marked("hangs")))
    assert job.crashes == 0
    assert shared.run(tasks.add, 2, 2).result == "4"


def test_a_cancel_ends_a_sync_job(shared: Site) -> None:
    job = shared.enqueue(tasks.finally_cleans_up, "sync")
    shared.marked("sync-runs")
    job.cancel("not needed any more")
    record = shared.end(job)
    assert (record.state, record.reason) == ("cancelled", "not needed any more")
    shared.marked("sync-cleaned")


def test_a_cancel_ends_an_async_job(shared: Site) -> None:
    job = shared.enqueue(tasks.async_forever, "async")
    shared.marked("async-runs")
    job.cancel()
    assert shared.end(job).state == "cancelled"


def test_a_cancel_reaches_a_job_that_looks_for_it(shared: Site) -> None:
    job = shared.enqueue(tasks.looks_at_should_stop)
    shared.marked("looking")
    job.cancel()
    record = shared.end(job)
    # It ended with a result although it was asked to stop: that is a success, and the cancel came too late.
    assert (record.state, record.result) in (("succeeded", '"interrupted"'), ("succeeded", '"told"'))


def test_a_cancel_and_an_end_at_the_same_moment_have_one_winner(shared: Site) -> None:
    """E85: whatever comes first, there is one outcome, and who cancelled is told which."""
    jobs = [shared.enqueue(tasks.nap, 0.002 * n) for n in range(40)]
    asked = [job.cancel() for job in jobs]
    assert len(asked) == len(jobs)
    for job in jobs:
        record = shared.end(job)
        outcomes = [attempt.outcome for attempt in shared.attempts(job)]
        if record.state == "succeeded":
            assert outcomes == ["succeeded"]
            assert record.result == '"rested"'
        else:
            assert record.state == "cancelled"
            assert outcomes in ([], ["cancelled"])
            assert record.result is None


def test_a_cancelled_job_that_fails_is_not_retried(shared: Site) -> None:
    job = shared.enqueue(tasks.held_then_fails, "fails", retry=5)
    shared.marked("fails-runs")
    job.cancel()
    assert shared.end(job).state == "cancelled"


def test_cancelling_itself_is_not_being_cancelled(shared: Site) -> None:
    """E83"""
    for name in (tasks.cancels_itself, tasks.raises_cancelled):
        job = shared.run(name)
        assert (job.state, error_of(job)["message"]) == ("failed", "cancelled itself: nobody had cancelled the job")


def test_the_job_itself_may_ask_for_its_end(shared: Site) -> None:
    job = shared.run(tasks.gives_up)
    assert (job.state, job.reason) == ("cancelled", "nothing to do")


def test_a_snooze_counts_as_nothing(shared: Site) -> None:
    job = shared.run(tasks.snooze_once, "snoozed")
    assert (job.state, job.result, job.snoozes, job.failures) == ("succeeded", '"awake"', 1, 0)
    assert [a.outcome for a in shared.attempts(job)] == ["snoozed", "succeeded"]


@pytest.mark.parametrize("slots", ["--threads", "--coroutines"])
def test_limits_and_cancels_reach_jobs_beside_others(site: Site, slots: str) -> None:
    """One is stopped, its neighbours go on: on threads and on a loop."""
    site.worker(slots, "3").ready()
    fn: Any = tasks.held if slots == "--threads" else tasks.async_held
    other = site.enqueue(fn, "neighbour")
    nap: Any = tasks.nap if slots == "--threads" else tasks.async_nap
    limited = site.enqueue(nap, 60, timeout=0.3)
    cancelled = site.enqueue(nap, 60, "cancel-me")
    pid = site.marked("cancel-me")
    assert error_of(site.end(limited))["type"] == "TimeLimit"
    cancelled.cancel()
    assert site.end(cancelled).state == "cancelled"
    site.let("neighbour-may-end")
    record = site.end(other)
    assert (record.state, record.result) == ("succeeded", pid.strip())
    assert len(site.attempts(other)) == 1


def test_a_coroutine_that_blocks_the_loop_is_killed_and_its_neighbours_released(site: Site) -> None:
    """E83: soft limit in vain, hard limit 5 s later; the neighbour runs again, uncounted, and its record names the culprit."""
    site.worker("--coroutines", "2").ready()
    other = site.enqueue(tasks.async_held, "neighbour")
    site.marked("neighbour-runs")
    blocking = site.enqueue(tasks.blocks_the_loop, timeout=0.3)
    site.marked("blocking")
    site.let("neighbour-may-end")
    assert error_of(site.end(blocking))["type"] == "TimeLimit"
    record = site.end(other)
    assert (record.state, record.crashes, record.losses, record.failures) == ("succeeded", 0, 0, 0)
    assert blocking.id in (site.attempts(other)[0].reason or "")


def test_a_job_that_waits_for_the_store_is_stopped_in_time(site: Site) -> None:
    """Limits hold while the store does not answer: they are the supervisor's, and it never waits for the store."""
    worker = site.worker().ready()
    job = site.enqueue(tasks.finally_cleans_up, "locked", timeout=1)
    site.marked("locked-runs")
    with locked(site):
        site.marked("locked-cleaned", busy(4.0))
    assert site.end(job).state == "failed"
    assert worker.process.poll() is None


class locked:  # noqa: N801 - reads like a word
    """Hold the write lock of the store."""

    def __init__(self, site: Site) -> None:
        import sqlite3

        self._db = sqlite3.connect(site.directory / "jobs.db", isolation_level=None, timeout=20)

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, *error: object) -> None:
        self._db.execute("ROLLBACK")
        self._db.close()


def test_a_job_can_be_killed_that_swallows_its_interruption(shared: Site) -> None:
    job = shared.enqueue(tasks.ignores_limit)
    pid = int(shared.marked("ignoring"))
    job.cancel()
    record = shared.end(job)
    assert record.state == "cancelled"
    eventually(lambda: not alive(pid), "its process is gone")
