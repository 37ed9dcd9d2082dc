"""Moving the write-ahead log into the database, by one process at a time, while the writer lock is held.

SQLite before 3.51.3 can lose a commit when a checkpoint runs while another connection's commit begins the log anew. So
automatic checkpoints are off. Ours first take the writer lock, as any transaction does; only then a second connection moves the
log, in the mode that waits for nobody. No commit can fall into that, and a slow reader holds up no writer.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing

from .failures import BUSY, code_of

if sys.platform != "win32":
    import fcntl

#: Checkpoint once this much has been logged. More costs more when the file is opened after a crash.
LARGE = 4 * 1024 * 1024
#: A log that grew larger, because a long reader held checkpoints up, is cut to this when it is begun anew.
HUGE = 64 * 1024 * 1024
#: The writer lock is tried for so long; then somebody else's commit will see that the log is large.
_PATIENCE = 1.0
#: After a checkpoint that a reader or a full disk held up, the next is not tried at once; nor after one that went well,
#: when it is up to the next commit to begin the log anew.
_REST, _REST_AFTER_ALL = 30.0, 0.25
#: Rows changed between two looks at the log: a look costs as much as a small read.
_LOOK_EVERY = 64
_HEADER, _FRAME_HEADER = 32, 24


class Checkpoints:
    """When, and how, one connection checkpoints."""

    def __init__(self, db: sqlite3.Connection, path: str) -> None:
        self._db = db
        self._path = path
        frame = _FRAME_HEADER + int(db.execute("PRAGMA page_size").fetchone()[0])
        self._mark = _HEADER + frame * (LARGE // frame)
        self._not_before = 0.0
        self._looked_at = 0

    def after_commit(self) -> None:
        """Checkpoint if the log has grown large and nobody else is at it."""
        changes = self._db.total_changes
        if changes - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = changes
        if self._is_large() and time.monotonic() >= self._not_before:
            done = self.run()
            if done is not None:
                self._not_before = time.monotonic() + (_REST_AFTER_ALL if done else _REST)

    def _is_large(self) -> bool:
        """Tell whether the log has passed the mark since it was begun.

        The file keeps its size, so the frame at the mark is looked at: it belongs to this log if it bears the salt of the
        log's header. Reading the file apart from SQLite is harmless: its locks are on the other two.
        """
        try:
            log = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            salt = os.pread(log, 8, self._mark + 8)
            return len(salt) == 8 and salt == os.pread(log, 8, 16)
        finally:
            os.close(log)

    def run(self) -> bool | None:
        """Checkpoint now. Return whether all could be moved; None if somebody else is at it, or writes all the time."""
        try:
            lock = os.open(f"{self._path}-checkpoint", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            return self._move() if _alone(lock) else None
        finally:
            os.close(lock)

    def _move(self) -> bool | None:
        # Nothing is lost by a checkpoint that failed, on a full disk say: the log stays as it is.
        try:
            if not self._stop_writers():
                return None
            return _moved(self._path)
        except sqlite3.Error:
            return False
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _stop_writers(self) -> bool:
        """Take the writer lock. Without it there is no checkpoint."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return True
            except sqlite3.OperationalError as error:
                if code_of(error) not in BUSY:
                    raise
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)


def _moved(path: str) -> bool:
    """Move what no reader needs any more by a connection made for it, since the one that stops the writers cannot."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # else it does not know that there is a log
        busy, logged, moved = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return not busy and logged == moved


def _alone(lock: int) -> bool:
    """Take the lock of those who checkpoint. On Windows SQLite's own lock is all there is."""
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
