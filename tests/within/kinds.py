"""Every kind of handle that ``within`` takes, behind one face, so that each rule is tested once for all of them."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from typing import Any, ClassVar

import pytest

from packhorse import Draft, Job, Queue
from tests.servers.postgres import database_of


def place_of(url: str) -> str:
    """Return what a driver takes: a path, or a URL without the options that are Packhorse's own."""
    return url.removeprefix("sqlite:///") if url.startswith("sqlite") else database_of(url)


class Open:
    """One transaction of an application's: a table ``own`` is written in it, beside the jobs."""

    dialect: ClassVar[str] = "sqlite"
    is_async: ClassVar[bool] = False
    calls_back: ClassVar[bool] = False  #: tells of its commits
    handle: Any

    def __init__(self, url: str) -> None:
        """Begin on the database of this store's URL, where the table is."""
        self.url = url
        self.place = place_of(url)

    def write(self, text: str) -> None:
        """Insert a row, as the application would."""
        raise NotImplementedError

    def commit(self) -> None:
        self.handle.commit()

    def rollback(self) -> None:
        self.handle.rollback()

    def close(self) -> None:
        self.handle.close()

    # -- what differs by colour ---------------------------------------------------------------------------------------
    def enqueue(self, queue: Queue, fn: Callable[..., Any], *args: Any, **how: Any) -> Job[Any]:
        return queue.within(self.handle, **how).enqueue(fn, *args)

    def enqueue_many(self, queue: Queue, drafts: Sequence[Draft[Any]], **how: Any) -> list[Job[Any]]:
        return queue.within(self.handle, **how).enqueue_many(drafts)


class Sqlite3(Open):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.handle = sqlite3.connect(self.place, timeout=0.2)

    def write(self, text: str) -> None:
        self.handle.execute("INSERT INTO own VALUES (?)", (text,))


class Psycopg(Open):
    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        import psycopg

        super().__init__(url)
        self.handle = psycopg.connect(self.place)

    def write(self, text: str) -> None:
        self.handle.execute("INSERT INTO own VALUES (%s)", (text,))


class Psycopg2(Open):
    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        import psycopg2

        super().__init__(url)
        self.handle = psycopg2.connect(self.place)

    def write(self, text: str) -> None:
        with self.handle.cursor() as cursor:
            cursor.execute("INSERT INTO own VALUES (%s)", (text,))


class _Awaited(Open):
    """In a loop of its own, driven step by step."""

    is_async = True
    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._runner = asyncio.Runner()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def commit(self) -> None:
        self._run(self.handle.commit())

    def rollback(self) -> None:
        self._run(self.handle.rollback())

    def close(self) -> None:
        self._run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self.handle.close()

    def enqueue(self, queue: Queue, fn: Callable[..., Any], *args: Any, **how: Any) -> Job[Any]:
        async def enqueue() -> Any:
            return await queue.within(self.handle, **how).aenqueue(fn, *args)

        return self._run(enqueue())  # type: ignore[no-any-return]

    def enqueue_many(self, queue: Queue, drafts: Sequence[Draft[Any]], **how: Any) -> list[Job[Any]]:
        async def enqueue() -> Any:
            return await queue.within(self.handle, **how).aenqueue_many(drafts)

        return self._run(enqueue())  # type: ignore[no-any-return]


class AsyncPsycopg(_Awaited):
    def __init__(self, url: str) -> None:
        import psycopg

        super().__init__(url)
        self.handle = self._run(psycopg.AsyncConnection.connect(self.place))

    def write(self, text: str) -> None:
        self._run(self.handle.execute("INSERT INTO own VALUES (%s)", (text,)))


# -- SQLAlchemy -----------------------------------------------------------------------------------------------------------
def engine_url(url: str, driver: str) -> str:
    """Return the URL of a store's database as SQLAlchemy wants it."""
    if url.startswith("sqlite"):
        return url
    if driver == "psycopg":
        pytest.importorskip("sqlalchemy.dialects.postgresql.psycopg", reason="SQLAlchemy 1.4 knows psycopg2 only")
    head, separator, rest = database_of(url).partition("://")
    return f"{head}+{driver}{separator}{rest}"


class _Alchemy(Open):
    driver: ClassVar[str] = "pysqlite"

    def __init__(self, url: str) -> None:
        from sqlalchemy import create_engine

        super().__init__(url)
        self.engine = create_engine(engine_url(url, self.driver), future=True)

    def write(self, text: str) -> None:
        from sqlalchemy import text as sql

        self.handle.execute(sql("INSERT INTO own VALUES (:text)"), {"text": text})

    def close(self) -> None:
        super().close()
        self.engine.dispose()


class Session(_Alchemy):
    calls_back = True

    def __init__(self, url: str) -> None:
        from sqlalchemy.orm import Session

        super().__init__(url)
        self.handle = Session(self.engine)


class ScopedSession(_Alchemy):
    calls_back = True

    def __init__(self, url: str) -> None:
        from sqlalchemy.orm import scoped_session, sessionmaker

        super().__init__(url)
        self.handle = scoped_session(sessionmaker(self.engine))

    def close(self) -> None:
        self.handle.remove()
        self.engine.dispose()


