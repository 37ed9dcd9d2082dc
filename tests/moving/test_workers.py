"""Moving under the feet of workers and producers."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from packhorse import Queue
from packhorse._stores import open_store
from packhorse.errors import StoreMoved
from tests.conformance.test_moving import everything
from tests.worker import tasks
from tests.worker.site import Site, eventually
from tests.worker.watch import busy, running_time

from .conftest import Command
from .making import how

pytestmark = pytest.mark.slow


def test_a_worker_on_the_store_that_moves(site: Site, command: Command, tmp_path: Path) -> None:
    """What runs ends where it began, what waits runs elsewhere, each job once; nobody spins, and nobody is hurt."""
    (tmp_path / "there").mkdir()
    there = Site(tmp_path / "there")
    try:
        worker = site.worker("--processes", "1", "--threads", "1", "-q", "work").ready()
        long = site.enqueue(tasks.held, "long")
        site.marked("long-runs")
        waiting = [site.enqueue(tasks.count, f"job-{number}") for number in range(20)]
        moving = site.launch([sys.executable, "-m", "packhorse", "move", site.url, there.url, "--yes"])
        moving.until("1 job still running")
        assert "held" in moving.output
        refused_at_once(site.url)
        site.let("long-may-end")
        assert moving.ended() == 0, moving.output
        assert site.job(long).state == "succeeded"
        assert there.job(long).result == site.job(long).result
        worker.until("its jobs have moved to")
        assert how(site.store) == "moved"

        other = there.worker("--burst", "-q", "work", SITE=str(site.directory))
        assert other.ended() == 0
        assert [there.job(job).state for job in waiting] == ["succeeded"] * 20
        assert [site.mark(f"job-{number}").read_text() for number in range(20)] == ["x"] * 20

        quiet(worker.output)
        command("move", "--reopen", "--force", site.url)
        worker.until("the store is open again")
        assert site.run(tasks.add, 2, 3).result == "5"
        assert worker.stop() == 0
    finally:
        there.close()


def refused_at_once(url: str) -> None:
    began = running_time()
    with pytest.raises(StoreMoved, match="are moving to"):
        Queue("work", store=url).enqueue(tasks.add, 1, 2)
    assert running_time() - began < busy(2.0)


def quiet(output: str) -> None:
    """Each thing was said once, and nothing of an outage."""
    assert output.count("are moving to") <= 1
    assert output.count("have moved to") == 1
    for word in ("retrying", "Traceback", "the store is back"):
        assert word not in output


def test_a_worker_that_starts_on_a_moved_store_says_so(site: Site, command: Command, tmp_path: Path) -> None:
    site.enqueue(tasks.add, 1, 2)
    assert command("move", site.url, f"sqlite:///{tmp_path}/to.db", "--yes").returncode == 0
    worker = site.worker("-q", "work").ready()
    worker.until("its jobs have moved to")
    before = spent(worker.pid)
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 2.0, "two seconds")
    assert spent(worker.pid) - before < 0.5
    assert worker.stop() == 0


def spent(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_jobs_of_a_killed_worker_are_taken_back(site: Site, command: Command, tmp_path: Path) -> None:
    worker = site.worker("--processes", "1", "-q", "work").ready()
    job = site.enqueue(tasks.held, "long")
    site.marked("long-runs")
    worker.kill()
    target = f"sqlite:///{tmp_path}/to.db"
    waited = command("move", site.url, target, "--yes", "--timeout", "1s")
    assert waited.returncode == 1
    assert "1 job runs still in FROM after 1 s" in waited.stderr
    assert "--release" in waited.stderr
    done = command("move", site.url, target, "--yes", "--release")
    assert done.returncode == 0, done.stderr
    assert "1 running job of dead workers taken back" in done.stdout
    store = open_store(target)
    (parcel,) = everything(store)
    store.close()
    assert (parcel.job.id, parcel.job.state) == (job.id, "queued")
    # Whether its start had been told when it died.
    assert [row.outcome for row in parcel.attempts] in (["crashed"], ["lost"])
