from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from packhorse import Queue
from packhorse._stores import open_store
from tests.servers.postgres import database_of, fresh_schema_url, fresh_url
from tests.within.kinds import KINDS, Open
from tests.worker.site import Site

#: Begins a transaction of one kind, on the store's own database unless another URL is given.
Begin = Callable[..., Open]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own; its workers are killed at the end."""
    found = Site(tmp_path)
    yield found
    found.close()


def database(dialect: str, directory: Path) -> str:
    """Return the URL of a database with a table of the application's own, and no jobs."""
    if dialect == "sqlite":
        path = directory / "app.db"
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE own (text TEXT)")
        return f"sqlite:///{path}"
    url = fresh_schema_url()
    with psycopg.connect(database_of(url), autocommit=True) as db:
        db.execute("CREATE TABLE IF NOT EXISTS own (text TEXT)")
        db.execute("DROP TABLE IF EXISTS packhorse_outbox")
        db.execute("TRUNCATE own")
    return url


def another_database(dialect: str, directory: Path) -> str:
    """Return the URL of another one."""
    if dialect == "sqlite":
        directory.mkdir()
        return database(dialect, directory)
    url = fresh_url()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE own (text TEXT)")
    return url


def rows(url: str) -> list[str]:
    """Return what the application has committed."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            return [row[0] for row in db.execute("SELECT text FROM own")]
    with psycopg.connect(database_of(url)) as db:
        return [row[0] for row in db.execute("SELECT text FROM own").fetchall()]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Open]:
    found: type[Open] = request.param
    return found


@pytest.fixture
def url(kind: type[Open], tmp_path: Path) -> str:
    """The application's database, which is the job store too."""
    url = database(kind.dialect, tmp_path)
    with closing(open_store(url)) as store:
        store.migrate()
    return url


@pytest.fixture
def begin(kind: type[Open], url: str) -> Iterator[Begin]:
    opened: list[Open] = []

    def begin_it(where: str = url) -> Open:
        opened.append(kind(where))
        return opened[-1]

    yield begin_it
    for each in opened:
        each.close()


@pytest.fixture
def queue(url: str) -> Queue:
    return Queue("mail", store=url)
