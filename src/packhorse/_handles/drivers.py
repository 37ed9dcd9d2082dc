"""The drivers' own connections: whether a transaction can be used, and how a statement is run in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import WrongHandle

Row = tuple[Any, ...]

#: libpq's states of a transaction.
_IDLE, _IN_ERROR, _UNKNOWN = 0, 3, 4


class Driver(Protocol):
    """One library that speaks to a database."""

    name: str  #: for messages
    dialect: str
    is_async: bool

    def refuse(self, raw: Any, what: str) -> None:
        """Raise ``WrongHandle`` unless a statement run now would belong to a transaction that can still be committed."""

    def lone(self, raw: Any) -> bool:
        """Tell whether no transaction is under way and every statement would be one of its own."""

    def execute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Run one statement and return all rows."""

    async def aexecute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Do the same, to be awaited."""


class Raw(NamedTuple):
    """A driver's connection."""

    driver: Driver
    connection: Any


class _Driver:
    name = dialect = ""
    is_async = False

    def execute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        raise TypeError(f"{self.name} is not sync")

    async def aexecute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        raise TypeError(f"{self.name} is not async")


class Sqlite(_Driver):
    """``sqlite3`` of the standard library. The caller's row and text factories are neither used nor changed."""

    name, dialect = "sqlite3", "sqlite"

    def refuse(self, raw: Any, what: str) -> None:
        """A closed connection says so at the first use; one that begins transactions by itself may still be idle."""
        try:
            raw.total_changes  # noqa: B018  # the cheapest thing that a closed connection refuses
        except Exception as error:
            raise closed(what) from error
        if self.lone(raw):
            raise autocommit(what, "isolation_level=None", 'db.execute("BEGIN")')

    def lone(self, raw: Any) -> bool:
        """Tell by the connection's own attributes."""
        # Since Python 3.12 there is one for it; -1 says that the older rule holds.
        mode = getattr(raw, "autocommit", -1)
        return not raw.in_transaction and (mode is True or (mode == -1 and raw.isolation_level is None))

    def execute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Run a statement on a cursor of our own, so that rows are tuples whatever the caller prefers."""
        cursor = raw.cursor()
        try:
            cursor.row_factory = None
            return list(cursor.execute(sql, values).fetchall())
        finally:
            cursor.close()


class Psycopg(_Driver):
    """psycopg 3."""

    name, dialect = "psycopg", "postgresql"

    def refuse(self, raw: Any, what: str) -> None:
        """The state is the client's own knowledge: no round trip."""
        if raw.closed:
            raise closed(what)
        _refuse_state(int(raw.info.transaction_status), what)
        if self.lone(raw):
            raise autocommit(what, "autocommit=True", "with connection.transaction():")

    def lone(self, raw: Any) -> bool:
        """Tell by the connection's own attributes."""
        return bool(raw.autocommit) and int(raw.info.transaction_status) == _IDLE

    def execute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Run a statement on a plain cursor, whatever kind the connection makes."""
        with sys.modules["psycopg"].Cursor(raw, row_factory=_tuples()) as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description is not None else []


class AsyncPsycopg(Psycopg):
    """psycopg 3, awaited."""

    is_async = True

    def execute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Never."""
        raise TypeError("an async connection is awaited")

    async def aexecute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Run a statement on a plain cursor."""
        async with sys.modules["psycopg"].AsyncCursor(raw, row_factory=_tuples()) as cursor:
            await cursor.execute(sql, values)
            return list(await cursor.fetchall()) if cursor.description is not None else []


def _tuples() -> Any:
    return sys.modules["psycopg.rows"].tuple_row


class Psycopg2(_Driver):
    """psycopg 2."""

    name, dialect = "psycopg2", "postgresql"

    def refuse(self, raw: Any, what: str) -> None:
        """The state is the client's own knowledge: no round trip."""
        if raw.closed:
            raise closed(what)
        _refuse_state(raw.get_transaction_status(), what)
        if self.lone(raw):
            raise autocommit(what, "autocommit=True", "connection.autocommit = False")

    def lone(self, raw: Any) -> bool:
        """Tell by the connection's own attributes."""
        return bool(raw.autocommit and raw.get_transaction_status() == _IDLE)

    def execute(self, raw: Any, sql: str, values: Sequence[Any]) -> list[Row]:
        """Run a statement on a plain cursor, whatever kind the connection makes."""
        with sys.modules["psycopg2.extensions"].cursor(raw) as cursor:
            # Without values psycopg2 leaves "%%" as it is, psycopg does not.
            cursor.execute(sql, tuple(values))
            return list(cursor.fetchall()) if cursor.description is not None else []


def _refuse_state(status: int, what: str) -> None:
    if status == _UNKNOWN:
        raise closed(what)
    if status == _IN_ERROR:
        raise WrongHandle(
            f"the transaction of this {what} has failed already: PostgreSQL accepts nothing more in it. Nothing was stored.\n"
            "  Roll it back (or to a savepoint from before the error), then begin again."
        )


def closed(what: str) -> WrongHandle:
    """Return the error for a connection that is closed."""
    return WrongHandle(
        f"this {what} is closed; nothing was stored.\n  Give within() the connection whose transaction is open."
    )


def autocommit(what: str, setting: str, remedy: str) -> WrongHandle:
    """Return the error for a connection on which every statement is a transaction of its own."""
    return WrongHandle(
        f"this {what} is in autocommit mode ({setting}) and has no transaction open: there is nothing the job could become "
        f"visible with. Nothing was stored.\n  Begin a transaction first:  {remedy}"
    )
