"""Storing and ending jobs inside a transaction of the caller's own, on its connection to the store's file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TypeVar

from ..._inside import Inside, Steps, Stored
from ..._record import Enqueued, NewJob, Verdict
from ...errors import WrongDatabase
from . import closed
from .connection import Connection
from .counts import Counts
from .failures import BUSY, code_of, is_the_stores, translated
from .names import Names
from .produce import Producing
from .queries import sql
from .settle import Settling

T = TypeVar("T")

_MAIN_FILE = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"


class Lending(Connection):
    """What a store tells of itself for work on other connections."""

    @property
    def inside(self) -> Inside:
        """Return what can be done there."""
        return SqliteInside(self)


class SqliteInside:
    """The acts. The caller's row and text factories, isolation level and transaction stay as they are; its automatic
    checkpoints are switched off (``checkpoint.py`` says why), the store makes its own."""

    def __init__(self, store: Connection) -> None:
        self._path = store._path
        self._file = store._file
        self._lent = _Lent(store)

    def check(self) -> Steps[None]:
        """Compare the file that the connection has open, by device and inode."""
        yield self._check

    def _check(self, db: sqlite3.Connection) -> None:
        with _undisturbed(db):
            row = db.execute(_MAIN_FILE).fetchone()
            path = os.fsdecode(row[0]) if row and row[0] else ""
            if _identity(path) != self._file:
                raise _wrong(path, self._path)
            db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()

    def enqueue(self, jobs: Sequence[NewJob]) -> Steps[Stored]:
        """Store jobs as ``Store.enqueue`` does."""
        answers: list[Enqueued] = yield self._spoken(lambda db: self._lent.anew().enqueue_on(db, jobs))
        return Stored(answers, next((answer.id for answer in answers if not answer.existing), None))

    def complete(self, job: str, token: str, result: str | None, keep: float | None) -> Steps[bool]:
        """Make a running job ``succeeded``."""
        done: bool = yield self._spoken(lambda db: self._lent.anew().complete_on(db, job, token, result, keep))
        return done

    def _spoken(self, act: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        """Return the act with SQLite's errors put into words, and the connection left as it was."""

        def spoken(db: sqlite3.Connection) -> T:
            try:
                with _undisturbed(db):
                    return act(db)
            except sqlite3.Error as error:
                if not is_the_stores(error):
                    raise
                raise translated(error, self._path) from error

        return spoken

    def fate(self, transaction: str) -> str:
        """Tell by one of its jobs: a transaction that has stored something holds the file's only lock for writing."""
        with closing(sqlite3.connect(self._path, timeout=0, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if code_of(error) in BUSY:
                    return "open"
                raise translated(error, self._path) from error
            found = db.execute(sql("inside", "stored"), (self._lent.ns, transaction)).fetchone()[0]
            db.execute("ROLLBACK")
        return "committed" if found else "rolled back"


class _Lent(Producing, Settling):
    """The steps of the verbs, without a connection of their own."""

    def __init__(self, store: Connection) -> None:
        self.url, self.namespace, self.ns, self._ns = store.url, store.namespace, store._ns, store._ns
        self._clock = store._clock
        self._path = store._path

    def anew(self) -> _Lent:
        """Return the same for one act. Names are looked up anew in each: those that were given numbers in a transaction which is
        rolled back are not there, and another thread's transaction is another one."""
        one = _Lent(self)
        one._names = Names()
        return one

    def enqueue_on(self, db: sqlite3.Connection, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Look for known ids first, so that a conflict leaves the transaction as it was."""
        closed.refuse(db, self._ns, self)
        return self._insert_new(db, self.now(), jobs)

    def complete_on(self, db: sqlite3.Connection, job: str, token: str, result: str | None, keep: float | None) -> bool:
        """Apply a success; the start may not have been told to the store yet."""
        row = db.execute(sql("inside", "running"), (self._ns, job)).fetchone()
        if row is None or row[0] != token or row[1] is not None:
            return False
        started, plain = None if row[2] is not None else 0.0, bool(row[3])
        verdict = Verdict(job, token, "succeeded", "succeeded", started, plain=plain, result=result, keep=keep)
        counts = Counts()
        refused = self._settle_one(db, self.now(), verdict, counts)
        self._write_counts(db, counts)
        return refused is None


@contextmanager
def _undisturbed(db: sqlite3.Connection) -> Iterator[None]:
    """Read plain rows for a moment, whatever the caller has rows and texts made into."""
    row, text = db.row_factory, db.text_factory
    db.row_factory, db.text_factory = None, str
    try:
        yield
    finally:
        db.row_factory, db.text_factory = row, text


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _wrong(path: str, store: str) -> WrongDatabase:
    return WrongDatabase(
        f"this connection has the SQLite file {path or '(in memory)'} open, and the job store is {store}; nothing was stored.\n"
        '  Keep the jobs in the application\'s own file (store="sqlite:///…"), or write them down there for the relay:  '
        "within(x, outbox=True)"
    )
