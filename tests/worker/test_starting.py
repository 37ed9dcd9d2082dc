"""A20, A21, B29: a worker that cannot work says so at once, with an exit code; no signal leaves it half started."""

from __future__ import annotations

import resource
import signal
import sqlite3
import time

import pytest

from tests.worker import tasks
from tests.worker.site import Site, alive, eventually
from tests.worker.watch import busy, running_time


@pytest.mark.parametrize(
    "text, told",
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('no settings')", "no settings"),
        ("import sys; sys.exit(3)", "sys.exit(3)"),
    ],
)
def test_an_application_that_cannot_be_imported(site: Site, text: str, told: str) -> None:
    """A20: exit 78 and one clear message, not a restart loop."""
    worker = site.worker(app=site.module("broken", text))
    assert worker.ended() == 78
    assert told in worker.output
    assert worker.output.count("packhorse worker:") == 1
    assert "serves" not in worker.output


def test_a_module_that_is_not_there(site: Site) -> None:
    worker = site.worker(app="no_such_module")
    assert worker.ended() == 78
    assert "no_such_module" in worker.output


def test_an_application_that_kills_its_process(site: Site) -> None:
    """A20: died at import, three times: exit 70 and no job touched."""
    job = site.enqueue(tasks.add, 1, 2)
    worker = site.worker(app=site.module("deadly", "import os; os.abort()"))
    assert worker.ended() == 70
    assert "its children die while they start" in worker.output
    assert "SIGABRT" in worker.output
    assert site.job(job).state == "queued"


#: The thread that prepares imports until the worker is at its end; this module cannot be imported any more after that.
SLOW_IMPORTS = """
import importlib, sys, threading, time
def slow(name, package=None):
    if threading.current_thread().name == "packhorse-prepare":
        seen = 0
        while threading.main_thread().is_alive() and seen < 50:
            seen += cleans_up()
            time.sleep(0.01)
        import concurrent.futures.thread
    return swift(name, package)
def cleans_up():
    frame = sys._current_frames().get(threading.main_thread().ident)
    while frame is not None and frame.f_code.co_name != "_clean_up":
        frame = frame.f_back
    return frame is not None
swift, importlib.import_module = importlib.import_module, slow
"""


def test_a_worker_that_gives_up_waits_for_its_own_imports(site: Site) -> None:
    site.module("sitecustomize", SLOW_IMPORTS)
    worker = site.worker("--processes", "1", app=site.module("deadly", "import os; os.abort()"))
    assert worker.ended() == 70
    assert "Traceback" not in worker.output


def test_a_deployment_that_breaks_under_a_running_worker(site: Site) -> None:
    """A20: the breaker. Jobs are not burned, and it recovers by itself once the module is whole again."""
    name = site.module("changing", "import os\ndef die():\n    os.abort()\ndef one():\n    return 1\n")
    worker = site.worker(app=name).ready()
    site.module("changing", "import nowhere_to_be_found")
    site.end(site.queue.using(on_crash="fail").enqueue(f"{name}:die"))
    worker.until("claims nothing")
    job = site.queue.enqueue(f"{name}:one")
    site.module("changing", "def one():\n    return 1\n")
    record = site.end(job)
    assert (record.state, record.crashes, record.losses) == ("succeeded", 0, 0)
    assert worker.process.poll() is None


@pytest.mark.parametrize("after", [0, 20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 400, 500])
def test_a_signal_at_any_moment_of_the_start(site: Site, after: int) -> None:
    """A21: it ends, cleanly, and leaves nothing behind. Before there is a handler the signal's own effect is as good."""
    worker = site.worker("--processes", "2")
    time.sleep(after / 1000)  # the moment is what is tested
    children = worker.children()
    began = running_time()
    worker.signal(signal.SIGTERM)
    assert worker.ended() in (0, -signal.SIGTERM)
    eventually(lambda: not any(alive(pid) for pid in children), "no child is left", busy(2.0) + 2.0)
    assert "Traceback" not in worker.output
    assert running_time() - began < busy(5)
    if site.mark("jobs.db").exists():
        assert [row for row in site.store.workers() if row.state == "live"] == []


def test_a_name_that_is_taken(site: Site) -> None:
    """E140"""
    site.worker("--name", "the-one").ready()
    second = site.worker("--name", "the-one")
    assert second.ended() == 78
    assert "E140" in second.output
    assert "the-one" in second.output


def test_a_name_is_free_again_once_its_worker_is_dead(site: Site) -> None:
    first = site.worker("--name", "the-one").ready()
    other = site.worker().ready()
    first.kill()
    other.until("is dead: its lock is free", busy(5.0))
    site.worker("--name", "the-one").ready()


def test_options_from_the_environment(site: Site) -> None:
    worker = site.worker(
        app=None,
        PACKHORSE_APP="tests.worker.tasks",
        PACKHORSE_WORKER_PROCESSES="2",
        PACKHORSE_WORKER_NAME="from-%i-env",
        PACKHORSE_WORKER_QUEUE="work",
        PACKHORSE_WORKER_THREADS="3",
    ).ready()
    assert "from-1-env" in worker.output
    assert "queues work with 2 × 3 threads" in worker.output


def test_a_store_that_is_not_one(site: Site) -> None:
    site.mark("jobs.db").write_text("this is no database, and it is long enough to be looked at " * 20)
    worker = site.worker()
    assert worker.ended() == 78
    assert "jobs.db" in worker.output


def test_a_store_that_is_busy_is_waited_for(site: Site) -> None:
    """One line says so, and the worker is ready once the store answers."""
    site.store.close()
    site._store = None
    db = sqlite3.connect(site.directory / "jobs.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    worker = site.worker()
    worker.until("waiting for the store")
    assert "serves" not in worker.output
    db.execute("ROLLBACK")
    db.close()
    worker.ready()


def test_a_store_that_is_busy_is_not_waited_for_if_told_so(site: Site) -> None:
    """``--no-retry``: exit 69."""
    assert site.store.now()
    db = sqlite3.connect(site.directory / "jobs.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    worker = site.worker("--no-retry")
    assert worker.ended(20.0) == 69
    assert "waiting for the store" in worker.output
    assert "E101" in worker.output
    db.close()


def test_a_log_file_that_cannot_be_written(site: Site) -> None:
    """E81: exit 73, and which file."""
    site.mark("logs").mkdir()
    worker = site.worker("--log-file", str(site.mark("logs")))
    assert worker.ended() == 73
    assert "E130" in worker.output
    assert "logs" in worker.output


HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.mark.parametrize("descriptors", [20, 32])
def test_too_few_descriptors(site: Site, descriptors: int) -> None:
    """A clear word and no job lost: it waits or ends, and never spins."""
    job = site.enqueue(tasks.add, 1, 2)
    worker = site.worker("--processes", "4", "--burst")
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (descriptors, HARD))
    eventually(lambda: worker.process.poll() is not None or "cannot start a child" in worker.output, "it says so")
    if worker.process.poll() is None:
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (1024, HARD))
        assert worker.ended() == 0
        assert site.job(job).state == "succeeded"
