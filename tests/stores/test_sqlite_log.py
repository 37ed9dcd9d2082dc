"""The write-ahead log: checkpointed by one at a time, with the writer lock held, while others write."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from packhorse._record import NewJob
from packhorse._store import JobFilter
from packhorse._stores.sqlite import SqliteStore, checkpoint
from packhorse._stores.sqlite.checkpoint import Checkpoints

WRITER = """
import sys, uuid
from packhorse._record import NewJob
from packhorse._stores.sqlite import SqliteStore, checkpoint
checkpoint.LARGE = 40_000  # a checkpoint every few commits
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
        assert db.execute("SELECT n_queued FROM packhorse_lines").fetchone() == (len(stored),)


def test_sqlite_itself_never_checkpoints(store: SqliteStore) -> None:
    assert store._live().execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_the_log_is_begun_anew_once_it_is_large(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(16):
        store.enqueue(jobs(1000))
    limit = 2 * checkpoint.LARGE // 4096
    assert checkpoint.LARGE // 4096 < frames(store._path) < 2 * limit
    assert store.find(JobFilter()).total == 16_000


def test_a_checkpoint_waits_for_the_writer_and_never_becomes_a_passive_one(store: SqliteStore) -> None:
    """Without the writer lock SQLite would do what is to be avoided."""
    store.enqueue(jobs(50))
    writer = sqlite3.connect(store._path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    other = SqliteStore(store.url)
    done: list[bool | None] = []
    thread = threading.Thread(target=lambda: done.append(Checkpoints(other._live(), other._path).run()))
    thread.start()
    thread.join(0.3)
    still_waiting = thread.is_alive()
    before = Path(store._path).stat().st_size
    writer.execute("ROLLBACK")
    thread.join(30)
    assert still_waiting
    assert done == [True]
    assert Path(store._path).stat().st_size > before  # nothing had been moved while it waited


def test_only_one_process_checkpoints(store: SqliteStore) -> None:
    import fcntl

    store.enqueue(jobs(5))
    with open(f"{store._path}-checkpoint", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store._checkpoints.run() is None
    assert store._checkpoints.run() is True


def test_a_reader_holds_a_checkpoint_up_but_not_for_ever(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_PATIENCE_MS", 50)
    store.enqueue(jobs(5))
    reader = sqlite3.connect(store._path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM packhorse_jobs").fetchone()
    store.enqueue(jobs(5))
    assert store._checkpoints.run() is False
    assert store._live().execute("PRAGMA busy_timeout").fetchone() == (0,)
    reader.execute("COMMIT")
    assert store._checkpoints.run() is True
