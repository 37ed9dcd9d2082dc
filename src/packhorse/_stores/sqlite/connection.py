"""One connection: opened and checked, short transactions, busy waiting, and never shared over a fork."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..._store import Capabilities, Clock
from ...errors import BadStore, StoreUnavailable
from . import migrate
from .checkpoint import Checkpoints
from .failures import BUSY, code_of, is_the_stores, translated
from .location import inspect, locate
from .names import Names

T = TypeVar("T")

#: A lock held by others is waited for so long; then StoreUnavailable.
PATIENCE = 30.0


class Connection:
    """The part of the store that all verbs stand on."""

    capabilities = Capabilities(scheme="sqlite", durable=True, processes=True, hints=True)

    def __init__(
        self, url: str, namespace: str = "default", clock: Clock | None = None, *, create: bool = True
    ) -> None:
        self.url = url
        self.namespace = namespace
        self.instance = ""
        self._location = locate(url)
        self._path = self._location.path
        self._clock = clock
        self._names = Names()
        #: id → (seq, line) of jobs claimed here whose success needs no look at their details.
        self._plain: dict[str, tuple[int, int]] = {}
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self._open(create)

    # -- opening ------------------------------------------------------------------------------------------------
    def _open(self, create: bool) -> sqlite3.Connection:
        inspect(self._location, create)
        _make_private(self._path, create)
        try:
            db = self._connected()
            self._db = db
            self._patiently(lambda: migrate.bring_up(db, self._path))
            self._ns, self.instance = self._patiently(lambda: migrate.identify(db, self.namespace))
        except sqlite3.Error as error:
            self._discard()
            raise translated(error, self._path) from error
        except BaseException:
            self._discard()
            raise
        return db

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._pid = os.getpid()
        found = os.stat(self._path)
        self._file = (found.st_dev, found.st_ino)
        self._seen_version = -1
        self._patiently(lambda: _set_up(db, self._location.synchronous))
        self._checkpoints = Checkpoints(db, self._path)
        return db

    def _discard(self) -> None:
        self._close_sources()
        db, self._db = self._db, None
        self._names.clear()
        self._plain.clear()
        # A connection that came over a fork is left alone: closing it would drop the parent's file locks.
        if db is not None and self._pid == os.getpid():
            db.close()
        elif db is not None:
            _abandoned.append(db)

    def _close_sources(self) -> None:
        """Close what waiting has opened; there is nothing here."""

    def close(self) -> None:
        """Give the connection back. Closing twice is fine."""
        self._closed = True
        self._discard()

    def _live(self) -> sqlite3.Connection:
        """Return the connection, opened anew after a fork; refuse a file that is no longer the one that was opened."""
        if self._closed:
            raise StoreUnavailable(f"This connection to the job store {self._path} has been closed.")
        if self._db is not None and self._pid != os.getpid():
            self._discard()
        db = self._db if self._db is not None else self._open(create=False)
        self._same_file()
        return db

    def _same_file(self) -> None:
        try:
            found = os.stat(self._path)
        except OSError as error:
            self._discard()
            raise StoreUnavailable(
                f"The job store {self._path} has been deleted or moved while it was open; nothing was stored. "
                "Put the file back, or restart to begin with a new one."
            ) from error
        if (found.st_dev, found.st_ino) != self._file:
            self._discard()
            raise BadStore(
                f"The job store {self._path} has been replaced by another file while it was open; nothing was stored. "
                "Stop all workers before a file is restored, and start them again after it."
            )

    # -- transactions -------------------------------------------------------------------------------------------
    def _write(self, step: Callable[..., T], *args: Any) -> T:
        """Run ``step(db, now, *args)`` in one short transaction."""
        db = self._live()
        try:
            self._begin(db)
            answer = step(db, self.now(), *args)
            db.execute("COMMIT")
        except BaseException as error:
            self._roll_back(db)
            if isinstance(error, sqlite3.Error) and is_the_stores(error):
                raise translated(error, self._path) from error
            raise
        self._checkpoints.after_commit()
        return answer

    def _read(self, step: Callable[..., T], *args: Any) -> T:
        """Run ``step(db, *args)`` on one state of the database."""
        db = self._live()
        try:
            self._patiently(lambda: db.execute("BEGIN"))
            answer = self._patiently(lambda: step(db, *args))
            db.execute("COMMIT")
        except BaseException as error:
            self._roll_back(db)
            if isinstance(error, sqlite3.Error) and is_the_stores(error):
                raise translated(error, self._path) from error
            raise
        return answer

    def _begin(self, db: sqlite3.Connection) -> None:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if code_of(error) not in BUSY:
                raise
            self._patiently(lambda: db.execute("BEGIN IMMEDIATE"))

    def _patiently(self, step: Callable[[], T]) -> T:
        """Run a step again while others hold the lock.

        SQLite's own waiting sleeps whole milliseconds; transactions here are shorter than that.
        """
        deadline = time.monotonic() + PATIENCE
        pause = 0.0001
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if code_of(error) not in BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, 0.01)

    def _roll_back(self, db: sqlite3.Connection) -> None:
        self._names.clear()  # a name given in this transaction is not stored now
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            self._discard()

    # -- small verbs --------------------------------------------------------------------------------------------
    def now(self) -> int:
        """Return the store's time, µs: the host's, or that of the clock given."""
        return time.time_ns() // 1000 if self._clock is None else self._clock()

    def migrate(self) -> list[str]:
        """Bring the schema up to this version; return the names of the steps taken."""
        db = self._live()
        return self._patiently(lambda: migrate.bring_up(db, self._path))

    def lock_dir(self) -> str | None:
        """Return the directory for the locks of workers, beside the database."""
        return f"{self._path}-locks"


#: Connections that came over a fork, kept so that nothing finalises them.
_abandoned: list[sqlite3.Connection] = []


def _make_private(path: str, create: bool) -> None:
    """Create the file so that only its owner can read it: arguments may be secret. SQLite gives its -wal the same mode.

    A file that is there is never opened outside SQLite: closing it would drop the locks that other connections of this
    process have on it.
    """
    if create:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _set_up(db: sqlite3.Connection, synchronous: str) -> None:
    for setting in (
        "wal_autocheckpoint = 0",
        "journal_mode = WAL",
        f"synchronous = {synchronous.upper()}",
        "secure_delete = OFF",
        "temp_store = MEMORY",
        "cache_size = -16384",
    ):
        db.execute(f"PRAGMA {setting}").fetchall()
