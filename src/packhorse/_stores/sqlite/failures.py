"""What SQLite's errors mean to the caller of a store."""

from __future__ import annotations

import errno
import os
import sqlite3

from ...errors import BadSchema, BadStore, PackhorseError, StoreFull, StoreUnavailable

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_RUINED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: Errors of the store itself: the same call may succeed later, and no row of it is to blame.
TRANSIENT = BUSY | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
}


def code_of(error: BaseException) -> int:
    """Return SQLite's primary result code, 0 for an error that has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def is_the_stores(error: BaseException) -> bool:
    """Tell whether the store is to blame, and not a value or a row that was given to it."""
    code = code_of(error)
    return code in TRANSIENT or code in _RUINED or code == sqlite3.SQLITE_ERROR


def translated(error: sqlite3.Error | OSError, path: str) -> PackhorseError:
    """Return the error of the tree that tells the caller what happened and what to do."""
    code = code_of(error)
    if _says_full(error, code, path):
        return StoreFull(
            f"The disk of the job store {path} is full; nothing was stored. Free some space and try again."
        )
    if code in BUSY:
        return StoreUnavailable(
            f"The job store {path} stayed locked by another program; nothing was stored. "
            "Look for a long transaction in it (fuser -v shows who has it open), and try again."
        )
    if code == sqlite3.SQLITE_NOTADB:
        return BadStore(f"{path} is not a SQLite database. Nothing was changed. Name another file in the store URL.")
    if code == sqlite3.SQLITE_CORRUPT:
        return BadStore(f"The job store {path} is damaged: {error}. Stop all workers and restore it from a backup.")
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return BadSchema(
            f"The job store {path} lacks a part of its schema ({error}). Was it restored from elsewhere, or a table dropped? "
            "Look at: packhorse db status"
        )
    if code in TRANSIENT or isinstance(error, OSError):
        return StoreUnavailable(
            f"The job store {path} cannot be used at present: {error} ({name_of(error)}). Nothing was stored."
        )
    return BadStore(f"The job store {path} refused what was asked: {error} ({name_of(error)}). Nothing was stored.")


def _says_full(error: Exception, code: int, path: str) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path))


def _is_full(path: str) -> bool:
    """Tell whether the disk has no room left: SQLite calls it an I/O error when it is the log's index that cannot grow."""
    try:
        disk = os.statvfs(os.path.dirname(path))
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * 1024


def name_of(error: BaseException) -> str:
    """Return SQLite's own name of an error, for those who look it up."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
