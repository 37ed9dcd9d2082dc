"""Nothing of SQLite's goes over a fork.

SQLite keeps one note per file of the locks that this process holds. A child inherits the note but not the locks, so
that even a connection it opens itself would believe in locks it has not: the parent, or anybody, could take itself for the
last user of the file and delete the log that the child goes on writing. So every connection is closed before a fork, and
opened again at its next use. What could not be closed, since a transaction was under way in another thread, makes the file
unusable for the child, which is told so.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from threading import RLock
from typing import Protocol

#: A fork waits at most so long, in all, for transactions under way in other threads.
_PATIENCE = 5.0


class Owner(Protocol):
    """Who holds a connection."""

    gate: RLock  #: held while the connection is used

    def put_down(self) -> None:
        """Close the connection if it is idle; the gate is held."""

    def inherited(self) -> tuple[str, sqlite3.Connection] | None:
        """In the child: give up what is open, and say of which file it is."""


_owners: dict[int, weakref.ref[Owner]] = {}
_held: list[Owner] = []
#: Path → connections of the parent's. They must never be finalised: closing one could write to the parent's log.
_inherited: dict[str, list[sqlite3.Connection]] = {}


def watch(owner: Owner) -> None:
    """Let an owner take part in every fork from now on."""
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None))


def is_tainted(path: str) -> bool:
    """Tell whether an open connection to this file was inherited by this process."""
    return path in _inherited


def leave(owner: Owner) -> None:
    """In a child: take from an owner what it inherited, for good."""
    left = owner.inherited()
    if left is not None:
        path, db = left
        _make_immortal(db)
        _inherited.setdefault(path, []).append(db)


def _make_immortal(db: sqlite3.Connection) -> None:
    import ctypes  # needed hardly ever, and slow to import

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))


def _all() -> list[Owner]:
    return [owner for owner in (each() for each in list(_owners.values())) if owner is not None]


def _before() -> None:
    deadline = time.monotonic() + _PATIENCE
    for owner in _all():
        if owner.gate.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _held.append(owner)
            owner.put_down()


def _after_in_parent() -> None:
    while _held:
        _held.pop().gate.release()


def _after_in_child() -> None:
    _held.clear()
    for owner in _all():
        owner.gate = RLock()  # a thread that is no more may have held it
        leave(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
