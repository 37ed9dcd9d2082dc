"""Is this namespace closed? One look by key, in the transaction of whoever asks."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from .queries import sql

if TYPE_CHECKING:
    from .connection import Connection

_CLOSED = sql("moving", "closed")


def key(ns: int) -> str:
    """Return under what a namespace's target is kept."""
    return f"closed:{ns}"


def target(db: sqlite3.Connection, ns: int) -> str | None:
    """Return where the jobs of a namespace are going, None if it is open."""
    row = db.execute(_CLOSED, (key(ns),)).fetchone()
    return None if row is None else row[0]


def refuse(db: sqlite3.Connection, ns: int, store: Connection) -> None:
    """Raise ``StoreMoved`` if the namespace is closed."""
    to = target(db, ns)
    if to is not None:
        from ..._closed import refusal

        raise refusal(store.url, store.namespace, to)
