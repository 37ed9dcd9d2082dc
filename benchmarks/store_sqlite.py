"""How fast one connection of the SQLite store is, beside what SQLite itself does with a bare loop.

    python benchmarks/store_sqlite.py [--jobs 50000] [--batch 1000] [--dir DIRECTORY] [--synchronous full]

Everything is counted in jobs per second and with every commit durable as ``synchronous`` says.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._stores import open_store

BY = '{"user":"ada","host":"example","program":"/usr/bin/python3","file":"tasks.py:12"}'


class Sizes(NamedTuple):
    """How much is measured."""

    jobs: int
    batch: int
    singles: int


def new_jobs(count: int) -> list[NewJob]:
    """Return no-op jobs under ids that grow with time, as producers make them."""
    base = time.time_ns()
    ids = (uuid.UUID(int=(base + n) << 64 | int.from_bytes(os.urandom(8), "big")) for n in range(count))
    return [NewJob(str(id), "tasks:noop", "default", "[[],{}]", by=BY) for id in ids]


def bare_inserts(path: Path, synchronous: str, count: int) -> float:
    """Insert and commit one row at a time into a plain table; return rows per second."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute(
        "CREATE TABLE job (id TEXT PRIMARY KEY, task TEXT, queue TEXT, payload TEXT, created_at INTEGER, made_by TEXT)"
    )
    rows = [(job.id, job.task, job.queue, job.payload, 0, BY) for job in new_jobs(count)]
    start = time.perf_counter()
    for row in rows:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO job VALUES (?, ?, ?, ?, ?, ?)", row)
        db.execute("COMMIT")
    taken = time.perf_counter() - start
    db.close()
    return count / taken


def singles(url: str, count: int) -> float:
    """Enqueue one job at a time; return jobs per second."""
    store = open_store(url)
    jobs = new_jobs(count)
    start = time.perf_counter()
    for job in jobs:
        store.enqueue([job])
    taken = time.perf_counter() - start
    store.close()
    return count / taken


def bulk(url: str, sizes: Sizes) -> float:
    """Enqueue in batches; return jobs per second."""
    store = open_store(url)
    batches = [new_jobs(sizes.batch) for _ in range(sizes.jobs // sizes.batch)]
    start = time.perf_counter()
    for batch in batches:
        store.enqueue(batch)
    taken = time.perf_counter() - start
    store.close()
    return len(batches) * sizes.batch / taken


def drain(url: str, batch: int) -> tuple[float, float, float]:
    """Claim and settle all; return jobs claimed per second, settled per second, and µs of CPU a job."""
    store = open_store(url)
    store.register(WorkerRecord(str(uuid.uuid4()), "bench", "example", os.getpid(), "boot"))
    worker = store.workers()[0].id
    jobs, claiming, settling, cpu = 0, 0.0, 0.0, time.process_time()
    for number in range(1, 1_000_000_000):
        start = time.perf_counter()
        claim = store.claim(["default"], batch, 0, worker, number)
        claimed = time.perf_counter()
        claiming += claimed - start
        if not claim.jobs:
            break
        verdicts = [Verdict(j.id, j.token, "succeeded", "succeeded", 0.001, 0.0005, True, "null") for j in claim.jobs]
        ready = time.perf_counter()
        assert store.settle(worker, verdicts) == []
        settling += time.perf_counter() - ready
        jobs += len(claim.jobs)
    cpu = time.process_time() - cpu
    store.close()
    return jobs / claiming, jobs / settling, cpu / jobs * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=3000)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    given = parser.parse_args()
    sizes = Sizes(given.jobs, given.batch, given.singles)
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        measure(Path(directory), given.synchronous, sizes)


def measure(directory: Path, synchronous: str, sizes: Sizes) -> None:
    """Measure one setting."""
    print(f"SQLite {sqlite3.sqlite_version}, synchronous={synchronous}, {sizes.jobs:,} jobs, batches of {sizes.batch}")
    ours, bare = 0.0, 0.0
    for turn in range(3):
        bare = max(bare, bare_inserts(directory / f"bare{turn}.db", synchronous, sizes.singles))
        ours = max(ours, singles(f"sqlite:///{directory}/one{turn}.db?synchronous={synchronous}", sizes.singles))
    print(f"enqueue one at a time  {ours:>10,.0f}/s   bare INSERT + COMMIT {bare:,.0f}/s, ratio {ours / bare:.2f}")
    url = f"sqlite:///{directory}/many.db?synchronous={synchronous}"
    print(f"enqueue in batches     {bulk(url, sizes):>10,.0f}/s")
    claimed, settled, cpu = drain(url, sizes.batch)
    print(f"claim                  {claimed:>10,.0f}/s")
    print(f"settle                 {settled:>10,.0f}/s   {cpu:.1f} µs of CPU a job for both")


if __name__ == "__main__":
    main()
