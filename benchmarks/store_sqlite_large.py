"""How the SQLite store bears size: the same calls on an empty store and beside a million queued and a million ended jobs.

    python benchmarks/store_sqlite_large.py [--queued 1000000] [--ended 1000000] [--dir DIRECTORY] [--synchronous normal]

The ceiling is SQLite's own: one bare UPDATE of an indexed row with its commit, measured in between, on both files.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store

BY = '{"user":"ada","host":"example","program":"/usr/bin/python3","file":"tasks.py:12"}'
CALLS = 300
LONG_AGO = 3 * 24 * 3600 * 1_000_000


def new_jobs(count: int) -> list[NewJob]:
    """Return no-op jobs of three tasks on two queues."""
    base = time.time_ns()
    ids = (uuid.UUID(int=(base + n) << 64 | int.from_bytes(os.urandom(8), "big")) for n in range(count))
    return [NewJob(str(id), f"tasks:noop{n % 3}", f"q{n % 2}", "[[],{}]", by=BY) for n, id in enumerate(ids)]


def fill(url: str, queued: int, ended: int) -> None:
    """Store jobs and end the first of them, three days ago."""
    store = open_store(url, clock=lambda: time.time_ns() // 1000 - LONG_AGO)
    worker = registered(store)
    for _ in range(ended // 1000):
        store.enqueue(new_jobs(1000))
        claimed = store.claim(None, 1000, 0, worker, 1).jobs + store.claim(None, 1000, 0, worker, 2).jobs
        store.settle(
            worker, [Verdict(j.id, j.token, "succeeded", "succeeded", 0.1, 0.1, True, "null") for j in claimed]
        )
    for _ in range(queued // 1000):
        store.enqueue(new_jobs(1000))
    store.leave(worker)
    store.close()


def registered(store: Store) -> str:
    """Register a worker; return its id."""
    worker = str(uuid.uuid4())
    store.register(WorkerRecord(worker, worker, "example", os.getpid(), "boot"))
    return worker


def spread(times: list[float]) -> str:
    """Return the median and the 99th percentile in ms."""
    ordered = sorted(times)
    return f"{ordered[len(ordered) // 2] * 1e3:8.2f} {ordered[int(len(ordered) * 0.99)] * 1e3:8.2f}"


def timed(call: Callable[[], object]) -> float:
    """Return how long a call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Side:
    """One file under measurement."""

    def __init__(self, name: str, url: str, path: Path) -> None:
        self.name, self.url, self.path = name, url, path
        self.store = open_store(url)
        self.worker = registered(self.store)
        self.bare = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.bare.execute(f"PRAGMA synchronous = {'normal' if 'normal' in url else 'full'}")
        self.bare.execute("PRAGMA wal_autocheckpoint = 0")
        self.bare.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, x, y)")
        self.bare.execute("CREATE INDEX bare_x ON bare (x)")
        self.bare.execute("INSERT INTO bare VALUES (1, 0, 0)")
        self.number = 0
        self.times: dict[str, list[float]] = {}

    def note(self, what: str, call: Callable[[], object]) -> None:
        """Measure one call."""
        self.times.setdefault(what, []).append(timed(call))

    def step(self) -> None:
        """Store ten jobs, one at a time; claim and settle ten; and look."""
        for job in new_jobs(10):
            self.note("enqueue 1", lambda job=job: self.store.enqueue([job]))  # type: ignore[misc]
        self.number += 1
        got = []
        self.note("claim 10", lambda: got.extend(self.store.claim(["q0"], 10, 0, self.worker, self.number).jobs))
        done = [Verdict(j.id, j.token, "succeeded", "succeeded", 0.1, 0.1, True, "null") for j in got]
        self.note("settle 10", lambda: self.store.settle(self.worker, done))
        self.note("bare UPDATE", lambda: self.bare.execute("UPDATE bare SET x = x + 1"))
        self.look()

    def look(self) -> None:
        """Measure what only reads."""
        find = self.store.find
        self.note("queues()", self.store.queues)
        self.note("find all", lambda: find(JobFilter(), 50))
        self.note("find queued", lambda: find(JobFilter(states=("queued",)), 50))
        self.note("find succeeded", lambda: find(JobFilter(states=("succeeded",)), 50))
        self.note("find failed (none)", lambda: find(JobFilter(states=("failed",)), 50))
        self.note("find task + state", lambda: find(JobFilter(task="tasks:noop1", states=("succeeded",)), 50))
        self.note("find task", lambda: find(JobFilter(task="tasks:noop1"), 50))


def measure(directory: Path, synchronous: str, queued: int, ended: int) -> None:
    """Fill, measure both in turns, and print."""
    urls = {name: f"sqlite:///{directory}/{name}.db?synchronous={synchronous}" for name in ("empty", "large")}
    start = time.perf_counter()
    fill(urls["large"], queued, ended)
    size = os.stat(directory / "large.db").st_size / 1e6
    print(f"SQLite {sqlite3.sqlite_version}, synchronous={synchronous}")
    print(f"{queued:,} queued and {ended:,} ended jobs: {size:,.0f} MB, filled in {time.perf_counter() - start:.0f} s")
    sides = [Side(name, url, directory / f"{name}.db") for name, url in urls.items()]
    for _ in range(CALLS):
        for side in sides:
            side.step()
    print(f"{'ms':20} {'empty: median':>14}      p99   large: median      p99   ratio of p99")
    for what in sides[0].times:
        small, large = (sorted(side.times[what]) for side in sides)
        ratio = large[int(len(large) * 0.99)] / small[int(len(small) * 0.99)]
        print(f"{what:20}      {spread(small)}      {spread(large)}   {ratio:6.2f}")
    prune(sides[1])
    ending(sides[1])


def prune(side: Side) -> None:
    """Prune for ten seconds."""
    times: list[float] = []
    pruned = 0
    end = time.perf_counter() + 10
    while time.perf_counter() < end:
        start = time.perf_counter()
        number = side.store.prune({"succeeded": 24 * 3600.0})
        times.append(time.perf_counter() - start)
        pruned += number
        if not number:
            break
    print(f"prune: {pruned / sum(times):,.0f} jobs/s, ms a call: median, p99 {spread(times)}")


def ending(side: Side) -> None:
    """Look for the oldest queued job by the end of its id."""
    id = side.bare.execute("SELECT id FROM packhorse_jobs WHERE state = 2 ORDER BY seq LIMIT 1").fetchone()[0]
    try:
        print(f"get by 8 characters: {timed(lambda: side.store.get([id[-8:]])) * 1e3:.0f} ms")
    except Exception as error:
        print(f"get by 8 characters: {error}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        measure(Path(directory), given.synchronous, given.queued, given.ended)


if __name__ == "__main__":
    main()
