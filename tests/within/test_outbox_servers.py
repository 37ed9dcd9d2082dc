"""The outbox on PostgreSQL, stores on servers behind it, and relays that die or meet."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest

from packhorse import Queue
from packhorse._relay import Relay, open_side, relay_of
from packhorse._store import JobFilter
from packhorse._stores import open_store
from packhorse.errors import BadSchema, StoreRefused
from tests.servers import postgres, redis
from tests.within import tasks
from tests.within.test_outbox import KILLED
from tests.worker.site import eventually

DDL: Any = files("packhorse").joinpath("_outbox", "postgresql.sql").read_text()


class Pair:
    """An application's PostgreSQL, and a job store somewhere else."""

    def __init__(self, target: str) -> None:
        self.outbox = postgres.fresh_url()
        self.url = target
        with closing(open_store(target)) as store:
            store.migrate()
        self.queue = Queue("mail", store=target)
        self.db = psycopg.connect(self.outbox)
        self.db.execute(DDL)
        self.db.commit()

    def put(self, count: int) -> list[str]:
        drafts = [self.queue.draft(tasks.add, n, 0) for n in range(count)]
        jobs = self.queue.within(self.db, outbox=True).enqueue_many(drafts)
        self.db.commit()
        return [job.id for job in jobs]

    def left(self) -> int:
        ((count,),) = self.db.execute("SELECT count(*) FROM packhorse_outbox").fetchall()
        self.db.commit()
        return int(count)

    def carry(self) -> int:
        return relay_of(self.outbox, lambda: open_store(self.url)).run(threading.Event(), once=True)

    def stored(self) -> list[str]:
        with closing(open_store(self.url)) as store:
            return [job.id for job in reversed(store.find(JobFilter(), 10_000).jobs)]


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    urls = {"postgresql": postgres.fresh_schema_url, "redis": redis.fresh_url}
    made = urls[request.param]() if request.param in urls else f"sqlite:///{tmp_path}/jobs.db"
    found = Pair(made)
    yield found
    found.db.close()


def test_jobs_come_to_every_store_in_their_order(pair: Pair) -> None:
    ids = pair.put(300)
    assert pair.carry() == 300
    assert pair.stored() == ids
    assert pair.left() == 0


def test_several_relays_share_the_work(pair: Pair) -> None:
    ids = pair.put(1000)
    carried: list[int] = []
    threads = [threading.Thread(target=lambda: carried.append(pair.carry())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(carried) == 1000  # rows that another is marking are passed over, so none was carried twice
    assert sorted(pair.stored()) == sorted(ids)
    assert pair.left() == 0


@pytest.mark.parametrize(
    "step", ["before mark", "after mark", "before enqueue", "after enqueue", "before delete", "after delete"]
)
@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_relay_killed_at_any_step_loses_and_doubles_nothing(pair: Pair, step: str) -> None:
    ids = pair.put(20)
    done = subprocess.run([sys.executable, "-c", KILLED, pair.outbox, pair.url, step], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    pair.db.execute("UPDATE packhorse_outbox SET tried_at = tried_at - 61000000")
    pair.db.commit()
    pair.carry()
    assert pair.stored() == ids
    assert pair.left() == 0


@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_a_transaction_that_holds_rows_of_the_outbox_holds_up_no_other(pair: Pair) -> None:
    (held,) = pair.put(1)
    with psycopg.connect(pair.outbox) as other:
        other.execute("SELECT 1 FROM packhorse_outbox FOR UPDATE")
        ids = pair.put(3)
        assert pair.carry() == 3
        assert pair.stored() == ids
    assert pair.carry() == 1
    assert held in pair.stored()


@pytest.mark.slow
def test_an_outage_of_the_database_of_the_outbox(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = postgres.Server(tmp_path)
    server.start()
    try:
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute(DDL)
        queue = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
        stop = threading.Event()
        relay = relay_of(server.url, lambda: open_store(f"sqlite:///{tmp_path}/jobs.db"))
        with caplog.at_level("INFO"):
            thread = threading.Thread(target=relay.run, args=(stop,))
            thread.start()
            _enqueue(queue, server.url)
            eventually(lambda: queue.counts()["queued"] == 1, "the first")
            server.kill()
            eventually(lambda: "waits" in caplog.text, "the outage is told")
            server.start()
            _enqueue(queue, server.url)
            eventually(lambda: queue.counts()["queued"] == 2, "the second")
            eventually(lambda: "goes on" in caplog.text, "its end is told")
            stop.set()
            thread.join(10)
        assert caplog.text.count("waits") == 1
    finally:
        server.remove()


def _enqueue(queue: Queue, url: str) -> None:
    with psycopg.connect(url) as db:
        queue.within(db, outbox=True).enqueue(tasks.add, 1, 2)


# -- a wrong set-up -------------------------------------------------------------------------------------------------------
def test_a_database_without_the_table(tmp_path: Path) -> None:
    url = postgres.fresh_url()
    relay = Relay(lambda: open_side(url), lambda: open_store(f"sqlite:///{tmp_path}/jobs.db"), "x")
    with pytest.raises(BadSchema, match="db sql --outbox"):
        relay.run(threading.Event())
    with psycopg.connect(url) as db, pytest.raises(BadSchema, match="db sql --outbox"):
        Queue("q", store="memory://").within(db, outbox=True).enqueue(tasks.add, 1, 2)


def test_a_database_that_is_not_there() -> None:
    url = postgres.fresh_url() + "x"
    with pytest.raises(StoreRefused, match="does not exist"):
        open_side(url)


def test_a_password_is_not_shown() -> None:
    url = postgres.database_of(postgres.fresh_url())
    head, _, rest = url.partition("://")
    place = rest.rpartition("@")[2]
    with pytest.raises(StoreRefused) as caught:
        open_side(f"{head}+psycopg://nobody:very-secret@{place}")
    assert "very-secret" not in str(caught.value)
    assert "nobody" in str(caught.value)
