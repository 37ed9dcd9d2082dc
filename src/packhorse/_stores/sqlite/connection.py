"""One connection: opened and checked, short transactions, busy waiting, and never shared over a fork."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar

from ..._store import Capabilities, Clock
from ...errors import BadStore, StoreUnavailable
from . import forks, migrate
from .checkpoint import HUGE, Checkpoints
from .counts import Counts
from .failures import BUSY, code_of, is_the_stores, translated
from .location import inspect, locate
from .names import Names
from .plain import Plain

T = TypeVar("T")

#: What the statements need: UPDATE … FROM came with 3.33, texts of JSON are always understood since 3.38.
_OLDEST, _WITH_JSON = (3, 34, 0), (3, 38, 0)
#: One try and the pause behind it count as so long a wait at most (seconds): a process that was itself paused did not wait.
_ONE_TRY = 1.0


class Connection:
    """The part of the store that all verbs stand on."""

    capabilities = Capabilities(scheme="sqlite", durable=True, processes=True, hints=True, dialect="sqlite")
    #: A lock held by others is waited for so many seconds; then StoreUnavailable. Who must not wait so long sets less.
    patience = 30.0
    #: A call through this object may have let a waiting job go, since its last ``admit``.
    freed = False

    def __init__(
        self, url: str, namespace: str = "default", clock: Clock | None = None, *, create: bool = True
    ) -> None:
        self.url = url
        self._location = locate(url)
        self.namespace = self._location.namespace or namespace
        self.instance = ""
        self._path = self._location.path
        self._clock = clock
        self._names = Names()
        self._plain = Plain()
        self._db: sqlite3.Connection | None = None
        self._pid = 0
        self._closed = False
        self._replacement = False
        #: Held by every verb while it uses the connection, so that no fork falls into a transaction.
        self.gate = RLock()
        forks.watch(self)
        with self.gate:
            self._open(create)

    # -- opening ------------------------------------------------------------------------------------------------
    def _open(self, create: bool) -> sqlite3.Connection:
        if forks.is_tainted(self._path):
            raise StoreUnavailable(
                f"The job store {self._path} cannot be used in this process: it was forked while another thread was at work in "
                "the store. Nothing was stored. Fork before the first enqueue, or start the process anew (spawn)."
            )
        _refuse_old_library(self._path)
        inspect(self._location, create)
        try:
            if create:
                _make_private(self._path)
            return self._connected(create)
        except (sqlite3.Error, OSError) as error:
            self._discard()
            raise translated(error, self._path) from error
        except BaseException:
            self._discard()
            raise

    def _connected(self, create: bool) -> sqlite3.Connection:
        self._pid = os.getpid()
        found = os.stat(self._path)
        self._file = (found.st_dev, found.st_ino)
        self._seen_version = -1
        db = self._db = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        if not create:
            self._patiently(lambda: _refuse_strangers(db, self._path))
        self._patiently(lambda: _set_up(db, self._location.synchronous))
        self._checkpoints = Checkpoints(db, self._path)
        self._patiently(lambda: migrate.bring_up(db, self._path))
        self._ns, instance = self._patiently(lambda: migrate.identify(db, self.namespace))
        if instance != (self.instance or instance):
            raise self._replaced()
        self.instance = instance
        return db

    def _discard(self) -> None:
        self._close_sources()
        self._names.clear()
        self._plain.clear()
        db, self._db = self._db, None
        if db is not None:
            db.close()

    # -- forks --------------------------------------------------------------------------------------------------
    def put_down(self) -> None:
        """Close the connection if it is idle; the next use opens another."""
        if self._db is not None and self._pid == os.getpid() and not self._db.in_transaction:
            db, self._db = self._db, None
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def inherited(self) -> tuple[str, sqlite3.Connection] | None:
        """Give up a connection that came over a fork."""
        if self._db is None or self._pid == os.getpid():
            return None
        db, self._db = self._db, None
        return self._path, db

    def _close_sources(self) -> None:
        """Close what waiting has opened; there is nothing here."""

    def close(self) -> None:
        """Give the connection back. Closing twice is fine."""
        with self.gate:
            self._closed = True
            self._discard()

    def _live(self) -> sqlite3.Connection:
        """Return the connection, opened anew after a fork; refuse a file that is no longer the one that was opened."""
        if self._closed:
            raise StoreUnavailable(f"This connection to the job store {self._path} has been closed.")
        if self._replacement:
            raise self._replaced()
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
            # For good: to open it now would apply what the old file's log still holds to the new one.
            self._replacement = True
            self._discard()
            raise self._replaced()

    def _replaced(self) -> BadStore:
        return BadStore(
            f"The job store {self._path} has been replaced by another file while it was open; nothing was stored. "
            "Stop all workers before a file is restored, remove its -wal and -shm with it, and start them again."
        )

    # -- transactions -------------------------------------------------------------------------------------------
    def _write(self, step: Callable[..., T], *args: Any) -> T:
        """Run ``step(db, now, *args)`` in one short transaction."""
        with self.gate:
            answer = self._transact("BEGIN IMMEDIATE", lambda db: step(db, self.now(), *args))
            self._checkpoints.after_commit()
            return answer

    def _read(self, step: Callable[..., T], *args: Any) -> T:
        """Run ``step(db, *args)`` on one state of the database."""
        with self.gate:
            return self._transact("BEGIN", lambda db: self._patiently(lambda: step(db, *args)))

    def _transact(self, begin: str, step: Callable[..., T], *args: Any) -> T:
        if self._db is not None and self._db.in_transaction:
            raise StoreUnavailable(
                f"The job store {self._path} is at work in this very thread. Was it called by a signal handler? "
                "Nothing was stored by this call."
            )
        try:
            db = self._begun(begin)
            answer = step(db)
            db.execute("COMMIT")
            return answer
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error) and is_the_stores(error):
                raise translated(error, self._path) from error
            raise

    def _begun(self, begin: str) -> sqlite3.Connection:
        """Begin a transaction, as soon as others let it."""
        db = self._live()
        try:
            db.execute(begin)
            return db
        except sqlite3.OperationalError as error:
            if code_of(error) not in BUSY:
                raise
        return self._begun_later(begin)

    def _begun_later(self, begin: str) -> sqlite3.Connection:
        def attempt() -> sqlite3.Connection:
            db = self._live()
            db.execute(begin)
            return db

        return self._patiently(attempt, self._sleep_apart)

    def _sleep_apart(self, seconds: float) -> None:
        """Let a fork come between."""
        self.gate.release()
        try:
            time.sleep(seconds)
        finally:
            self.gate.acquire()

    def _patiently(self, step: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
        """Run a step again while others hold the lock.

        SQLite's own waiting sleeps whole milliseconds; transactions here are shorter than that.
        """
        waited, pause = 0.0, 0.0001
        while True:
            began = time.monotonic()
            try:
                return step()
            except sqlite3.OperationalError as error:
                if code_of(error) not in BUSY or waited >= self.patience:
                    raise
            sleep(pause * random.uniform(0.5, 1.5))
            waited += min(time.monotonic() - began, _ONE_TRY)
            pause = min(pause * 1.5, 0.01)

    def _roll_back(self) -> None:
        self._names.clear()  # a name given in this transaction is not stored now
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self._discard()

    def _write_counts(self, db: sqlite3.Connection, counts: Counts) -> None:
        """Write down what a transaction has changed, and what follows from it."""
        counts.write(db)
        self.freed = self.freed or counts.stirred

    # -- small verbs --------------------------------------------------------------------------------------------
    def now(self) -> int:
        """Return the store's time, µs: the host's, or that of the clock given."""
        return time.time_ns() // 1000 if self._clock is None else self._clock()

    def migrate(self) -> list[str]:
        """Bring the schema up to this version; return the names of the steps taken."""
        with self.gate:
            db = self._live()
            return self._patiently(lambda: migrate.bring_up(db, self._path))

    def lock_dir(self) -> str | None:
        """Return the directory for the locks of workers, beside the database."""
        return f"{self._path}-locks"


def _refuse_old_library(path: str) -> None:
    """Say at once that Python's SQLite is too old, and not by a syntax error later."""
    found = sqlite3.sqlite_version_info
    if found < _OLDEST or (found < _WITH_JSON and not _understands_json()):
        raise BadStore(
            f"The job store {path} cannot be opened: this Python ({sys.executable}) has SQLite {sqlite3.sqlite_version}"
            f"{' without its JSON functions' if found >= _OLDEST else ''}, and 3.34 or newer with JSON functions is needed. "
            "Nothing was changed. Use a Python that brings a newer SQLite."
        )


