"""Transactions of the code under test, followed for a store in memory: what was done in one counts from its commit on.

Where the library tells of its commits, it is asked to. A connection of sqlite3 is looked at: a mark in a temporary table is
there if the transaction was committed, and the statements that end one are counted, since it may be closed by then. On
PostgreSQL the server knows what became of a transaction.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from . import _runtime
from ._handles import Handle, aacting, acting
from ._handles.drivers import Raw
from ._handles.handle import Waits
from ._ids import new_id
from .errors import WrongHandle

Act = Callable[[], Any]

_MARKS = "CREATE TEMP TABLE IF NOT EXISTS packhorse_marks (id TEXT)"
_MARK = "INSERT INTO packhorse_marks VALUES (?)"
_MARKED = "SELECT 1 FROM packhorse_marks WHERE id = ?"
_XID, _STATUS = "SELECT pg_current_xact_id()::text", "SELECT pg_xact_status(%s::xid8)"


class _Waiting(NamedTuple):
    """One act that waits for the end of a transaction."""

    act: Act
    ended: Callable[[], bool | None]  #: True: committed, False: rolled back, None: still open


class Followed:
    """All transactions that one test has used."""

    def __init__(self) -> None:
        """Follow nothing yet."""
        self._waiting: list[_Waiting] = []
        self._marked: dict[int, _Marked] = {}

    def look(self) -> None:
        """See what has been committed, in the order in which it was asked for."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            ended = each.ended()
            if ended is None:
                self._waiting.append(each)
            elif ended:
                each.act()

    def add(self, handle: Handle, raw: Raw, act: Act) -> Waits:
        """Ask the library, else look for oneself."""
        try:
            return handle.after_commit(act)
        except WrongHandle:
            pass  # it does not call back
        if raw.driver.dialect == "sqlite":
            return self._wait(act, self._of(raw).mark())
        return self._wait(act, _status(raw, acting(raw, _xid())))

    async def aadd(self, handle: Handle, raw: Raw, act: Act) -> Waits:
        """Ask the library, else the server."""
        try:
            return handle.after_commit(act)
        except WrongHandle:
            pass
        return self._wait(act, _status(raw, await aacting(raw, _xid(), _runtime.aside)))

    def _wait(self, act: Act, ended: Callable[[], bool | None]) -> Waits:
        mine = _Waiting(act, ended)
        self._waiting.append(mine)
        return lambda: any(each is mine for each in self._waiting)

    def _of(self, raw: Raw) -> _Marked:
        found = self._marked.get(id(raw.connection))
        if found is None:
            found = self._marked[id(raw.connection)] = _Marked(raw)
        return found


class _Marked:
    """A connection of sqlite3 on which transactions are followed. It is kept, so that its identity stays its own."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._commits = self._rollbacks = 0
        raw.driver.execute(raw.connection, _MARKS, ())
        raw.connection.set_trace_callback(self._heard)

    def _heard(self, statement: str) -> None:
        words = statement.strip().rstrip(";").upper().split()
        if words[:1] in (["COMMIT"], ["END"]):
            self._commits += 1
        elif words[:1] == ["ROLLBACK"] and "TO" not in words:
            self._rollbacks += 1

    def mark(self) -> Callable[[], bool | None]:
        """Mark the transaction; the answer tells what became of it."""
        mark, commits, rollbacks = new_id(), self._commits, self._rollbacks
        self._raw.driver.execute(self._raw.connection, _MARK, (mark,))

        def ended() -> bool | None:
            if self._rollbacks > rollbacks and self._commits == commits:
                return False
            over = self._commits > commits
            try:
                if not over and self._raw.connection.in_transaction:
                    return None
                return bool(self._raw.driver.execute(self._raw.connection, _MARKED, (mark,)))
            except Exception as error:
                # Closed, or another thread's: then what was heard of it decides. Closing rolls back.
                return True if over else False if "closed" in str(error) else None

        return ended


def _xid() -> Any:
    rows = yield _XID, ()
    return rows[0][0]


def _status(raw: Raw, xid: str) -> Callable[[], bool | None]:
    """Return what asks the server, on a connection of its own: the caller's may be closed, or awaited."""
    info, connect = raw.connection.info, sys.modules[raw.driver.name].connect
    place, password = getattr(info, "dsn", None) or raw.connection.dsn, info.password

    def ended() -> bool | None:
        other = connect(place, password=password)
        try:
            cursor = other.cursor()
            cursor.execute(_STATUS, (xid,))
            status = cursor.fetchone()[0]
        finally:
            other.close()
        return None if status == "in progress" else status == "committed"

    return ended
