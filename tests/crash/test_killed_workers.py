"""A4, A7, A9, A23: a worker is killed, or only paused for so long that it counts as dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from packhorse._store import JobFilter
from tests.worker import tasks
from tests.worker.site import Site, Worker, alive, eventually
from tests.worker.watch import busy, running_time

#: A store has no part in this, or it is what a file suffers.
ON_A_FILE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


def replacement(site: Site) -> Worker:
    return site.worker().ready()


@ON_A_FILE
def test_children_die_with_their_worker(site: Site) -> None:
    """A7: within a second, whatever they are doing."""
    worker = site.worker("--processes", "2").ready()
    site.enqueue(tasks.held, "busy")
    site.marked("busy-runs")
    children = worker.children()
    assert len(children) == 2
    worker.kill()
    eventually(lambda: not any(alive(pid) for pid in children), "the children are gone", busy(1.0) + 2.0)


@ON_A_FILE
def test_children_die_with_their_worker_in_a_process_namespace(site: Site) -> None:
    """A7"""
    probe = subprocess.run(["unshare", "-rpf", "--mount-proc", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no process namespaces here: {probe.stderr.strip()}")
    command = [sys.executable, "-m", "packhorse", "worker", "tests.worker.tasks", "--store", site.url]
    worker = site.launch(["unshare", "-rpf", "--mount-proc", "--kill-child", *command]).ready()
    site.enqueue(tasks.held, "busy")
    site.marked("busy-runs")
    (supervisor,) = worker.children()
    from tests.worker.site import descendants

    children = descendants(supervisor, 1)
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in children), "the children are gone", busy(1.0) + 2.0)


def test_a_job_whose_worker_was_killed_runs_again_within_two_seconds(site: Site) -> None:
    """A4: the other worker sees the free lock; the attempt is on record as a crash."""
    victim = site.worker().ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    eventually(lambda: site.job(job).started_at is not None, "its start is on record")
    other = replacement(site)
    site.mark("job-runs").unlink()
    killed = running_time()
    victim.kill()
    site.marked("job-runs")
    assert running_time() - killed < busy(2.0)
    site.let("job-may-end")
    record = site.end(job)
    assert (record.state, record.crashes, record.losses) == ("succeeded", 1, 0)
    first, second = site.attempts(job)
    assert (first.outcome, second.outcome) == ("crashed", "succeeded")
    assert (first.reason or "").startswith("the worker process died on ")
    assert "its lock is free; taking its jobs back" in other.output
    dead = [row for row in site.store.workers(dead=True) if row.state == "dead"]
    assert [row.pid for row in dead] == [victim.pid]
    assert not os.path.exists(dead[0].lock_path or "")


def test_a_worker_alone_takes_its_jobs_back_when_it_is_started_anew(site: Site) -> None:
    victim = site.worker().ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    victim.kill()
    site.let("job-may-end")
    replacement(site)
    record = site.end(job)
    assert record.state == "succeeded"
    first, _ = site.attempts(job)
    assert first.reason


def test_killed_with_the_whole_group(site: Site) -> None:
    """A9: supervisor and children at once, as the kernel does when memory is short: not exit code 0, and nothing lost."""
    victim = site.worker("--processes", "2").ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    children = victim.children()
    for pid in [victim.pid, *children]:
        os.kill(pid, signal.SIGKILL)
    assert victim.ended() == -signal.SIGKILL
    site.let("job-may-end")
    replacement(site)
    assert site.end(job).state == "succeeded"


def test_what_must_not_run_twice_fails_with_its_worker(site: Site) -> None:
    """Whether its start had been told to the store or not."""
    victim = site.worker("--threads", "2").ready()
    told = site.enqueue(tasks.held, "told", on_crash="fail")
    site.marked("told-runs")
    eventually(lambda: site.job(told).started_at is not None, "its start is on record")
    fresh = site.enqueue(tasks.held, "fresh", on_crash="fail")
    site.marked("fresh-runs")
    victim.kill()
    for name in ("told", "fresh"):
        site.mark(f"{name}-runs").unlink()
    replacement(site)
    for job in (told, fresh):
        record = site.end(job)
        assert record.state == "failed"
        assert "not retried: " in (record.reason or "")
        assert len(site.attempts(job)) == 1
    assert not site.mark("told-runs").exists()
    assert not site.mark("fresh-runs").exists()


def test_jobs_that_waited_in_a_killed_worker_are_not_blamed(site: Site) -> None:
    """A2: claimed ahead and never started: they run elsewhere, and their records say why it took longer."""
    victim = site.worker().ready()
    for job in [site.enqueue(tasks.nothing) for _ in range(30)]:
        site.end(job)
    blocker = site.enqueue(tasks.held, "blocker")
    jobs = site.queue.enqueue_many([site.queue.draft(tasks.add, n, n) for n in range(50)])
    site.marked("blocker-runs")
    victim.kill()
    site.let("blocker-may-end")
    replacement(site)
    for job in jobs:
        record = site.end(job)
        assert (record.state, record.crashes, record.failures) == ("succeeded", 0, 0)
    assert site.end(blocker).state == "succeeded"


def test_a_paused_worker_that_was_declared_dead_begins_anew(site: Site) -> None:
    """A23: its late result is refused, its children are killed, it takes a new identity; the job has one outcome."""
    paused = site.worker("--processes", "2").ready()
    job = site.enqueue(tasks.held, "job")
    pid = int(site.marked("job-runs"))
    (row,) = site.store.workers()
    paused.signal(signal.SIGSTOP)
    # A beat may have been under way.
    eventually(lambda: site.store.condemn(row.id, site.store.workers()[0].beats), "it counts as dead")
    site.mark("job-runs").unlink()
    other = replacement(site)
    site.marked("job-runs")
    # Meanwhile the old run ends, too: its child was never stopped.
    site.let("job-may-end")
    record = site.end(job)
    paused.signal(signal.SIGCONT)
    paused.until("was declared dead", 12.0)
    eventually(lambda: not alive(pid), "the child of the old run is gone")
    eventually(lambda: len({w.id for w in site.store.workers()} - {row.id}) == 2, "it has a new identity")
    again = site.end(job)
    assert (again.state, again.token, again.finished_at) == ("succeeded", record.token, record.finished_at)
    assert [a.outcome for a in site.attempts(job)].count("succeeded") == 1
    assert other.stop() == 0
    # The one that was dead serves again, as another.
    assert site.run(tasks.add, 20, 3).result == "23"
    assert paused.stop() == 0


def test_a_paused_worker_that_is_not_dead_goes_on(site: Site) -> None:
    """A short pause changes nothing: the lock is held, and that alone is no proof of death."""
    paused = site.worker().ready()
    other = replacement(site)
    job = site.enqueue(tasks.nap, 0.2, "napping")
    site.marked("napping")
    victim = paused if int(site.marked("napping")) in paused.children() else other
    victim.signal(signal.SIGSTOP)
    witness = other if victim is paused else paused
    for _ in range(20):
        assert site.run(tasks.nothing).state == "succeeded"
    beats = {row.pid: row.beats for row in site.store.workers()}
    eventually(
        lambda: {row.pid: row.beats for row in site.store.workers()}[witness.pid] > beats[witness.pid], "a beat", 8.0
    )
    assert {row.state for row in site.store.workers()} == {"live"}
    victim.signal(signal.SIGCONT)
    assert len(site.attempts(site.end(job))) == 1


def test_a_claim_whose_answer_was_lost_is_put_back(site: Site) -> None:
    """A3: within two beats, uncounted."""
    site.worker("-q", "other").ready()
    (row,) = site.store.workers()
    job = site.enqueue(tasks.add, 1, 2)
    (claimed,) = site.store.claim(["work"], 1, 0, row.id, 0).jobs
    assert (claimed.id, site.job(job).state) == (job.id, "running")
    site.state(job, "queued", patience=12.0)
    record = site.job(job)
    assert (record.crashes, record.losses, record.failures) == (0, 0, 0)
    assert site.attempts(job) == []
    replacement(site)
    assert site.end(job).result == "3"


def test_nothing_is_left_in_the_store_after_many_deaths(site: Site) -> None:
    """Workers die one after the other under one load; in the end the counts of the store agree with its jobs."""
    jobs = site.queue.enqueue_many([site.queue.draft(tasks.nap, 0.02) for _ in range(60)])
    for _ in range(5):
        victim = site.worker("--processes", "2").ready()
        eventually(lambda: site.store.find(JobFilter(queue="work", states=("running",))).jobs, "something runs")
        victim.kill()
    replacement(site)
    assert {site.end(job).state for job in jobs} == {"succeeded"}
    (queue,) = site.store.queues(["work"])
    assert {state: n for state, n in queue.counts.items() if n} == {"succeeded": 60}


def test_a_job_that_was_cancelled_before_its_worker_died_is_not_run_again(site: Site) -> None:
    victim = site.worker().ready()
    job = site.enqueue(tasks.ignores_limit)
    site.marked("ignoring")
    eventually(lambda: site.job(job).started_at is not None, "its start is on record")
    site.mark("ignoring").unlink()
    victim.signal(signal.SIGSTOP)
    job.cancel("not needed")
    victim.kill()
    replacement(site)
    record = site.end(job)
    assert (record.state, record.reason) == ("cancelled", "not needed")
    assert [a.outcome for a in site.attempts(job)] == ["crashed"]
    assert not site.mark("ignoring").exists()


@ON_A_FILE
def test_jobs_that_end_while_the_store_is_away_are_settled_once_it_is_back(site: Site) -> None:
    """Nothing is run again, and nobody is declared dead."""
    from tests.worker.test_limits import locked

    worker = site.worker("--processes", "2").ready()
    jobs = [site.enqueue(tasks.held, name) for name in ("a", "b")]
    for name in ("a", "b"):
        site.marked(f"{name}-runs")
    pids = worker.children()
    with locked(site):
        for name in ("a", "b"):
            site.let(f"{name}-may-end")
        eventually(lambda: all(in_pipe_read(pid) for pid in pids), "both children wait for work")
    for job in jobs:
        assert site.end(job).state == "succeeded"
        assert len(site.attempts(job)) == 1
    assert worker.children() == pids


def in_pipe_read(pid: int) -> bool:
    """Tell whether a process sleeps in a read of a socket: a child that waits for its next permit."""
    with open(f"/proc/{pid}/wchan") as file:
        found = file.read()
    with open(f"/proc/{pid}/stat") as file:
        state = file.read().rpartition(")")[2].split()[0]
    return state == "S" and ("unix_stream" in found or "skb" in found or found in ("", "0"))
