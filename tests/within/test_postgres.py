"""What only PostgreSQL has: levels of isolation, savepoints, many connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from packhorse import Queue, task
from packhorse._stores import open_store
from packhorse.errors import JobNotFound
from tests.servers.postgres import database_of
from tests.within import tasks
from tests.within.conftest import database


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = database("postgresql", tmp_path)
    with closing(open_store(url)) as store:
        store.migrate()
    return url


@pytest.fixture
def db(url: str) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(database_of(url))) as db:
        yield db


@pytest.mark.parametrize("level", list(psycopg.IsolationLevel))
def test_every_level_of_isolation_is_left_as_it_is(
    url: str, db: psycopg.Connection, level: psycopg.IsolationLevel
) -> None:
    queue = Queue("mail", store=url)
    known = queue.enqueue(tasks.add, 0, 0)
    db.isolation_level = level
    assert db.execute("SELECT count(*) FROM own").fetchone() == (0,)  # its view of the database is fixed here
    later = queue.enqueue(tasks.add, 0, 1)
    job = queue.within(db).enqueue(tasks.add, 1, 2)
    assert queue.within(db).using(id=known.id).enqueue(tasks.add, 0, 0).existing
    shown = db.execute("SHOW transaction_isolation").fetchone()
    assert shown == (level.name.lower().replace("_", " "),)
    db.commit()
    assert {each.id for each in queue.jobs()} == {known.id, later.id, job.id}


def test_many_open_transactions_enqueue_at_the_same_time(url: str) -> None:
    """None waits for another: no row of ours is shared between them."""
    queue = Queue("mail", store=url)
    with contextlib.ExitStack() as stack:
        open_ones = [stack.enter_context(closing(psycopg.connect(database_of(url)))) for _ in range(5)]
        jobs = [queue.within(db).enqueue(tasks.add, n, n) for n, db in enumerate(open_ones)]
        jobs += [queue.within(db).enqueue(tasks.add, n, n) for n, db in enumerate(open_ones)]
        assert queue.enqueue(tasks.add, 9, 9).refresh().state == "queued"
        for db in open_ones:
            db.commit()
    assert queue.counts()["queued"] == 11
    assert len({job.refresh().id for job in jobs}) == 10


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_along(url: str, db: psycopg.Connection) -> None:
    queue = Queue("mail", store=url)
    with db.transaction():
        kept = queue.within(db).enqueue(tasks.add, 1, 2)
        with contextlib.suppress(KeyError), db.transaction():
            lost = queue.within(db).enqueue(tasks.add, 3, 4)
            raise KeyError
    assert kept.refresh().state == "queued"
    with pytest.raises(JobNotFound):
        lost.refresh()


def test_autocommit_with_a_transaction_block(url: str) -> None:
    queue = Queue("mail", store=url)
    with psycopg.connect(database_of(url), autocommit=True) as db, db.transaction():
        job = queue.within(db).enqueue(tasks.add, 1, 2)
        assert queue.counts()["queued"] == 0
    assert job.refresh().state == "queued"


@task
def greet(name: str) -> str:
    return f"hello {name}"


def test_a_task_goes_through_its_queue(url: str, db: psycopg.Connection) -> None:
    queue = Queue("mail", store=url)
    job = greet.using(queue=queue.within(db), priority=2).enqueue("ada")
    assert queue.counts()["queued"] == 0
    db.commit()
    assert (job.refresh().task, job.priority) == (greet.name, 2)


def test_other_time_zones_encodings_and_search_paths_do_not_matter(url: str, db: psycopg.Connection) -> None:
    queue = Queue("mail", store=url)
    db.execute("SET timezone = 'Asia/Kathmandu'")
    db.execute("SET search_path = pg_catalog")
    db.execute("SET client_encoding = 'LATIN1'")
    db.execute("SET standard_conforming_strings = off")
    job = queue.within(db).using(tags=["ä", "🐎", "100%"], meta={"k": "%s ' \\ \x01"}).enqueue(tasks.add, 1, 2)
    db.commit()
    assert (job.refresh().tags, dict(job.meta)) == (("ä", "🐎", "100%"), {"k": "%s ' \\ \x01"})
