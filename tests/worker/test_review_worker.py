"""Workers in rare places: recycled while a job runs, embedded in a program, killed under a hook, stopped between two looks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from packhorse import Queue
from tests.worker import tasks
from tests.worker.site import Site, alive, eventually, with_argument


def test_burst_runs_what_fell_due_while_no_worker_was_there(site: Site) -> None:
    job = site.enqueue(tasks.add, 1, 2, delay=0.05)
    due = site.job(job).scheduled_at or 0
    eventually(lambda: site.store.now() > due, "the job to be due")
    worker = site.worker("--burst").ready()
    assert worker.ended() == 0
    assert site.job(job).state == "succeeded"


def test_a_limit_holds_in_a_child_that_grew_too_large(site: Site) -> None:
    worker = site.worker("--max-memory", "1MiB").ready()
    site.run(tasks.nothing)
    long = site.enqueue(tasks.limited, timeout=0.7)
    assert json.loads(site.end(long).error or "{}")["code"] == "E150"
    assert site.run(tasks.nothing).state == "succeeded"
    assert worker.process.poll() is None


HOOKED = """
import os, signal, time
from packhorse import App

class Middleware:
    def after_job(self, job, outcome):
        with open(os.path.join(os.environ["SITE"], "after"), "a") as file:
            file.write(f"{job.id} {outcome.kind}\\n")

app = App(tasks=["hooked_once"], middleware=[Middleware()])

def dies(): os.kill(os.getpid(), signal.SIGKILL)
def naps(): time.sleep(0.1)
def dies_later():
    path = os.path.join(os.environ["SITE"], "may-die")
    while not os.path.exists(path): time.sleep(0.01)
    dies()
"""


def test_the_end_of_a_killed_job_is_told_though_every_child_serves_one_job(site: Site) -> None:
    site.module("hooked_once", HOOKED)
    site.worker("--max-jobs", "1", "--processes", "2", app="hooked_once:app").ready()
    queue = Queue("work", store=site.url)
    ids = []
    for _ in range(5):
        ids.append(queue.using(on_crash="fail").enqueue("hooked_once:dies").id)
        queue.enqueue("hooked_once:naps")
    for job in ids:
        assert site.end(job).state == "failed"
    path = site.mark("after")

    def told() -> bool:
        lines = path.read_text().splitlines() if path.exists() else []
        return {f"{job} failed" for job in ids} <= set(lines)

    eventually(told, "five ends told")


def test_the_end_of_a_killed_job_is_told_though_the_child_that_was_asked_dies_too(site: Site) -> None:
    site.module("hooked_once", HOOKED)
    worker = site.worker("--processes", "2", app="hooked_once:app").ready()
    queue = Queue("work", store=site.url)
    later = queue.using(on_crash="fail").enqueue("hooked_once:dies_later").id
    site.state(later, "running")
    eventually(lambda: len(worker.children()) == 2, "both children")
    first = queue.using(on_crash="fail").enqueue("hooked_once:dies").id
    site.end(first)
    site.let("may-die")
    site.end(later)

    def told() -> bool:
        path = site.mark("after")
        return path.exists() and {f"{first} failed", f"{later} failed"} <= set(path.read_text().splitlines())

    eventually(told, "both ends told")


HANGING = """
import os, signal, time
from packhorse import App

class Middleware:
    def after_job(self, job, outcome):
        if outcome.by == "worker":
            time.sleep(300)

app = App(tasks=["hanging"], middleware=[Middleware()])

