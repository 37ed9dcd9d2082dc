"""SQLAlchemy 1.4 and 2: its sessions and connections, over sqlite3, psycopg and psycopg2."""

from __future__ import annotations

import sys
import weakref
from typing import Any, NamedTuple

from ..errors import WrongHandle
from .drivers import AsyncPsycopg, Driver, Psycopg, Psycopg2, Raw, Sqlite, autocommit, closed
from .handle import Handle, Hook, Waits

_DRIVERS: dict[str, Driver] = {
    "sqlite3.Connection": Sqlite(),
    "psycopg.Connection": Psycopg(),
    "psycopg.AsyncConnection": AsyncPsycopg(),
    "psycopg2.extensions.connection": Psycopg2(),
}


def _prepared(connection: Any, what: str) -> Raw:
    """Return what a Connection stands on, in a transaction that the Connection knows of and will commit."""
    if connection.closed or connection.invalidated:
        raise closed(what)
    if not connection.in_transaction():
        if not _begins_by_itself(connection):
            raise autocommit(what, "SQLAlchemy 1.4 without future=True", "with connection.begin():")
        connection.begin()
    raw = _driver_connection(connection)
    driver = _driver_of(raw, what)
    # SQLAlchemy takes a transaction for open, but with this isolation level the driver commits each statement.
    if driver.lone(raw):
        raise autocommit(what, 'isolation_level="AUTOCOMMIT"', "use an engine without that isolation level")
    driver.refuse(raw, what)
    return Raw(driver, raw)


def _begins_by_itself(connection: Any) -> bool:
    # 1.4 has two kinds; there is only one in 2, without the attribute or with it being true.
    return bool(getattr(connection, "_is_future", True))


def _driver_connection(connection: Any) -> Any:
    fairy = connection.connection
    # Before 1.4.24 there is only the last; over an async driver that would be SQLAlchemy's adapter.
    return getattr(fairy, "driver_connection", None) or fairy.connection


def _driver_of(raw: Any, what: str) -> Driver:
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(raw).__mro__]
    found = next((_DRIVERS[name] for name in names if name in _DRIVERS), None)
    if found is None:
        raise WrongHandle(
            f"this {what} is over the driver {type(raw).__module__.partition('.')[0]}, which is not supported. Nothing was "
            "stored.\n  Supported are psycopg (sync and async), psycopg2 and sqlite3."
        )
    return found


class ConnectionHandle(Handle):
    """A ``Connection``."""

    def __init__(self, given: Any) -> None:
        super().__init__(given, "SQLAlchemy Connection")

    def connect(self) -> Raw:
        """Begin as its first statement would."""
        return _prepared(self.given, self.name)


class SessionHandle(Handle):
    """A ``Session``: its connection is taken as its first statement would take it."""

    def __init__(self, given: Any) -> None:
        super().__init__(given, "SQLAlchemy Session")

    def connect(self) -> Raw:
        """Join the session's transaction."""
        return _of_session(self.given, self.name)

    def used(self) -> None:
        """Under zope.sqlalchemy a session that only we have written through would be rolled back."""
        zope = sys.modules.get("zope.sqlalchemy.datamanager")
        if zope is not None and self.given in zope._SESSION_STATE:
            zope.mark_changed(self.given)

    def after_commit(self, call: Hook) -> Waits:
        """Listen to the session until its outermost transaction ends."""
        return _listener(self.given).add(self.given, call)


def _of_session(session: Any, what: str) -> Raw:
    if not session.is_active:
        raise WrongHandle(
            f"the transaction of this {what} has failed already and waits for session.rollback(). Nothing was stored."
        )
    return _prepared(session.connection(), what)


class _Async(Handle):
    is_async = True

    def connect(self) -> Raw:
        """Never: it is awaited."""
        raise TypeError(f"a {self.name} is awaited")


class AsyncConnectionHandle(_Async):
    """An ``AsyncConnection``."""

    def __init__(self, given: Any) -> None:
        super().__init__(given, "SQLAlchemy AsyncConnection")

    async def aconnect(self) -> Raw:
        """Begin as its first statement would."""
        if self.given.closed:
            raise closed(self.name)
        found: Raw = await self.given.run_sync(_prepared, self.name)
        return found


class AsyncSessionHandle(_Async):
    """An ``AsyncSession``."""

    def __init__(self, given: Any) -> None:
        super().__init__(given, "SQLAlchemy AsyncSession")

    async def aconnect(self) -> Raw:
        """Join the session's transaction."""
        found: Raw = await self.given.run_sync(_of_session, self.name)
        return found

    def after_commit(self, call: Hook) -> Waits:
        """Listen to the session below; what is called may be awaited there."""
        await_ = sys.modules["sqlalchemy.util"].await_only

        def called() -> None:
            answer = call()
            if hasattr(answer, "__await__"):
                await_(answer)

        session = self.given.sync_session
        return _listener(session).add(session, called)


class _Waiting(NamedTuple):
    """What is to be called after a transaction, and the innermost one (a savepoint, perhaps) it was asked for in."""

    call: Hook
    asked_in: Any

    def lost_with(self, ended: Any) -> bool:
        """Tell whether a transaction that was rolled back takes it along."""
        each = self.asked_in
        while each is not None and each is not ended:
            each = each.parent
        return each is not None


class _Listener:
    """Hears of the ends of one session's transactions, for as long as the session lives."""

    def __init__(self, session: Any) -> None:
        self._waiting: list[_Waiting] = []
        self._committed = False
        listen = sys.modules["sqlalchemy"].event.listen
        listen(session, "after_commit", self._after_commit)
        listen(session, "after_soft_rollback", self._after_rollback)
        listen(session, "after_transaction_end", self._after_end)

    def add(self, session: Any, call: Hook) -> Waits:
        """Have ``call`` called once the transaction the session is in has been committed."""
        if session.get_transaction() is None:
            session.begin()
        mine = _Waiting(call, session.get_nested_transaction() or session.get_transaction())
        self._waiting.append(mine)
        return lambda: any(each is mine for each in self._waiting)

    def _after_commit(self, session: Any) -> None:
        self._committed = session.get_nested_transaction() is None

    def _after_rollback(self, session: Any, ended: Any) -> None:
        self._waiting = [each for each in self._waiting if not each.lost_with(ended)]

    def _after_end(self, session: Any, ended: Any) -> None:
        if ended.parent is not None:
            return
        waiting, self._waiting = self._waiting, []
        committed, self._committed = self._committed, False
        for each in waiting if committed else ():
            each.call()


_listeners: weakref.WeakKeyDictionary[Any, _Listener] = weakref.WeakKeyDictionary()


def _listener(session: Any) -> _Listener:
    found = _listeners.get(session)
    if found is None:
        found = _listeners[session] = _Listener(session)
    return found
