"""An outbox in a SQLite file of the application's."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import unquote

from ..errors import BadSchema, PackhorseError, StoreUnavailable
from .places import GIVEN_UP, TAKEN_OVER, Row

T = TypeVar("T")

_PICK = """
SELECT id, job, made_at FROM packhorse_outbox
 WHERE namespace = ? AND problem IS NULL AND (tried_at IS NULL OR tried_at < ?) AND (sending_at IS NULL OR sending_at > ?)
 ORDER BY n LIMIT ?
"""
_MARK = """
UPDATE packhorse_outbox SET sending_at = coalesce(sending_at, ?1), tried_at = ?1
 WHERE id IN (SELECT value FROM json_each(?2))
"""
_UNMARK = "UPDATE packhorse_outbox SET sending_at = NULL, tried_at = NULL WHERE id IN (SELECT value FROM json_each(?))"
_DELETE = "DELETE FROM packhorse_outbox WHERE id IN (SELECT value FROM json_each(?))"
_REFUSE = "UPDATE packhorse_outbox SET problem = ? WHERE id = ?"
_STUCK = """
SELECT count(problem), count(*) FILTER (WHERE problem IS NULL AND sending_at <= ?) FROM packhorse_outbox
 WHERE namespace = ? AND sending_at IS NOT NULL
"""


class SqliteSide:
    """One connection to the file."""

    def __init__(self, url: str) -> None:
        """Open a file that is there."""
        path = os.path.abspath(unquote(url.removeprefix("sqlite:///").partition("?")[0]))
        self._path = path
        if not os.path.isfile(path):
            raise StoreUnavailable(f"there is no outbox: {path} does not exist.")
        with self._spoken():
            self._db = sqlite3.connect(path, timeout=15, isolation_level=None, check_same_thread=False)
            # The file may be a job store too, which makes its checkpoints in a way of its own.
            self._db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()

    def mark(self, namespace: str, limit: int) -> list[Row]:
        """Mark rows as being sent."""
        return self._transact(lambda now: self._mark(namespace, limit, now))

    def _mark(self, namespace: str, limit: int, now: int) -> list[Row]:
        picked = (namespace, now - round(TAKEN_OVER * 1e6), now - round(GIVEN_UP * 1e6), limit)
        rows = self._db.execute(_PICK, picked).fetchall()
        self._db.execute(_MARK, (now, json.dumps([row[0] for row in rows])))
        return [Row(id, job, (now - made) / 1e6) for id, job, made in rows]

    def unmark(self, ids: Sequence[str]) -> None:
        """Take the marks back."""
        self._transact(lambda now: self._db.execute(_UNMARK, (json.dumps(list(ids)),)))

    def delete(self, ids: Sequence[str]) -> None:
        """Forget rows."""
        self._transact(lambda now: self._db.execute(_DELETE, (json.dumps(list(ids)),)))

    def refuse(self, id: str, problem: str) -> None:
        """Keep a row that cannot be sent."""
        self._transact(lambda now: self._db.execute(_REFUSE, (problem, id)))

    def stuck(self, namespace: str) -> tuple[int, int]:
        """Count rows with a problem, and those given up."""
        before = time.time_ns() // 1000 - round(GIVEN_UP * 1e6)
        with self._spoken():
            bad, old = self._db.execute(_STUCK, (before, namespace)).fetchone()
        return bad, old

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _transact(self, step: Callable[[int], T]) -> T:
        with self._spoken():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                answer = step(time.time_ns() // 1000)
                self._db.execute("COMMIT")
                return answer
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error) -> PackhorseError:
        if "no such table" in str(error):
            return BadSchema(
                f"the outbox {self._path} has no table packhorse_outbox.\n"
                "  Make it with the statements that  packhorse db sql --outbox  prints."
            )
        return StoreUnavailable(f"the outbox {self._path} cannot be used at present: {error}.")
