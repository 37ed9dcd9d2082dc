"""B25 to B28: how a worker stops, whatever its jobs and its store do."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.worker import tasks
from tests.worker.site import Site, Worker, alive, eventually
from tests.worker.test_limits import locked
from tests.worker.watch import busy, running_time


def test_running_jobs_may_end_within_the_grace(site: Site) -> None:
    """B25"""
    worker = site.worker().ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    later = site.enqueue(tasks.add, 1, 2)
    worker.signal(signal.SIGTERM)
    worker.until("stopping: 1 job in hand")
    site.let("job-may-end")
    assert worker.ended() == 0
    assert site.job(job).state == "succeeded"
    assert site.job(later).state == "queued"
    assert site.store.workers(dead=True) == []


@pytest.mark.parametrize("how", ["grace", "twice"])
def test_jobs_that_do_not_end_are_released_uncounted(site: Site, how: str) -> None:
    """B25, B26: interrupted, killed 5 s later, and put back; attempts unchanged; exit 0."""
    worker = site.worker("--grace", "0.2s" if how == "grace" else "60s", "--processes", "2").ready()
    polite = site.enqueue(tasks.finally_cleans_up, "polite")
    stubborn = site.enqueue(tasks.ignores_limit)
    site.marked("polite-runs")
    site.marked("ignoring")
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    if how == "twice":
        worker.until("stopping")
        worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert time.monotonic() - began < 20
    site.marked("polite-cleaned")
    for job in (polite, stubborn):
        record = site.job(job)
        assert (record.state, record.failures, record.crashes, record.losses) == ("queued", 0, 0, 0)
        assert record.reason == "stopped by shutdown"
        assert [(a.outcome, a.reason) for a in site.attempts(job)] == [("released", "stopped by shutdown")]


def test_what_must_not_run_twice_fails_when_it_is_stopped(site: Site) -> None:
    worker = site.worker("--grace", "0.1s").ready()
    job = site.enqueue(tasks.finally_cleans_up, "once", on_crash="fail")
    site.marked("once-runs")
    assert worker.stop() == 0
    record = site.job(job)
    assert (record.state, record.reason) == ("failed", "stopped by shutdown")


def test_a_signal_to_the_whole_group_stops_it_in_peace(site: Site) -> None:
    """B26: what a terminal's Ctrl-C or a service manager sends to all; children leave stopping to their supervisor."""
    worker = site.worker("--processes", "2").ready()
    children = site.full(2)  # one that is about to start has no handlers yet
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    for pid in [*children, worker.pid]:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT) if pid in children else None
    worker.until("stopping")
    assert all(alive(pid) for pid in children)
    site.let("job-may-end")
    assert worker.ended() == 0
    assert site.job(job).state == "succeeded"


def test_without_a_limit_it_waits(site: Site) -> None:
    """``--grace none``"""
    worker = site.worker("--grace", "none").ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    worker.signal(signal.SIGTERM)
    worker.until("stopping")
    site.let("job-may-end")
    assert worker.ended() == 0
    assert site.job(job).state == "succeeded"


def test_an_idle_worker_stops_at_once(site: Site) -> None:
    worker = site.worker("--processes", "2").ready()
    site.full(2)
    began = running_time()
    assert worker.stop() == 0
    assert running_time() - began < busy(2)
    assert list((site.directory).glob("**/*.lock")) == []


def test_jobs_that_wait_in_a_child_go_back_at_once(site: Site) -> None:
    """B25: only what runs is waited for."""
    worker = site.worker().ready()
    for job in [site.enqueue(tasks.nothing) for _ in range(30)]:
        site.end(job)
    blocker = site.enqueue(tasks.held, "blocker")
    waiting = site.queue.enqueue_many([site.queue.draft(tasks.nothing) for _ in range(20)])
    site.marked("blocker-runs")
    worker.signal(signal.SIGTERM)
    worker.until("stopping")
    for job in waiting:
        site.state(job, "queued")
        assert site.attempts(job) == []
    site.let("blocker-may-end")
    assert worker.ended() == 0
    assert site.job(blocker).state == "succeeded"


def test_sigquit_shows_where_everybody_is(site: Site) -> None:
    worker = site.worker().ready()
    site.enqueue(tasks.nap, 60, "napping")
    site.marked("napping")
    worker.signal(signal.SIGQUIT)
    assert worker.ended() == 70
    assert "in _pause" in worker.output or "in run" in worker.output
    assert "tests/worker/tasks.py" in worker.output
    assert "in nap" in worker.output


def stop_while_locked(site: Site, worker: Worker, job: Any) -> None:
    site.marked("job-runs")
    with locked(site):
        site.let("job-may-end")
        worker.signal(signal.SIGTERM)
        began = time.monotonic()
        assert worker.ended() == 69
        assert time.monotonic() - began < 15
    assert f"the store did not answer; left to the rescue: {job.id}" in worker.output


def test_a_store_that_does_not_answer_cannot_hold_up_the_end(site: Site) -> None:
    """B28: bounded, exit 69, and the jobs left to the rescue are named. They run again, and say why."""
    worker = site.worker("--grace", "1s").ready()
    job = site.enqueue(tasks.held, "job")
    stop_while_locked(site, worker, job)
    site.worker().ready()
    record = site.end(job)
    assert record.state == "succeeded"
    assert len(site.attempts(job)) == 2
    assert site.attempts(job)[0].reason


def test_a_burst_ends_when_nothing_is_left_that_could_run_now(site: Site) -> None:
    jobs = [site.enqueue(tasks.add, n, n) for n in range(20)]
    later = site.enqueue(tasks.add, 1, 2, delay="1h")
    worker = site.worker("--burst", "--processes", "2")
    assert worker.ended() == 0
    assert {site.job(job).state for job in jobs} == {"succeeded"}
    assert site.job(later).state == "scheduled"


def test_a_burst_over_nothing_ends_too(site: Site) -> None:
    assert site.worker("--burst").ended() == 0


def test_a_burst_runs_what_its_jobs_enqueue(site: Site) -> None:
    job = site.enqueue(tasks.enqueues)
    assert site.worker("--burst").ended() == 0
    child = site.job(str(site.job(job).result).strip('"'))
    assert (child.state, child.parent) == ("succeeded", job.id)


def test_a_stop_kills_what_jobs_have_left_running(site: Site) -> None:
    worker = site.worker().ready()
    pid = int(site.run(tasks.daemon, "left").result or "")
    assert worker.stop() == 0
    eventually(lambda: not alive(pid), "the daemon is gone")
