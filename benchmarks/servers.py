"""A place for each run: an empty SQLite file, PostgreSQL database, or Redis.

The servers are our own, of a version found on PATH or from a wheel, with their defaults but for what the promise needs:
PostgreSQL has fsync and synchronous_commit on, Redis an AOF that is flushed every second. They end with the run.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


class Place(Protocol):
    """Where the runs on one store take place."""

    disk: Path  #: a directory on the disk where it keeps the jobs

    def fresh(self, folder: Path) -> str:
        """Return the URL of an empty store. That of the run before is gone."""


class Files:
    """SQLite needs no server."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk

    def fresh(self, folder: Path) -> str:
        return f"sqlite:///{folder}/jobs.db"


class Databases:
    """One database after another on one PostgreSQL."""

    def __init__(self, url: str, disk: Path) -> None:
        self.url, self.disk = url, disk

    def fresh(self, folder: Path) -> str:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS benchmark WITH (FORCE)")
            connection.execute("CREATE DATABASE benchmark")
            connection.execute("CHECKPOINT")  # the one that the new database brings must not fall into the run
        head, _, _ = self.url.rpartition("/")
        return f"{head}/benchmark"


class Flushed:
    """One Redis, emptied for each run."""

    def __init__(self, url: str, disk: Path) -> None:
        self.url, self.disk = url, disk

    def fresh(self, folder: Path) -> str:
        import redis

        client: Any = redis.Redis.from_url(self.url)
        client.flushall()
        client.close()
        return self.url


#: What the servers of the tests are told: the defaults of PostgreSQL, which they have less of, and the journal of Redis.
_SETTINGS: dict[str, dict[str, object]] = {
    "postgres": {"shared_buffers": "128MB", "max_connections": 100, "fsync": "on", "synchronous_commit": "on"},
    "redis": {"appendonly": "yes", "appendfsync": "everysec"},
}


@contextmanager
def serving(store: str, directory: Path) -> Iterator[Place]:
    """Start the server of a kind of store, if it has one, with its files in a directory, and stop it in the end."""
    directory.mkdir()
    if store == "sqlite":
        yield Files(directory)
        return
    server = importlib.import_module(f"tests.servers.{store}").Server(directory, **_SETTINGS[store])
    server.start()
    try:
        kind = Databases if store == "postgres" else Flushed
        yield kind(server.url, getattr(server, "home", directory))
    finally:
        server.stop()
