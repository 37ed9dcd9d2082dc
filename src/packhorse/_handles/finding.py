"""What an object is, told by the names of its classes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..errors import WrongHandle
from .django import DjangoHandle
from .drivers import AsyncPsycopg, Psycopg, Psycopg2, Sqlite
from .handle import Handle
from .sqlalchemy import AsyncConnectionHandle, AsyncSessionHandle, ConnectionHandle, SessionHandle
from .zope import zope_handle

_SUPPORTED = (
    "a sqlite3 or psycopg connection (psycopg2 too), a SQLAlchemy Session, AsyncSession, Connection or AsyncConnection over "
    "one of these, a Django connection or its alias, or Zope's transaction.manager"
)

#: Name of a class → what makes a handle of its objects.
_KINDS: dict[str, Callable[[Any], Handle]] = {
    "sqlite3.Connection": lambda x: Handle(x, "sqlite3 connection", Sqlite()),
    "psycopg.Connection": lambda x: Handle(x, "psycopg connection", Psycopg()),
    "psycopg.AsyncConnection": lambda x: _Awaited(x, "psycopg AsyncConnection", AsyncPsycopg()),
    "psycopg2.extensions.connection": lambda x: Handle(x, "psycopg2 connection", Psycopg2()),
    "sqlalchemy.orm.session.Session": SessionHandle,
    "sqlalchemy.orm.scoping.scoped_session": lambda x: SessionHandle(x()),
    "sqlalchemy.engine.base.Connection": ConnectionHandle,
    "sqlalchemy.ext.asyncio.session.AsyncSession": AsyncSessionHandle,
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session": lambda x: AsyncSessionHandle(x()),
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": AsyncConnectionHandle,
    "django.db.backends.base.base.BaseDatabaseWrapper": DjangoHandle,
    "transaction._manager.TransactionManager": zope_handle,
    "transaction._manager.ThreadTransactionManager": zope_handle,
}

#: What is near to a handle, and what to give instead.
_NEAR = {
    "sqlite3.Cursor": "Give its connection: cursor.connection",
    "psycopg.Cursor": "Give its connection: cursor.connection",
    "psycopg.AsyncCursor": "Give its connection: cursor.connection",
    "psycopg2.extensions.cursor": "Give its connection: cursor.connection",
    "psycopg.Transaction": "Give its connection",
    "sqlalchemy.engine.base.Engine": "Give a Connection with a transaction: with engine.begin() as connection",
    "sqlalchemy.ext.asyncio.engine.AsyncEngine": "Give an AsyncConnection: async with engine.begin() as connection",
    "sqlalchemy.orm.session.sessionmaker": "Give a session of it",
    "sqlalchemy.engine.base.Transaction": "Give its Connection",
    "django.db.transaction.Atomic": "Give the connection, or its alias: 'default'",
    "asyncpg.connection.Connection": "asyncpg is not supported; psycopg is, sync and async",
    "asyncpg.pool.PoolConnectionProxy": "asyncpg is not supported; psycopg is, sync and async",
    "aiosqlite.core.Connection": "aiosqlite is not supported; sqlite3 is, with enqueue()",
}


class _Awaited(Handle):
    is_async = True


def handle_of(x: object) -> Handle:
    """Return a handle on the caller's transaction. Nothing is executed. Raises ``WrongHandle``."""
    if isinstance(x, Handle):
        return x
    if isinstance(x, str):
        return _alias(x)
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(x).__mro__]
    for name in names:
        if name in _KINDS:
            return _KINDS[name](x)
    near = next((_NEAR[name] for name in names if name in _NEAR), None)
    raise WrongHandle(
        f"within() and complete_in() take the transaction that is open here, not {x!r:.80} ({names[0]}). Nothing was stored.\n"
        f"  {near or 'It takes ' + _SUPPORTED}."
    )


def _alias(name: str) -> Handle:
    django = sys.modules.get("django.db")
    if django is None:
        raise WrongHandle(
            f"{name!r} would be the alias of a Django database, but Django is not in use here. Nothing was stored.\n"
            f"  It takes {_SUPPORTED}."
        )
    if name not in django.connections:
        known = ", ".join(repr(each) for each in django.connections)
        raise WrongHandle(f"Django knows no database {name!r}; there are: {known}. Nothing was stored.")
    return DjangoHandle(django.connections[name])
