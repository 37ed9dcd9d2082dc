"""A child is killed while it is idle, in the middle of a job, and after the job's end before anybody has read its report."""

from __future__ import annotations

import os
import signal

import pytest

from tests.worker import tasks
from tests.worker.site import Site, alive, eventually
from tests.worker.watch import busy, running_time

#: A store has no part in what becomes of a child.
pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


def test_an_idle_child_is_replaced_and_nobody_notices(site: Site) -> None:
    worker = site.worker("--processes", "2").ready()
    for _ in range(3):
        before = sorted(site.full(2))
        os.kill(before[0], signal.SIGKILL)
        eventually(lambda: len(set(worker.children()) - set(before)) == 1, "another one")  # noqa: B023 - asked at once
        job = site.run(tasks.add, 1, 2)
        assert (job.result, job.crashes, len(site.attempts(job))) == ("3", 0, 1)


def test_a_child_killed_in_the_middle_of_a_job(site: Site) -> None:
    site.worker("--processes", "2").ready()
    job = site.enqueue(tasks.held, "job")
    pid = int(site.marked("job-runs"))
    site.mark("job-runs").unlink()
    killed = running_time()
    os.kill(pid, signal.SIGKILL)
    site.marked("job-runs")
    assert running_time() - killed < busy(2.0)
    site.let("job-may-end")
    record = site.end(job)
    assert (record.state, record.crashes) == ("succeeded", 1)
    assert [(a.outcome, a.reason) for a in site.attempts(job)] == [("crashed", "SIGKILL"), ("succeeded", None)]


def test_a_report_that_was_written_is_not_lost_with_its_child(site: Site) -> None:
    """The job had ended: it is settled as it ended, and not run again."""
    worker = site.worker().ready()
    job = site.enqueue(tasks.held_counting, "job")
    pid = int(site.marked("job-runs"))
    worker.signal(signal.SIGSTOP)
    site.let("job-may-end")
    site.marked("job-ended")
    eventually(lambda: waits_for_work(pid), "the child waits for its next job")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), "the child is dead")
    worker.signal(signal.SIGCONT)
    record = site.end(job)
    assert (record.state, record.result, record.crashes) == ("succeeded", "1", 0)
    assert len(site.attempts(job)) == 1


def waits_for_work(pid: int) -> bool:
    """Tell whether a child is blocked in the read of its permits: the call that the kernel says it is in is ``recvfrom``."""
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0] in ("45", "207")  # recvfrom on x86-64, on arm64


def test_many_children_killed_under_load(site: Site) -> None:
    """Each job ends once; a job is only ever crashed by a death that it had itself."""
    site.worker("--processes", "2").ready()
    jobs = site.queue.enqueue_many([site.queue.draft(tasks.nap, 0.01, "last") for _ in range(150)])
    ended, kills = 0, 6
    for _ in range(kills):
        ended = eventually(lambda: (n := ended_of(site)) >= ended + 10 and n, "ten more jobs have ended")  # noqa: B023
        os.kill(int(site.marked("last")), signal.SIGKILL)  # one that certainly was at work
        site.mark("last").unlink(missing_ok=True)
    records = [site.end(job) for job in jobs]
    assert {record.state for record in records} == {"succeeded"}
    assert sum(record.crashes for record in records) <= kills
    assert {record.losses for record in records} == {0}


def ended_of(site: Site) -> int:
    (queue,) = site.store.queues(["work"])
    return queue.counts.get("succeeded", 0)
