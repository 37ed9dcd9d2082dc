from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from packhorse import Queue
from packhorse._stores import open_store
from tests.servers.postgres import database_of, fresh_schema_url, fresh_url
from tests.within.kinds import KINDS, Open, place_of
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


def connection(url: str) -> Any:
    """Connect to the database of a URL."""
    return sqlite3.connect(place_of(url)) if url.startswith("sqlite") else psycopg.connect(place_of(url))


def rows(url: str) -> list[str]:
    """Return what the application has committed."""
    with closing(connection(url)) as db:
        return [row[0] for row in db.execute("SELECT text FROM own").fetchall()]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Open]:
    found: type[Open] = request.param
    return found


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One database of each dialect, made when it is first needed; its job store is there too."""
    return _Databases(tmp_path_factory)


class _Databases(dict[str, str]):
    def __init__(self, factory: pytest.TempPathFactory) -> None:
        super().__init__()
        self._factory = factory

    def __missing__(self, dialect: str) -> str:
        url = self[dialect] = database(dialect, self._factory.mktemp("within"))
        with closing(open_store(url)) as store:
            store.migrate()
        return url


@pytest.fixture
def url(kind: type[Open], databases: dict[str, str]) -> str:
    """The application's database, which is the job store too; what is in it belongs to other tests, but for ``own``."""
    url = databases[kind.dialect]
    with closing(connection(url)) as db:
        db.execute("DELETE FROM own")
        db.execute("DROP TABLE IF EXISTS packhorse_outbox")
        db.commit()
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
    """A queue that no other test uses."""
    return Queue(f"q{uuid.uuid4().hex}", store=url)