def dies(): os.kill(os.getpid(), signal.SIGKILL)
def fine(): return 1
"""

IMPATIENT = """
import sys
from packhorse._worker import errands
errands._LIMIT = 500_000_000
from packhorse.cli import entry
entry()
"""


def test_a_hook_that_hangs_does_not_hold_its_child_for_ever(site: Site) -> None:
    site.module("hanging", HANGING)
    command = [sys.executable, "-c", IMPATIENT, "worker", "hanging:app", "--store", site.url, "--processes", "1"]
    worker = site.launch(command).ready()
    queue = Queue("work", store=site.url)
    site.end(queue.using(on_crash="fail").enqueue("hanging:dies"))
    assert site.end(queue.enqueue("hanging:fine")).state == "succeeded"
    worker.until("3 children died over it")


def test_a_side_line_is_resolved_though_the_first_child_is_busy(site: Site) -> None:
    site.module("late", "def task(): return 7")
    site.worker("late", "--processes", "2").ready()
    busy = [site.enqueue(tasks.held, name) for name in ("a", "b")]
    ran_by = {name: int(site.marked(f"{name}-runs")) for name in ("a", "b")}
    unknowing = site.worker().ready()
    job = Queue("work", store=site.url).enqueue("late:task")
    site.state(job, "blocked")
    assert unknowing.stop() == 0
    first = min(ran_by, key=lambda name: ran_by[name])
    other = "b" if first == "a" else "a"
    site.let(f"{other}-may-end")
    assert site.state(job, "succeeded") == "succeeded"
    site.let(f"{first}-may-end")
    for each in busy:
        site.end(each)


def parked(site: Site) -> str:
    """Return a job that waits in a side line for a worker that knows its task."""
    site.module("late", "def task(): return 7")
    unknowing = site.worker().ready()
    job = Queue("work", store=site.url).enqueue("late:task").id
    site.state(job, "blocked")
    assert unknowing.stop() == 0
    return job


def test_burst_runs_what_waits_for_its_tasks(site: Site) -> None:
    job = parked(site)
    assert site.worker("late", "--burst").ready().ended() == 0
    assert site.job(job).state == "succeeded"


def test_a_side_line_is_left_to_those_who_serve_its_queue(site: Site) -> None:
    job = parked(site)
    assert site.worker("late", "-q", "other", "--burst").ready().ended() == 0
    assert site.job(job).state == "blocked"


def test_a_cancelled_job_that_waits_in_a_child_never_starts(site: Site) -> None:
    site.worker("--threads", "2").ready()
    for _ in range(30):
        site.run(tasks.nothing)
    held = [site.enqueue(tasks.held, name) for name in ("a", "b")]
    for name in ("a", "b"):
        site.marked(f"{name}-runs")
    waiting = [site.enqueue(tasks.count, "ran") for _ in range(3)]
    for job in waiting:
        job.cancel()
    assert [site.end(job).state for job in waiting] == ["cancelled"] * 3
    for name in ("a", "b"):
        site.let(f"{name}-may-end")
    for job in held:
        site.end(job)
    assert not site.mark("ran").exists()


EMBEDDED = """
import json, os, signal, subprocess, sys, threading, time
from packhorse import App

before = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.7); raise SystemExit(5)"])
seen = {}

def later():
    while not os.path.exists(os.path.join(os.environ["SITE"], "go")):
        time.sleep(0.01)
    program = subprocess.Popen(["sleep", "2.5"])
    seen["thread"] = program.wait()

thread = threading.Thread(target=later)

def mine(number, frame):
    pass

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, mine)
    descriptors = len(os.listdir("/proc/self/fd"))
    thread.start()
    code = App(tasks=["tests.worker.tasks"]).main(["worker", "--store", sys.argv[1]])
    thread.join()
    print(json.dumps({
        "code": code,
        "handler": signal.getsignal(signal.SIGTERM) is mine,
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "before": before.wait(),
        "thread": seen["thread"],
        "interval": sys.getswitchinterval(),
        "descriptors": len(os.listdir("/proc/self/fd")) - descriptors,
    }), flush=True)
"""


@pytest.fixture
def embedded(site: Site) -> Path:
    path = site.directory / "embedded.py"
    path.write_text(EMBEDDED)
    return path


def test_a_program_gets_back_what_the_worker_in_it_took(site: Site, embedded: Path) -> None:
    worker = site.launch([sys.executable, str(embedded), site.url]).ready()
    site.let("go")
    eventually(lambda: with_argument("sleep\x002.5"), "the program that a thread starts")
    first = site.run(tasks.kill_me, on_crash="fail")  # its burial looks for strays
    assert first.state == "failed"
    assert site.run(tasks.add, 1, 2).result == "3"
    eventually(lambda: len([pid for pid in worker.children() if alive(pid)]) <= 2, "the program before to end")
    assert worker.stop() == 0
    told = json.loads(worker.output.splitlines()[-1])
    assert told == {
        "code": 0,
        "handler": True,
        "interrupt": True,
        "before": 5,
        "thread": 0,
        "interval": pytest.approx(0.005),
        "descriptors": 0,
    }
