"""Slots: processes, threads and coroutines really run side by side; what kills a child is told from what was beside it."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.worker import tasks
from tests.worker.site import Site, eventually

KINDS = {
    "processes": (["--processes", "3"], tasks.held, 3),
    "threads": (["--threads", "3"], tasks.held, 1),
    "coroutines": (["--coroutines", "3"], tasks.async_held, 1),
}


def running(site: Site, names: list[str]) -> list[int]:
    return [int(site.marked(f"{name}-runs")) for name in names]


@pytest.mark.parametrize("kind", list(KINDS))
def test_slots_run_side_by_side(site: Site, kind: str) -> None:
    """Three jobs that each wait for a word run at the same time, in as many processes as there should be; a fourth waits."""
    arguments, task, processes = KINDS[kind]
    site.worker(*arguments).ready()
    names = ["a", "b", "c"]
    fn: Any = task
    jobs = [site.enqueue(fn, name) for name in names]
    pids = running(site, names)
    assert len(set(pids)) == processes
    fourth = site.enqueue(fn, "d")
    assert site.job(fourth).state == "queued"
    for name in [*names, "d"]:
        site.let(f"{name}-may-end")
    assert {site.end(job).state for job in [*jobs, fourth]} == {"succeeded"}


def test_a_sync_job_runs_beside_the_loop(site: Site) -> None:
    site.worker("--coroutines", "3").ready()
    sync = site.enqueue(tasks.held, "sync")
    other = site.enqueue(tasks.async_held, "async")
    running(site, ["sync", "async"])
    site.let("async-may-end")
    assert site.end(other).state == "succeeded"
    site.let("sync-may-end")
    assert site.end(sync).state == "succeeded"


def test_an_async_job_runs_on_a_thread_of_its_own(site: Site) -> None:
    site.worker("--threads", "2").ready()
    jobs = [site.enqueue(tasks.async_held, name) for name in ("a", "b")]
    running(site, ["a", "b"])
    for name in ("a", "b"):
        site.let(f"{name}-may-end")
    assert {site.end(job).state for job in jobs} == {"succeeded"}


@pytest.mark.parametrize("slots", ["--threads", "--coroutines"])
def test_of_those_that_died_together_each_is_suspected_and_runs_alone(site: Site, slots: str) -> None:
    """Poison counts only the deaths that a job had alone."""
    site.worker(slots, "2").ready()
    fn: Any = tasks.held if slots == "--threads" else tasks.async_held
    innocent = site.enqueue(fn, "innocent")
    guilty = site.enqueue(fn, "guilty")
    (pid,) = set(running(site, ["innocent", "guilty"]))
    for name in ("innocent", "guilty"):
        site.mark(f"{name}-runs").unlink()
    os.kill(pid, signal.SIGKILL)
    # They run again one after the other: while the first one runs, the second one does not begin.
    eventually(lambda: site.mark("innocent-runs").exists() or site.mark("guilty-runs").exists(), "one runs again")
    assert site.mark("innocent-runs").exists() != site.mark("guilty-runs").exists()
    other = site.enqueue(tasks.add, 1, 2)
    assert site.job(other).state == "queued"
    for name in ("innocent", "guilty"):
        site.let(f"{name}-may-end")
    for job in (innocent, guilty):
        record = site.end(job)
        assert (record.state, record.crashes) == ("succeeded", 0)
        first, _ = site.attempts(job)
        assert first.outcome == "crashed"
        assert "only suspected" in json.loads(first.error or "")["message"]
    assert site.end(other).result == "3"


def test_a_pill_among_neighbours_is_found_out(site: Site) -> None:
    """A19, with threads: in the end only the one that kills its process fails; it had to be alone three times for that."""
    site.worker("--threads", "3").ready()
    pill = site.enqueue(tasks.kill_me, "pill")
    others = [site.enqueue(tasks.nap, 0.05) for _ in range(20)]
    assert {site.end(job).state for job in others} == {"succeeded"}
    record = site.end(pill, 30.0)
    assert (record.state, record.crashes) == ("failed", 3)
    assert {site.job(job).crashes for job in others} == {0}


def test_jobs_on_threads_know_which_they_are(site: Site) -> None:
    site.worker("--threads", "4").ready()
    jobs = [site.enqueue(tasks.tells_of_itself, retry=2) for _ in range(40)]
    for job in jobs:
        record = site.end(job)
        told = json.loads(record.result or "")
        assert told == {"id": job.id, "attempt": 1, "left": 2, "fence": record.fence}


@pytest.mark.parametrize("slots", ["--threads", "--coroutines"])
def test_logs_of_jobs_side_by_side_do_not_mix(site: Site, slots: str) -> None:
    site.worker(slots, "4").ready()
    jobs = [(site.enqueue(tasks.prints_slowly if n % 2 else tasks.async_prints, f"line-{n}"), n) for n in range(12)]
    for job, n in jobs:
        assert site.log(site.end(job)) == f"line-{n}\n" * 5


def test_a_child_with_threads_ends_when_it_should(site: Site) -> None:
    worker = site.worker("--threads", "3", "--max-jobs", "4").ready()
    jobs = [site.enqueue(tasks.pid) for _ in range(20)]
    pids = [site.end(job).result for job in jobs]
    assert len(set(pids)) >= 5
    eventually(lambda: not [p for p in worker.children() if str(p) in pids[:4]], "the first child is gone")
    assert worker.stop() == 0


def test_the_order_of_queues(site: Site) -> None:
    """``-q a -q b``: all that can run in the first before any in the second."""
    from packhorse import Queue

    first, second = Queue("first", store=site.url), Queue("second", store=site.url)
    low = [second.enqueue(tasks.stamp) for _ in range(3)]
    high = [first.enqueue(tasks.stamp) for _ in range(3)]
    assert site.worker("-q", "first", "-q", "second", "--burst").ended() == 0
    assert max(float(site.job(j).result or 0) for j in high) < min(float(site.job(j).result or 0) for j in low)


def test_what_a_coroutine_leaves_running_hurts_nobody(site: Site) -> None:
    site.worker("--coroutines", "2").ready()
    job = site.run(tasks.leaves_a_task, "left")
    assert job.result == '"left"'
    site.let("left-go")
    assert site.marked("left-done") == "fine\n"
    assert site.log(job) == ""


def test_what_waits_behind_a_slow_job_goes_to_another_slot(site: Site) -> None:
    """A claim that has not started within 200 ms because its slot is busy goes back, uncounted."""
    site.worker("--processes", "2").ready()
    for job in [site.enqueue(tasks.nothing) for _ in range(60)]:
        site.end(job)
    drafts = [site.queue.draft(tasks.held, "slow"), *[site.queue.draft(tasks.nothing) for _ in range(200)]]
    slow, *quick = site.queue.enqueue_many(drafts)
    site.marked("slow-runs")
    for job in quick:
        record = site.end(job)
        assert (record.state, record.losses, record.crashes) == ("succeeded", 0, 0)
    assert site.job(slow).state == "running"
    site.let("slow-may-end")
    assert site.end(slow).state == "succeeded"


def test_a_sync_job_behind_another_has_its_time_to_itself(site: Site) -> None:
    site.worker("--coroutines", "2").ready()
    first = site.enqueue(tasks.held, "first")
    site.marked("first-runs")
    second = site.enqueue(tasks.nap, 0.01, timeout=0.5)
    site.state(second, "running")
    with pytest.raises(AssertionError, match="waited"):
        site.state(second, "failed", patience=1.5)
    site.let("first-may-end")
    assert site.end(first).state == "succeeded"
    assert site.end(second).state == "succeeded"
