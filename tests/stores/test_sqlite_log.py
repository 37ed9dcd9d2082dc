"""The write-ahead log: checkpointed by one at a time, with the writer lock held, while others write."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from packhorse._record import NewJob
from packhorse._store import JobFilter
from packhorse._stores.sqlite import SqliteStore, checkpoint

WRITER = """
import sys, uuid
from packhorse._record import NewJob
from packhorse._stores.sqlite import SqliteStore, checkpoint
checkpoint.LARGE, checkpoint._REST_AFTER_ALL, checkpoint._LOOK_EVERY = 40_000, 0.0, 1  # a checkpoint every few commits
store = SqliteStore(sys.argv[1])
run, done = checkpoint.Checkpoints.run, []
checkpoint.Checkpoints.run = lambda self: done.append(run(self)) or done[-1]
store._discard()  # opened anew, with the small mark
for _ in range(150):
    jobs = [NewJob(str(uuid.uuid4()), "m:f", "q", "x" * 300) for _ in range(5)]
    store.enqueue(jobs)
    print(*(job.id for job in jobs))
print("checkpoints", done.count(True))
"""

# Reads the database without its log; in a process of its own, since closing a file drops the locks on it.
MOVED = """
import shutil, sqlite3, sys
shutil.copy(sys.argv[1], sys.argv[1] + "-copy")
db = sqlite3.connect(f"file:{sys.argv[1]}-copy?immutable=1", uri=True)
has = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'packhorse_jobs'").fetchone()
found = db.execute("SELECT count(*) FROM packhorse_jobs").fetchone()[0] if has else 0
assert str(found) == sys.argv[2], found
"""


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(f"sqlite:///{tmp_path}/jobs.db")


def jobs(count: int) -> list[NewJob]:
    return [NewJob(str(uuid.uuid4()), "m:f", "q", "x" * 500) for _ in range(count)]


def frames(path: str) -> int:
    """Return how large the log's file is, in pages."""
    return os.stat(f"{path}-wal").st_size // 4096


def test_no_commit_is_lost_and_nothing_damaged_while_many_write_and_checkpoint(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    SqliteStore(url).close()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    stored = {word for words in said for word in words if len(word) == 36}
    assert len(stored) == 3 * 150 * 5
    assert sum(int(words[-1]) for words in said) > 10
    with sqlite3.connect(tmp_path / "jobs.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert {row[0] for row in db.execute("SELECT id FROM packhorse_jobs")} == stored
        summed, counted = db.execute(
            "SELECT n_queued, value FROM packhorse_lines, packhorse_meta WHERE key = 'counted'"
        ).fetchone()
        later = db.execute("SELECT count(*) FROM packhorse_jobs WHERE seq > ?", (counted,)).fetchone()[0]
        assert summed + later == len(stored)


def test_sqlite_itself_never_checkpoints(store: SqliteStore) -> None:
    assert store._live().execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_the_log_is_begun_anew_once_it_is_large(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(16):
        store.enqueue(jobs(1000))
    limit = 2 * checkpoint.LARGE // 4096
    assert checkpoint.LARGE // 4096 < frames(store._path) < 2 * limit
    assert store.find(JobFilter()).total == 16_000


def test_there_is_no_checkpoint_without_the_writer_lock(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.enqueue(jobs(50))
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.05)
    with closing(sqlite3.connect(store._path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert store._checkpoints.run() is None
    subprocess.run([sys.executable, "-c", MOVED, store._path, "0"], check=True)
    assert store._checkpoints.run() is True
    subprocess.run([sys.executable, "-c", MOVED, store._path, "50"], check=True)


def test_nobody_writes_during_a_checkpoint(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(path: str) -> bool:
        other = sqlite3.connect(path, isolation_level=None, timeout=0)
        with closing(other), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        return True

    monkeypatch.setattr(checkpoint, "_moved", busy)
    assert store._checkpoints.run() is True
    store.enqueue(jobs(1))


def test_only_one_process_checkpoints(store: SqliteStore) -> None:
    import fcntl

    store.enqueue(jobs(5))
    with open(f"{store._path}-checkpoint", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store._checkpoints.run() is None
    assert store._checkpoints.run() is True


def test_a_reader_holds_no_writer_up(store: SqliteStore) -> None:
    store.enqueue(jobs(5))
    with closing(sqlite3.connect(store._path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM packhorse_jobs").fetchone() == (5,)
        store.enqueue(jobs(5))
        started = time.monotonic()
        assert store._checkpoints.run() is False
        store.enqueue(jobs(5))
        assert time.monotonic() - started < 5
        assert reader.execute("SELECT count(*) FROM packhorse_jobs").fetchone() == (5,)
    assert store._checkpoints.run() is True


def test_a_log_that_grew_huge_is_cut(store: SqliteStore) -> None:
    assert store._live().execute("PRAGMA journal_size_limit").fetchone() == (checkpoint.HUGE,)
    store._live().execute("PRAGMA journal_size_limit = 100000")
    store.enqueue(jobs(1000))
    assert os.stat(f"{store._path}-wal").st_size > 500_000
    assert store._checkpoints.run() is True
    store.enqueue(jobs(1))
    assert os.stat(f"{store._path}-wal").st_size <= 100_000
