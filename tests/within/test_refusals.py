"""What is no transaction, or none that can be committed: refused by name, with nothing stored."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from packhorse import Queue
from packhorse.errors import WrongHandle
from tests.servers.postgres import fresh_url
from tests.within import tasks
from tests.within.kinds import django_alias, engine_url


@pytest.fixture(scope="module")
def server() -> str:
    """A PostgreSQL database without any table of ours: what is refused comes to no statement."""
    return fresh_url()


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    queue = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
    queue.enqueue(tasks.add, 0, 0)
    return queue


def refused(handle: object, queue: Queue, **how: Any) -> str:
    """Return what is said of a handle that is refused."""
    with pytest.raises(WrongHandle) as caught:
        queue.within(handle, **how).enqueue(tasks.add, 1, 2)
    assert caught.value.code == "E125"
    assert queue.counts()["queued"] == 1
    return str(caught.value)


# -- no transaction at all ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("thing", [None, 5, object(), ["x"]])
def test_other_things_are_named_with_what_is_supported(queue: Queue, thing: object) -> None:
    message = refused(thing, queue)
    assert f"({type(thing).__module__}.{type(thing).__qualname__})" in message
    assert "It takes a sqlite3 or psycopg connection" in message


def test_what_is_near_to_a_handle_is_told_the_way(queue: Queue, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/jobs.db")
    with closing(sqlite3.connect(":memory:")) as db:
        assert "Give its connection: cursor.connection" in refused(db.cursor(), queue)
    assert "engine.begin()" in refused(engine, queue)
    engine.dispose()


def test_libraries_that_are_not_supported_are_named(queue: Queue) -> None:
    for module, name in (("asyncpg.connection", "Connection"), ("aiosqlite.core", "Connection")):
        lookalike = type(name, (), {"__module__": module})()
        assert f"{module.partition('.')[0]} is not supported" in refused(lookalike, queue)


def test_an_engine_over_another_driver(queue: Queue) -> None:
    class Strange:
        """What SQLAlchemy would have beneath it."""

        closed = invalidated = False
        connection = type("Fairy", (), {"driver_connection": type("Raw", (), {"__module__": "asyncpg.connection"})()})()

        def in_transaction(self) -> bool:
            return True

    Strange.__module__, Strange.__qualname__ = "sqlalchemy.engine.base", "Connection"
    assert "over the driver asyncpg, which is not supported" in refused(Strange(), queue)


def test_an_alias_that_django_does_not_know(queue: Queue) -> None:
    django_alias("sqlite:///unused.db")
    assert "Django knows no database 'nope'" in refused("nope", queue)


# -- closed -------------------------------------------------------------------------------------------------------------
def _closed_sqlite(server: str, path: Path) -> Any:
    db = sqlite3.connect(path)
    db.close()
    return db


def _closed_psycopg(server: str, path: Path) -> Any:
    db = psycopg.connect(server)
    db.close()
    return db


def _closed_psycopg2(server: str, path: Path) -> Any:
    db = psycopg2.connect(server)
    db.close()
    return db


def _closed_alchemy(server: str, path: Path) -> Any:
    connection = create_engine(f"sqlite:///{path}", poolclass=NullPool).connect()
    connection.close()
    return connection


@pytest.mark.parametrize("make", [_closed_sqlite, _closed_psycopg, _closed_psycopg2, _closed_alchemy])
def test_closed(queue: Queue, server: str, tmp_path: Path, make: Callable[[str, Path], Any]) -> None:
    assert "is closed; nothing was stored" in refused(make(server, tmp_path / "jobs.db"), queue)


def test_a_connection_that_the_server_has_cut(server: str) -> None:
    """The driver does not know yet: its own error comes through, and then it is closed."""
    queue = Queue("mail", store=server)
    with psycopg.connect(server) as db, psycopg.connect(server, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (db.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            queue.within(db, outbox=True).enqueue(tasks.add, 1, 2)
        with pytest.raises(WrongHandle, match="is closed"):
            queue.within(db, outbox=True).enqueue(tasks.add, 1, 2)


# -- autocommit ---------------------------------------------------------------------------------------------------------
def _auto_sqlite(server: str, path: Path) -> Any:
    return sqlite3.connect(path, isolation_level=None)


def _auto_psycopg(server: str, path: Path) -> Any:
    return psycopg.connect(server, autocommit=True)


def _auto_psycopg2(server: str, path: Path) -> Any:
    db = psycopg2.connect(server)
    db.autocommit = True
    return db


def _auto_session(server: str, path: Path) -> Any:
    return Session(create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", poolclass=NullPool))


def _auto_session_postgres(server: str, path: Path) -> Any:
    return Session(create_engine(engine_url(server, "psycopg"), isolation_level="AUTOCOMMIT", poolclass=NullPool))


def _auto_connection_psycopg2(server: str, path: Path) -> Any:
    return (
        create_engine(engine_url(server, "psycopg2"), poolclass=NullPool)
        .connect()
        .execution_options(isolation_level="AUTOCOMMIT")
    )


@pytest.mark.parametrize(
    "make, words",
    [
        (_auto_sqlite, ("sqlite3 connection", "isolation_level=None", 'db.execute("BEGIN")')),
        (_auto_psycopg, ("psycopg connection", "autocommit=True", "connection.transaction()")),
        (_auto_psycopg2, ("psycopg2 connection", "autocommit=True", "autocommit = False")),
        (_auto_session, ("SQLAlchemy Session", 'isolation_level="AUTOCOMMIT"')),
        (_auto_session_postgres, ("SQLAlchemy Session", 'isolation_level="AUTOCOMMIT"')),
        (_auto_connection_psycopg2, ("SQLAlchemy Connection", 'isolation_level="AUTOCOMMIT"')),
    ],
)
def test_autocommit(
    queue: Queue, server: str, tmp_path: Path, make: Callable[[str, Path], Any], words: tuple[str, ...]
) -> None:
    with contextlib.closing(make(server, tmp_path / "jobs.db")) as handle:
        message = refused(handle, queue)
        assert "is in autocommit mode" in message
        assert all(word in message for word in words), message


def test_a_transaction_begun_by_hand_is_one_even_in_autocommit_mode(queue: Queue, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as db:
        db.execute("BEGIN")
        queue.within(db).enqueue(tasks.add, 1, 2)
        db.execute("COMMIT")
    assert queue.counts()["queued"] == 2


def test_the_recipe_for_savepoints_of_sqlalchemy_is_no_autocommit(queue: Queue, tmp_path: Path) -> None:
    from sqlalchemy import event

    engine = create_engine(f"sqlite:///{tmp_path}/jobs.db")
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with Session(engine) as session:
        kept = queue.within(session).enqueue(tasks.add, 1, 2)
        with contextlib.suppress(KeyError), session.begin_nested():
            queue.within(session).enqueue(tasks.add, 3, 4)
            raise KeyError
        session.commit()
    assert kept.refresh().state == "queued"
    assert queue.counts()["queued"] == 2
    engine.dispose()


def test_a_connection_of_sqlalchemy_1_4_that_commits_by_itself(queue: Queue, tmp_path: Path) -> None:
    """Only 1.4 has it: without ``future=True`` each statement is committed until ``begin()`` is called."""
    engine = create_engine(f"sqlite:///{tmp_path}/jobs.db")
    with engine.connect() as connection:
        if getattr(connection, "_is_future", True):
            pytest.skip("this is SQLAlchemy 2")
        assert "SQLAlchemy 1.4 without future=True" in refused(connection, queue)
        with connection.begin():
            job = queue.within(connection).enqueue(tasks.add, 1, 2)
    assert job.refresh().state == "queued"
    engine.dispose()


def test_django_outside_atomic(queue: Queue, tmp_path: Path) -> None:
    from django.db import connections

    alias = django_alias(f"sqlite:///{tmp_path}/jobs.db")
    message = refused(alias, queue)
    assert "is outside atomic()" in message
    assert "is outside atomic()" in refused(alias, queue, after_commit=True)
    connections[alias].close()


def test_async_autocommit(server: str) -> None:
    queue = Queue("mail", store=server)

    async def attempts() -> list[str]:
        messages = []
        engine = create_async_engine(engine_url(server, "psycopg"), isolation_level="AUTOCOMMIT")
        async with (
            await psycopg.AsyncConnection.connect(server, autocommit=True) as raw,
            engine.connect() as connection,
        ):
            for handle in (raw, connection):
                with pytest.raises(WrongHandle) as caught:
                    await queue.within(handle, outbox=True).aenqueue(tasks.add, 1, 2)
                messages.append(str(caught.value))
        await engine.dispose()
        return messages

    assert all("autocommit mode" in message for message in asyncio.run(attempts()))


# -- failed -------------------------------------------------------------------------------------------------------------
@pytest.fixture(params=["psycopg", "psycopg2"])
def failed(request: pytest.FixtureRequest, server: str) -> Iterator[Any]:
    db = (psycopg if request.param == "psycopg" else psycopg2).connect(server)
    with contextlib.suppress(psycopg.Error, psycopg2.Error):
        db.cursor().execute("SELECT 1/0")
    yield db
    db.close()


def test_a_transaction_that_has_failed(failed: Any, queue: Queue) -> None:
    assert "has failed already" in refused(failed, queue)


def test_a_session_that_has_failed(queue: Queue, server: str) -> None:
    engine = create_engine(engine_url(server, "psycopg"))
    with Session(engine) as session:
        with contextlib.suppress(Exception):
            session.execute(text("SELECT 1/0"))
        assert "has failed already" in refused(session, queue)
    engine.dispose()


def test_djangos_transaction_that_will_be_rolled_back(queue: Queue, tmp_path: Path) -> None:
    from django.db import connections, transaction

    alias = django_alias(f"sqlite:///{tmp_path}/jobs.db")
    with transaction.atomic(using=alias):
        transaction.set_rollback(True, using=alias)
        assert "will be rolled back" in refused(alias, queue)
    connections[alias].close()


# -- Zope ---------------------------------------------------------------------------------------------------------------
def test_a_manager_that_no_session_has_joined(queue: Queue) -> None:
    import transaction

    manager = transaction.TransactionManager()
    manager.begin()
    assert "no SQLAlchemy session has joined" in refused(manager, queue)
    job = queue.within(manager, after_commit=True).enqueue(tasks.add, 1, 2)
    manager.commit()
    assert job.refresh().state == "queued"


# -- the caller's connection stays as it is -----------------------------------------------------------------------------
def test_what_is_set_on_a_sqlite_connection_is_left_alone(queue: Queue, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level="IMMEDIATE")) as db:
        db.row_factory, db.text_factory = sqlite3.Row, bytes
        before = (db.row_factory, db.text_factory, db.isolation_level, db.execute("PRAGMA synchronous").fetchone()[0])
        queue.within(db).using(tags="a").enqueue(tasks.add, 1, 2)
        after = (db.row_factory, db.text_factory, db.isolation_level, db.execute("PRAGMA synchronous").fetchone()[0])
        assert before == after
        assert db.in_transaction
        assert db.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 0
        db.commit()
    assert queue.counts()["queued"] == 2


def test_rows_of_any_form_are_fine_on_postgres(server: str) -> None:
    """The cursors used are plain ones, whatever the connection makes for its owner."""
    from importlib.resources import files

    from psycopg.rows import dict_row
    from psycopg2.extras import RealDictCursor

    queue = Queue("mail", store=server)
    ddl: Any = files("packhorse").joinpath("_outbox", "postgresql.sql").read_text()
    with psycopg.connect(server, row_factory=dict_row, cursor_factory=psycopg.ClientCursor) as db:
        db.execute(ddl)
        job = queue.within(db, outbox=True).enqueue(tasks.add, 1, 2)
        queue.within(db, outbox=True).using(id=job.id).enqueue(tasks.add, 1, 2)
    with closing(psycopg2.connect(server, cursor_factory=RealDictCursor)) as old, old:
        queue.within(old, outbox=True).using(id=job.id).enqueue(tasks.add, 1, 2)
    with psycopg.connect(server) as db:
        assert db.execute("SELECT count(*) FROM packhorse_outbox").fetchone() == (1,)
