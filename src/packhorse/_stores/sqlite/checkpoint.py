"""Moving the write-ahead log into the database, by one process at a time, with the writer lock held.

SQLite before 3.51.3 can lose a commit when a checkpoint runs while another connection's commit resets the log. So
automatic checkpoints are off, and ours are TRUNCATE only: they hold the writer lock for their whole length, and no commit
can fall into one.
"""

from __future__ import annotations

import os
import sqlite3

try:
    import fcntl
except ImportError:  # not a Unix: SQLite's own lock is all there is
    fcntl = None  # type: ignore[assignment]

#: Checkpoint once the log is larger than this. Bigger costs more when the file is opened after a crash.
LARGE = 4 * 1024 * 1024
#: Without the writer lock SQLite would fall back to a PASSIVE checkpoint, the very kind that is to be avoided; so it
#: waits far longer than any transaction of ours takes.
_PATIENCE_MS = 60_000


def if_large(db: sqlite3.Connection, path: str) -> None:
    """Checkpoint if the log has grown large and nobody else is at it."""
    try:
        size = os.stat(f"{path}-wal").st_size
    except OSError:
        return
    if size > LARGE:
        run(db, path)


def run(db: sqlite3.Connection, path: str) -> bool:
    """Checkpoint now, unless another process is at it. Return whether it was done."""
    lock = os.open(f"{path}-checkpoint", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if not _only_one(lock):
            return False
        return _truncate(db)
    finally:
        os.close(lock)


def _only_one(lock: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _truncate(db: sqlite3.Connection) -> bool:
    db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}").fetchall()
    try:
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    except sqlite3.OperationalError:
        # Nothing is lost by a checkpoint that failed, on a full disk say: the log stays, and the next commit tries again.
        return False
    finally:
        db.execute("PRAGMA busy_timeout = 0").fetchall()