class Connection(_Alchemy):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.handle = self.engine.connect()


class SessionPsycopg(Session):
    dialect, driver = "postgresql", "psycopg"


class ConnectionPsycopg(Connection):
    dialect, driver = "postgresql", "psycopg"


class SessionPsycopg2(Session):
    dialect, driver = "postgresql", "psycopg2"


class ConnectionPsycopg2(Connection):
    dialect, driver = "postgresql", "psycopg2"


class _AsyncAlchemy(_Awaited):
    def __init__(self, url: str) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        super().__init__(url)
        self.engine = create_async_engine(engine_url(url, "psycopg"))

    def write(self, text: str) -> None:
        from sqlalchemy import text as sql

        self._run(self.handle.execute(sql("INSERT INTO own VALUES (:text)"), {"text": text}))

    async def _close(self) -> None:
        await self.handle.close()
        await self.engine.dispose()


class AsyncSession(_AsyncAlchemy):
    calls_back = True

    def __init__(self, url: str) -> None:
        from sqlalchemy.ext.asyncio import AsyncSession

        super().__init__(url)
        self.handle = AsyncSession(self.engine)


class AsyncConnection(_AsyncAlchemy):
    def __init__(self, url: str) -> None:
        super().__init__(url)

        async def connect() -> Any:
            return await self.engine.connect()

        self.handle = self._run(connect())


# -- Django ---------------------------------------------------------------------------------------------------------------
def django_alias(url: str) -> str:
    """Make the database of a URL known to Django; return its alias."""
    import django
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        settings.configure(DATABASES={}, USE_TZ=True)
        django.setup()
    alias = uuid.uuid4().hex
    place: dict[str, Any]
    if url.startswith("sqlite"):
        place = {"ENGINE": "django.db.backends.sqlite3", "NAME": place_of(url)}
    else:
        from psycopg.conninfo import conninfo_to_dict

        parts = conninfo_to_dict(place_of(url))
        place = {"ENGINE": "django.db.backends.postgresql", "NAME": parts.pop("dbname"), "USER": parts.pop("user", "")}
        place |= {
            "HOST": parts.pop("host", ""),
            "PORT": str(parts.pop("port", "")),
            "PASSWORD": parts.pop("password", ""),
        }
    connections.databases[alias] = place
    connections.configure_settings(connections.databases)
    return alias


class Django(Open):
    """Inside ``atomic()``."""

    calls_back = True

    def __init__(self, url: str) -> None:
        from django.db import connections, transaction

        super().__init__(url)
        self.alias = django_alias(url)
        self.handle = connections[self.alias]
        self._transaction = transaction
        self._atomic = ExitStack()
        self._atomic.enter_context(transaction.atomic(using=self.alias))

    def write(self, text: str) -> None:
        with self.handle.cursor() as cursor:
            cursor.execute("INSERT INTO own VALUES (%s)", [text])

    def commit(self) -> None:
        self._atomic.close()

    def rollback(self) -> None:
        self._transaction.set_rollback(True, using=self.alias)
        self._atomic.close()

    def close(self) -> None:
        with suppress(Exception):
            self._atomic.close()
        self.handle.close()


class DjangoAlias(Django):
    """The same, named."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.connection, self.handle = self.handle, self.alias

    def write(self, text: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("INSERT INTO own VALUES (%s)", [text])

    def close(self) -> None:
        with suppress(Exception):
            self._atomic.close()
        self.connection.close()


class DjangoPostgres(Django):
    dialect = "postgresql"


# -- Zope -----------------------------------------------------------------------------------------------------------------
class Zope(_Alchemy):
    """``transaction`` with a session of zope.sqlalchemy."""

    calls_back = True

    def __init__(self, url: str) -> None:
        import transaction
        import zope.sqlalchemy
        from sqlalchemy.orm import Session

        super().__init__(url)
        self.manager = self.handle = transaction.TransactionManager()
        self.session = Session(self.engine)
        zope.sqlalchemy.register(self.session, transaction_manager=self.manager)
        self.manager.begin()
        self.session.connection()  # joins

    def write(self, text: str) -> None:
        import zope.sqlalchemy
        from sqlalchemy import text as sql

        self.session.execute(sql("INSERT INTO own VALUES (:text)"), {"text": text})
        zope.sqlalchemy.mark_changed(self.session)

    def rollback(self) -> None:
        self.manager.abort()

    def close(self) -> None:
        self.manager.abort()
        self.session.close()
        self.engine.dispose()


class ZopePostgres(Zope):
    dialect, driver = "postgresql", "psycopg"


KINDS: list[type[Open]] = [
    Sqlite3, Session, ScopedSession, Connection, Django, DjangoAlias, Zope,
    Psycopg, Psycopg2, AsyncPsycopg, SessionPsycopg, ConnectionPsycopg, SessionPsycopg2, ConnectionPsycopg2,
    AsyncSession, AsyncConnection, DjangoPostgres, ZopePostgres,
]  # fmt: skip
