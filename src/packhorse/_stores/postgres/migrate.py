"""The schema: numbered steps, forward only. Installing is running all of them, so there is no second schema to drift."""

from __future__ import annotations

import os
import re
import uuid
from typing import NamedTuple

from ...errors import BadSchema
from .link import Link
from .queries import in_schema, text_of

#: Every step ever released, oldest first. A step is never changed once it has been.
STEPS = ("0001_initial", "0002_schedules", "0003_rules", "0004_steering")
#: Of the lock under which migrations run; any number that nobody else is likely to take.
_LOCK = 7_225_467_114_312

_META = b"SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'meta'"


class Found(NamedTuple):
    """What is known of a schema."""

    version: int  #: number of the last step taken, 0 without our tables
    instance: str


def look(link: Link, schema: str) -> Found:
    """Return what a schema holds."""
    # Asked of the catalogue itself: what a session remembers of names may be older than the lock it waited for.
    if not link.ask(_META, (schema,)).fetchone():
        return Found(0, "")
    rows = dict(link.ask(f'SELECT key, value FROM "{schema}".meta'.encode()).fetchall())
    return Found(int(rows.get("schema", 0)), rows.get("instance", ""))


def require(found: Found, shown: str) -> None:
    """Raise ``BadSchema`` unless the schema is the one this version works with."""
    newest = len(STEPS)
    if found.version == newest:
        return
    if found.version > newest:
        raise BadSchema(
            f"The job store {shown} has schema {found.version}, made by a newer Packhorse; this one understands up to {newest}. "
            "Upgrade Packhorse here, or use another store. Nothing was changed.",
            found.version,
        )
    if found.version:
        raise BadSchema(
            f"The job store {shown} has schema {found.version}; this Packhorse needs {newest}. Nothing was stored.\n"
            "  Try:  packhorse db migrate",
            found.version,
        )
    raise BadSchema(
        f"The job store {shown} has no tables yet; this Packhorse needs schema {newest}. Nothing was stored.\n"
        "  Try:  packhorse db migrate"
    )


def bring_up(link: Link, schema: str, shown: str) -> list[str]:
    """Take the steps that are missing, in one transaction; return their names. Many may do this at once."""
    found = look(link, schema)
    if found.version == len(STEPS):
        return []
    link.ask(b"BEGIN")
    # Held to the end of the transaction, so that it works through a pooler too. A second who comes waits, and finds all done.
    link.ask(b"SELECT pg_advisory_xact_lock($1)", (_LOCK,))
    found = look(link, schema)
    if found.version > len(STEPS):
        link.ask(b"ROLLBACK")
        require(found, shown)
    missing = STEPS[found.version :]
    if not link.ask(b"SELECT 1 FROM pg_namespace WHERE nspname = $1", (schema,)).fetchone():
        link.ask(f'CREATE SCHEMA "{schema}"'.encode())
    for name in missing:
        for statement in statements(script(name)):
            link.ask(in_schema(statement, schema).encode())
    _note(link, schema)
    link.ask(b"COMMIT")
    return list(missing)


def _note(link: Link, schema: str) -> None:
    """Write down how far the schema has come, and who it is."""
    insert = f'INSERT INTO "{schema}".meta VALUES ($1, $2) ON CONFLICT (key) DO'
    link.ask(f"{insert} UPDATE SET value = excluded.value".encode(), ("schema", str(len(STEPS))))
    link.ask(f"{insert} NOTHING".encode(), ("instance", str(uuid.uuid4())))


def script(name: str) -> str:
    """Return the SQL of a step."""
    return text_of(__file__, __spec__.loader, os.path.join("migrations", f"{name}.sql"))


def statements(text: str) -> list[str]:
    """Split a step; it holds no function bodies, so every ``;`` at the end of a line ends a statement."""
    bare = re.sub(r"^\s*--[^\n]*\n", "", text, flags=re.MULTILINE)
    return [part.strip() for part in re.split(r";\s*\n", bare) if part.strip()]
