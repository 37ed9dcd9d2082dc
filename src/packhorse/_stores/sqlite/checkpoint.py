"""Moving the write-ahead log into the database, by one process at a time, with the writer lock held.

SQLite before 3.51.3 can lose a commit when a checkpoint runs while another connection's commit begins the log anew. So
automatic checkpoints are off, and ours are RESTART or TRUNCATE only: they hold the writer lock for their whole length, and
no commit can fall into one. RESTART is the usual one, since a log whose file need not grow again makes a commit twice
as fast.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time

if sys.platform != "win32":
    import fcntl

#: Checkpoint once this much has been logged. More costs more when the file is opened after a crash.
LARGE = 4 * 1024 * 1024
#: A log that grew so large, because a long reader held checkpoints up, is cut instead of kept for reuse.
HUGE = 64 * 1024 * 1024
#: Without the writer lock SQLite falls back to a PASSIVE checkpoint, the very kind that is to be avoided; so it waits
#: far longer than any transaction of ours takes. It waits as long for readers, with the writer lock held: hence not longer.
_PATIENCE_MS = 5_000 if sqlite3.sqlite_version_info < (3, 51, 3) else 250
#: After a checkpoint that a reader or a full disk held up, the next is not tried at once.
_REST = 30.0
#: Commits between two looks at the log: a look costs as much as a small read.
_LOOK_EVERY = 4
_HEADER, _FRAME_HEADER = 32, 24


class Checkpoints:
    """When, and how, one connection checkpoints."""

    def __init__(self, db: sqlite3.Connection, path: str) -> None:
        self._db = db
        self._path = path
        frame = _FRAME_HEADER + int(db.execute("PRAGMA page_size").fetchone()[0])
        self._mark = _HEADER + frame * (LARGE // frame)
        self._not_before = 0.0
        self._commits = 0

    def after_commit(self) -> None:
        """Checkpoint if the log has grown large and nobody else is at it."""
        self._commits += 1
        if self._commits % _LOOK_EVERY:
            return
        if self._is_large() and time.monotonic() >= self._not_before:
            done = self.run()
            if done is False:
                self._not_before = time.monotonic() + _REST

    def _is_large(self) -> bool:
        """Tell whether the log has passed the mark since it was begun.

        The file keeps its size, so the frame at the mark is looked at: it belongs to this log if it bears the salt of the
        log's header. Reading the file apart from SQLite is harmless: there are no locks on it.
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
        """Checkpoint now. Return whether all could be moved; None if another process is at it."""
        lock = os.open(f"{self._path}-checkpoint", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            return self._move() if _alone(lock) else None
        finally:
            os.close(lock)

    def _move(self) -> bool:
        how = "TRUNCATE" if os.stat(f"{self._path}-wal").st_size > HUGE else "RESTART"
        try:
            self._db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}").fetchall()
            busy, _, _ = self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
            return not busy
        except sqlite3.OperationalError:
            # Nothing is lost by a checkpoint that failed, on a full disk say: the log stays as it is.
            return False
        finally:
            self._db.execute("PRAGMA busy_timeout = 0").fetchall()


def _alone(lock: int) -> bool:
    """Take the lock of those who checkpoint. On Windows SQLite's own lock is all there is."""
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
