"""The schema: numbered steps, forward only. Installing is running all of them, so there is no second schema to drift."""

from __future__ import annotations

import sqlite3
import uuid
from functools import cache
from importlib.resources import files

from ...errors import BadSchema

_META = "CREATE TABLE IF NOT EXISTS packhorse_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID"


@cache
def steps() -> list[tuple[int, str, str]]:
    """Return (number, name, SQL) of every step, in order."""
    found = sorted(
        (entry for entry in (files(__package__) / "migrations").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [(int(entry.name[:4]), entry.name.removesuffix(".sql"), entry.read_text("ascii")) for entry in found]


def version(db: sqlite3.Connection) -> int:
    """Return the number of the last step taken, 0 in a file without our tables."""
    ours = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'packhorse_meta'").fetchone()
    row = db.execute("SELECT value FROM packhorse_meta WHERE key = 'schema'").fetchone() if ours else None
    return int(row[0]) if row else 0


def bring_up(db: sqlite3.Connection, path: str) -> list[str]:
    """Take the steps that are missing, in one transaction; return their names. Many may do this at once."""
    newest = len(_known())
    found = version(db)
    if found > newest:
        raise BadSchema(
            f"The job store {path} has schema {found}, written by a newer Packhorse; this one understands up to {newest}. "
            "Upgrade Packhorse here, or use another store. Nothing was changed."
        )
    return _take(db) if found < newest else []


def _known() -> tuple[str, ...]:
    """Return the names of the steps this version knows, without reading them."""
    return tuple(
        sorted(entry.name for entry in (files(__package__) / "migrations").iterdir() if entry.name.endswith(".sql"))
    )


def _take(db: sqlite3.Connection) -> list[str]:
    db.execute("BEGIN IMMEDIATE")
    try:
        found = version(db)
        missing = [step for step in steps() if step[0] > found]
        db.execute(_META)
        for _, _, text in missing:
            for statement in _statements(text):
                db.execute(statement)
        db.execute("INSERT OR REPLACE INTO packhorse_meta VALUES ('schema', ?)", (steps()[-1][0],))
        db.execute("INSERT OR IGNORE INTO packhorse_meta VALUES ('instance', ?)", (str(uuid.uuid4()),))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return [name for _, name, _ in missing]


def _statements(text: str) -> list[str]:
    """Split a script; ``executescript`` would commit the transaction it runs in."""
    found, part = [], ""
    for line in text.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found


def identify(db: sqlite3.Connection, namespace: str) -> tuple[int, str]:
    """Return the number of the namespace, made if it is new, and the identity of the stored data."""
    instance = db.execute("SELECT value FROM packhorse_meta WHERE key = 'instance'").fetchone()[0]
    asked = "SELECT id FROM packhorse_namespaces WHERE name = ?"
    row = db.execute(asked, (namespace,)).fetchone()
    if row is None:
        db.execute("INSERT OR IGNORE INTO packhorse_namespaces (name) VALUES (?)", (namespace,))
        row = db.execute(asked, (namespace,)).fetchone()
    return int(row[0]), str(instance)
