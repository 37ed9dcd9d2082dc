"""The PostgreSQL store: one schema of a database, any number of hosts. See ``docs/internals/postgresql.md``."""

from __future__ import annotations

from .store import PostgresStore

__all__ = ["PostgresStore"]