def _understands_json() -> bool:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        try:
            db.execute("SELECT json('[]')")
        except sqlite3.OperationalError:
            return False
    return True


def _make_private(path: str) -> None:
    """Create the file so that only its owner can read it: arguments may be secret. SQLite gives its -wal the same mode.

    It is never opened outside SQLite: closing it would drop the locks that other connections of this process have on it, be
    they opened a moment ago by another thread.
    """
    try:
        os.mknod(path, stat.S_IFREG | 0o600)
    except FileExistsError:
        return
    except (AttributeError, OSError):  # where there is no such thing, or only root may do so
        _link_private(path)


def _link_private(path: str) -> None:
    """Do the same by way of a file that nobody else knows."""
    new = f"{path}-{os.getpid()}-{random.getrandbits(32):x}"
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    try:
        os.link(new, path)
    except FileExistsError:
        return
    finally:
        os.unlink(new)


def _refuse_strangers(db: sqlite3.Connection, path: str) -> None:
    """Leave a file alone that is no job store yet, unless it is to be made one."""
    if not migrate.version(db):
        raise BadStore(
            f"{path} holds no job store; it was left as it is. Start a worker with this store URL, or run: packhorse db migrate"
        )


def _set_up(db: sqlite3.Connection, synchronous: str) -> None:
    for setting in (
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {HUGE}",
        "journal_mode = WAL",
        f"synchronous = {synchronous.upper()}",
        "secure_delete = OFF",
        "temp_store = MEMORY",
        "cache_size = -16384",
    ):
        db.execute(f"PRAGMA {setting}").fetchall()
