"""Processes that write, work, fork and checkpoint, killed at any moment: nothing acknowledged is lost, the file stays whole."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

HAMMER = """
import os, random, sys, threading, time, traceback, uuid
from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._stores import open_store
from packhorse._stores.sqlite import checkpoint

checkpoint.LARGE, checkpoint._REST_AFTER_ALL, checkpoint._LOOK_EVERY = 60_000, 0.0, 1
url, ledger = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def put(store, count):
    jobs = [
        NewJob(str(uuid.uuid4()), "m:f", f"q{random.randrange(3)}", "x" * random.randrange(2000),
               delay=random.choice([0, 0, 0, 0.01]))
        for _ in range(count)
    ]
    store.enqueue(jobs)
    # No file object: a forked child would inherit its lock, held by whatever thread was writing.
    os.write(ledger, (" ".join(job.id for job in jobs) + "\\n").encode())

def produce():
    store = open_store(url)
    for _ in range(random.randrange(1, 40)):
        put(store, random.choice([1, 1, 5, 50]))
    store.close()

def verdict(job):
    if random.random() < 0.8:
        return Verdict(job.id, job.token, "succeeded", "succeeded", 0.001, 0.0005, True, "null")
    return Verdict(job.id, job.token, "failed", "retrying", reason="r", error="{}", failures=1, delay=0.01)

def work():
    store, worker = open_store(url), str(uuid.uuid4())
    store.register(WorkerRecord(worker, worker, "h", 1, "b"))
    for call in range(1, random.randrange(2, 60)):
        store.settle(worker, [verdict(job) for job in store.claim(None, 20, 0, worker, call).jobs])
        store.beat(worker, call, [])
        store.promote()
        store.settle(None, [Verdict(o.job, o.token, "lost", "queued", losses=1) for o in store.orphans(50)])
        for other in store.workers():
            if other.id != worker and random.random() < 0.1:
                store.condemn(other.id, other.beats)
    store.close()

def fork():
    store = open_store(url)
    put(store, 1)
    pid = os.fork()
    if pid == 0:
        try:
            put(store, 1)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    put(store, 1)
    store.close()

def forever(act):
    try:
        while True:
            act()
    except BaseException:
        traceback.print_exc()
        os._exit(7)

for act in (produce, work, work, *([fork] if sys.argv[3] == "fork" else [])):
    threading.Thread(target=forever, args=(act,)).start()
"""


class Hammers:
    """Some processes; one that is killed is followed by another."""

    def __init__(self, directory: Path, count: int) -> None:
        self.url = f"sqlite:///{directory}/jobs.db?synchronous=normal"
        self.directory = directory
        self.started = 0
        self.running = [self.start() for _ in range(count)]

    def start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        ledger = str(self.directory / f"ledger{self.started}")
        kind = "fork" if self.started % 2 else "plain"
        with (self.directory / "errors").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-c", HAMMER, self.url, ledger, kind], stderr=errors, start_new_session=True
            )

    def kill_one(self) -> None:
        place = random.randrange(len(self.running))
        self.kill(self.running[place])
        self.running[place] = self.start()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)  # with what it has forked
        assert process.wait() == -signal.SIGKILL, (self.directory / "errors").read_text()

    def acknowledged(self) -> set[str]:
        lines = [
            line
            for file in self.directory.glob("ledger*")
            for line in file.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return {id for line in lines for id in line.split() if len(id) == 36}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("seconds", [4, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_processes_harm_nothing(tmp_path: Path, seconds: int) -> None:
    hammers = Hammers(tmp_path, 3)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.uniform(0.1, 0.8))
        hammers.kill_one()
    for process in hammers.running:
        hammers.kill(process)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {row[0] for row in db.execute("SELECT id FROM packhorse_jobs")}
        columns = [f"n_{state}" for state in STATES]
        counted = db.execute(f"SELECT {', '.join(f'sum({name})' for name in columns)} FROM packhorse_lines").fetchone()
        actual = dict(db.execute("SELECT state, count(*) FROM packhorse_jobs GROUP BY state").fetchall())
        (uncounted,) = db.execute(UNCOUNTED).fetchone()
        wrong_claims = db.execute(WRONG_CLAIMS).fetchall()
        strangers = db.execute("SELECT count(*) FROM packhorse_jobs WHERE ns = 0").fetchone()
    acknowledged = hammers.acknowledged()
    assert len(acknowledged) > 100
    assert acknowledged - stored == set()
    assert 0 <= uncounted < 2 * 256  # a process may die between a job and the sum
    assert (counted[0] + uncounted, *counted[1:]) == tuple(
        actual.get(number, 0) for number in range(2, 2 + len(STATES))
    )
    assert (wrong_claims, strangers) == ([], (0,))


UNCOUNTED = "SELECT count(*) FROM packhorse_jobs WHERE seq > (SELECT value FROM packhorse_meta WHERE key = 'counted')"
#: Claims that do not count their jobs right, or are not found by those that run.
WRONG_CLAIMS = """
SELECT c.no, c.jobs, c.running, count(j.seq), count(j.seq) FILTER (WHERE j.state = 3),
       (SELECT count(*) FROM packhorse_running r WHERE r.no = c.no)
  FROM packhorse_claims c LEFT JOIN packhorse_jobs j ON j.claim = c.no
 WHERE c.no > 16777216
 GROUP BY c.no HAVING (c.jobs, c.running, c.running) <> (
       count(j.seq), count(j.seq) FILTER (WHERE j.state = 3), (SELECT count(*) FROM packhorse_running r WHERE r.no = c.no))
"""
STATES = ("queued", "running", "scheduled", "retrying", "blocked", "succeeded", "failed", "cancelled")
