"""A move and transactions of users' own in which jobs were enqueued."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packhorse import Queue
from packhorse._move import Move
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse.errors import StoreMoved
from tests.conformance.test_moving import everything
from tests.worker import tasks

from .making import Watcher, how, ids, mover


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    source, target = (open_store(f"sqlite:///{tmp_path}/{name}.db") for name in ("from", "to"))
    yield source, target
    source.close()
    target.close()


def test_a_job_in_an_open_transaction_is_waited_for(stores: tuple[Store, Store], tmp_path: Path) -> None:
    source, target = stores
    began = threading.Event()

    class Telling(Watcher):
        def step(self, what: str, total: int | None = None) -> None:
            began.set()

    with closing(sqlite3.connect(tmp_path / "from.db", isolation_level=None, timeout=30)) as mine:
        mine.execute("BEGIN")
        job = Queue("mail", store=source.url).within(mine).enqueue(tasks.add, 1, 2)
        moving = threading.Thread(target=Move(source, target, Telling()).run)
        moving.start()
        assert began.wait(20)
        with closing(open_store(source.url)) as looking:
            assert how(looking) == "open"  # it cannot be closed as long as that transaction is open
        mine.execute("COMMIT")
    moving.join(30)
    assert not moving.is_alive()
    assert ids(everything(target)) == [job.id]


def test_a_moved_store_takes_no_job_in_a_transaction(stores: tuple[Store, Store], tmp_path: Path) -> None:
    source, target = stores
    mover(source, target).run()
    with closing(sqlite3.connect(tmp_path / "from.db", isolation_level=None)) as mine:
        mine.execute("BEGIN")
        with pytest.raises(StoreMoved, match="have moved to"):
            Queue("mail", store=source.url).within(mine).enqueue(tasks.add, 1, 2)
        mine.execute("COMMIT")
    assert everything(source) == []
