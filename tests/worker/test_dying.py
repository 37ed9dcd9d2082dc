"""A8 to A16, A18, A19: whatever a job does to its process, only that job suffers, and its record says what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from packhorse import Queue
from tests.worker import tasks
from tests.worker.site import Site, alive, descendants, eventually, with_argument


def error_of(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.error)
    return found


@pytest.mark.parametrize("name, trace", [("segfault", "Segmentation fault"), ("abort", "Aborted")])
def test_a_fault_in_c_is_named_and_its_trace_is_in_the_log(shared: Site, name: str, trace: str) -> None:
    """A10"""
    job = shared.run(getattr(tasks, name), on_crash="fail")
    sign = {"segfault": "SIGSEGV", "abort": "SIGABRT"}[name]
    assert (job.state, job.reason) == ("failed", f"crashed, not retried: {sign}")
    assert f"process killed by {sign}" in error_of(job)["message"]
    assert f"Fatal Python error: {trace}" in shared.log(job)
    assert f"in {name}\n" in shared.log(job)
    (attempt,) = shared.attempts(job)
    assert json.loads(attempt.usage or "")["signal"] == sign


def test_sys_exit_zero_is_a_failure(shared: Site) -> None:
    """A11"""
    job = shared.run(tasks.exit_zero)
    assert (job.state, error_of(job)["message"]) == ("failed", "called sys.exit(0)")
    assert job.crashes == 0


def test_ending_without_a_report_is_a_crash(shared: Site) -> None:
    """A12"""
    job = shared.run(tasks.hard_exit, on_crash="fail")
    assert job.state == "failed"
    assert error_of(job)["message"] == "process exited without reporting (exit status 0)"


def test_a_killed_process_is_a_crash_with_its_peak_memory(shared: Site) -> None:
    """A8"""
    job = shared.run(tasks.kill_me, on_crash="fail")
    assert "killed by SIGKILL, likely out of memory (peak memory " in error_of(job)["message"]


def test_running_into_a_memory_limit_fails_only_the_job(shared: Site) -> None:
    """A8, where the limit is told to the process: a MemoryError, and the same child goes on or is replaced."""
    job = shared.run(tasks.use_up_memory, on_crash="fail")
    assert job.state == "failed"
    assert error_of(job)["type"] in ("MemoryError", "ProcessDied")


@pytest.mark.parametrize("name", ["close_everything", "close_everything_and_stay"])
def test_closing_descriptors_kills_only_the_child(shared: Site, name: str) -> None:
    """A13"""
    job = shared.run(getattr(tasks, name), on_crash="fail")
    assert job.state == "failed"
    assert error_of(job)["type"] == "ProcessDied"
    if name.endswith("stay"):
        assert "closed the descriptors" in error_of(job)["message"]
    assert shared.run(tasks.add, 1, 2).result == "3"


def test_the_last_words_of_a_killed_job_are_kept(shared: Site) -> None:
    job = shared.run(tasks.say_then_die, on_crash="fail")
    assert shared.log(job) == "the last words\n"


def test_a_job_whose_process_was_killed_once_runs_again(shared: Site) -> None:
    job = shared.run(tasks.kill_me_once, "killed-once")
    assert (job.state, job.result, job.crashes) == ("succeeded", '"the second time"', 1)
    assert [(a.outcome, a.number) for a in shared.attempts(job)] == [("crashed", 1), ("succeeded", 2)]
    first, second = shared.attempts(job)
    assert first.reason == "SIGKILL"
    assert first.token != second.token


def test_what_a_job_told_before_its_death_is_there_for_the_next_attempt(shared: Site) -> None:
    """A checkpoint survives: ``update_meta``."""
    job = shared.run(tasks.continues)
    assert (job.state, job.result) == ("succeeded", "1")
    assert json.loads(job.meta or "") == {"checkpoint": 1}


def test_poison_is_stopped_and_nobody_else_suffers(shared: Site) -> None:
    """A19"""
    others = [shared.enqueue(tasks.add, n, 1) for n in range(200)]
    poison = shared.enqueue(tasks.kill_me, "poison")
    others += [shared.enqueue(tasks.add, n, 1) for n in range(200)]
    job = shared.end(poison)
    assert (job.state, job.crashes) == ("failed", 3)
    assert job.reason == "poison: crashed 3×, last SIGKILL in tests.worker.tasks:kill_me"
    assert shared.mark("poison").read_text() == "xxx"
    records = [shared.end(each) for each in others]
    assert {record.state for record in records} == {"succeeded"}
    # A neighbour that waited in the same child has lost nothing.
    assert {record.crashes + record.failures + record.losses for record in records} == {0}


@pytest.mark.parametrize("die", ["segfault", "abort", "hard_exit", "kill_me", "close_everything"])
def test_what_must_not_run_twice_does_not_whatever_kills_it(shared: Site, die: str) -> None:
    job = shared.run(getattr(tasks, die), on_crash="fail")
    assert job.state == "failed"
    assert (job.reason or "").startswith("crashed, not retried: ")
    assert [a.outcome for a in shared.attempts(job)] == ["crashed"]


def test_daemons_go_with_their_child(site: Site) -> None:
    """A15: a double-forked daemon in a session of its own, gone with its killed child."""
    worker = site.worker().ready()
    name = f"daemon-of-{os.getpid()}"
    site.run(tasks.daemon_and_die, name, on_crash="fail")
    pid = int(site.marked(name))
    eventually(lambda: not alive(pid), "the daemon is gone")
    eventually(lambda: not with_argument(name), "and all that belongs to it")
    assert worker.stop() == 0


def test_daemons_go_with_their_worker(site: Site) -> None:
    """A15: of a child that ended in peace."""
    worker = site.worker().ready()
    job = site.run(tasks.daemon, "another")
    pid = int(job.result or "")
    assert alive(pid)
    assert worker.stop() == 0
    eventually(lambda: not alive(pid), "the daemon is gone")


def test_a_child_is_replaced_once_it_uses_too_much_memory(site: Site) -> None:
    """A16: between jobs, and no job notices."""
    worker = site.worker("--max-memory", "120M").ready()
    pids = [site.run(tasks.leak, 20).result for _ in range(12)]
    assert 2 <= len(set(pids)) < 12
    assert all(record.state == "succeeded" for record in site.store.find(everything()).jobs)
    assert worker.stop() == 0
    assert "dead" not in worker.output


def test_a_fresh_process_for_each_job(site: Site) -> None:
    """A16: ``--max-jobs 1``, with a spare child that waits with the application imported."""
    worker = site.worker("--max-jobs", "1").ready()
    eventually(lambda: len(worker.children()) == 2, "a child and a spare one")
    jobs = [site.enqueue(tasks.pid) for _ in range(8)]
    pids = [site.end(job).result for job in jobs]
    assert len(set(pids)) == 8
    assert all(len(site.attempts(job)) == 1 for job in jobs)
    assert worker.stop() == 0


def test_a_child_serves_as_many_jobs_as_it_may(site: Site) -> None:
    """A16"""
    worker = site.worker("--max-jobs", "5").ready()
    Queue("work", store=site.url).enqueue_many([site.queue.draft(tasks.pid) for _ in range(23)])
    records = site.store.find(everything()).jobs
    pids = [site.end(record.id).result for record in records]
    assert max(pids.count(pid) for pid in set(pids)) == 5
    assert worker.stop() == 0


def test_a_child_has_no_descriptor_of_another_or_of_the_store(site: Site) -> None:
    """A18: what one child has open towards the supervisor no other has."""
    site.worker("--processes", "2").ready()
    first, second = (sockets(pid) for pid in site.full(2))
    assert first
    assert not first & second


def sockets(pid: int) -> set[str]:
    """Return the pipes and sockets of a process; the terminal ones, which all share, left out."""
    links = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        links[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return {link for fd, link in links.items() if fd > 2 and link.startswith(("pipe:", "socket:"))}


def test_a_job_may_fork(shared: Site) -> None:
    """A17: a one-slot child has no thread of ours that a fork could catch in the middle."""
    jobs = [shared.enqueue(tasks.forks) for _ in range(50)]
    assert {shared.end(job).result for job in jobs} == {"7"}


def test_what_a_job_starts_can_be_terminated(shared: Site) -> None:
    """The child shuts its ears to SIGTERM; what it starts must not inherit that."""
    assert shared.run(tasks.terminates_others).result == "[-15,-15]"


def test_a_worker_reaps_what_falls_to_it_as_first_process(site: Site) -> None:
    """A22: as process 1 of a container it collects every orphan and stops cleanly."""
    probe = subprocess.run(["unshare", "-rpf", "--mount-proc", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no process namespaces here: {probe.stderr.strip()}")
    command = [sys.executable, "-m", "packhorse", "worker", "tests.worker.tasks", "--store", site.url]
    worker = site.launch(["unshare", "-rpf", "--mount-proc", *command]).ready()
    (inside,) = descendants(worker.pid, 1)
    for job in [site.enqueue(tasks.kill_me, on_crash="fail") for _ in range(5)]:
        site.end(job)
    for job in [site.enqueue(tasks.leaves_orphans, 10) for _ in range(5)]:
        site.end(job)
    os.kill(inside, signal.SIGTERM)
    assert worker.ended() == 0


def everything() -> Any:
    from packhorse._store import JobFilter

    return JobFilter(queue="work")
