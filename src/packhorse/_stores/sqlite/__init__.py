"""The SQLite store: one file, one host, durable by default. See ``docs/internals/sqlite.md``."""

from __future__ import annotations

from .store import SqliteStore

__all__ = ["SqliteStore"]
