"""A worker whose file is taken away says so, waits, and goes on when it is back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packhorse import Queue
from packhorse._stores import open_store
from tests.worker import tasks
from tests.worker.site import Site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux has what the site looks at"),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.close()


def move(directory: Path, old: str, new: str) -> None:
    """Move the database with what belongs to it."""
    for end in ("-wal", "-shm", ""):
        if (directory / f"{old}{end}").exists():
            (directory / f"{old}{end}").rename(directory / f"{new}{end}")


def test_a_file_that_was_moved_away_and_comes_back(site: Site, tmp_path: Path) -> None:
    worker = site.worker().ready()
    job = site.enqueue(tasks.add, 1, 2)
    site.end(job)
    move(tmp_path, "jobs.db", "away.db")
    assert "deleted or moved while it was open" in worker.until("deleted or moved")
    move(tmp_path, "away.db", "jobs.db")
    worker.until("the store is back")
    assert site.end(site.enqueue(tasks.add, 3, 4)).result == "7"
    assert worker.stop() == 0


def test_a_file_that_was_replaced(site: Site, tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/other.db").close()
    worker = site.worker().ready()
    site.end(site.enqueue(tasks.add, 1, 2))
    (tmp_path / "other.db").rename(tmp_path / "jobs.db")
    assert "E104" in worker.until("replaced by another file")
    assert worker.process.poll() is None


def test_a_disk_that_is_full_and_then_has_room(site: Site, small_disk: Path) -> None:
    site.url = f"sqlite:///{small_disk}/jobs.db"
    site.queue = Queue("work", store=site.url)
    worker = site.worker().ready()
    job = site.enqueue(tasks.add, 1, 2, delay=1.0)
    ballast = fill(small_disk)
    worker.until("is full")
    assert worker.process.poll() is None
    ballast.unlink()
    worker.until("the store is back")
    assert site.end(job).result == "3"
    assert worker.stop() == 0


def fill(disk: Path) -> Path:
    """Leave no room: not in the log either, which is cut to what it holds."""
    for file in disk.glob("jobs.db-wal"):
        with closing(sqlite3.connect(disk / "jobs.db", timeout=10)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert file.exists()
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as out:
        try:
            while out.write(b"x" * 4096):
                pass
        except OSError:
            return ballast
    raise AssertionError("a disk without end")
