"""The schema: numbered steps, forward only. Installing is running all of them, so there is no second schema to drift."""

from __future__ import annotations

import os
import sqlite3

from ...errors import BadSchema
from .queries import text_of

_META = "CREATE TABLE IF NOT EXISTS packhorse_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID"


#: Every step ever released, oldest first. A step is never changed once it has been.
STEPS = ("0001_initial", "0002_schedules", "0003_rules", "0004_steering")


def version(db: sqlite3.Connection) -> int:
    """Return the number of the last step taken, 0 in a file without our tables."""
    ours = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'packhorse_meta'").fetchone()
    row = db.execute("SELECT value FROM packhorse_meta WHERE key = 'schema'").fetchone() if ours else None
    return int(row[0]) if row else 0


def bring_up(db: sqlite3.Connection, path: str) -> list[str]:
    """Take the steps that are missing, in one transaction; return their names. Many may do this at once."""
    newest = len(STEPS)
    found = version(db)
    if found > newest:
        raise BadSchema(
            f"The job store {path} has schema {found}, written by a newer Packhorse; this one understands up to {newest}. "
            "Upgrade Packhorse here, or use another store. Nothing was changed.",
            found,
        )
    return _take(db) if found < newest else []


def script(name: str) -> str:
    """Return the SQL of a step."""
    return text_of(__file__, __spec__.loader, os.path.join("migrations", f"{name}.sql"))


def _take(db: sqlite3.Connection) -> list[str]:
    import uuid  # only a new file needs it

    db.execute("BEGIN IMMEDIATE")
    try:
        missing = STEPS[version(db) :]
        db.execute(_META)
        for name in missing:
            for statement in _statements(script(name)):
                db.execute(statement)
        db.execute("INSERT OR REPLACE INTO packhorse_meta VALUES ('schema', ?)", (len(STEPS),))
        db.execute("INSERT OR IGNORE INTO packhorse_meta VALUES ('instance', ?)", (str(uuid.uuid4()),))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return list(missing)


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
