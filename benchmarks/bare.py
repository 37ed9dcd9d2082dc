"""What SQLite itself can do on this disk with two statements and no job queue: the ceiling of every queue on it."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

PAYLOAD = "[[123456],{}]"
BATCH = 200


def open_file(path: Path) -> sqlite3.Connection:
    """Open a new database as durable as the queues'."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE job (id INTEGER PRIMARY KEY, payload TEXT NOT NULL, claimed INTEGER NOT NULL DEFAULT 0)"
    )
    connection.execute("CREATE INDEX waiting ON job (id) WHERE claimed = 0")
    return connection


def insert_one_by_one(connection: sqlite3.Connection, count: int) -> float:
    """INSERT and COMMIT, one row a transaction; return rows per second."""
    start = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO job (payload) VALUES (?)", (PAYLOAD,))
    return count / (time.perf_counter() - start)


def insert_in_bulk(connection: sqlite3.Connection, count: int) -> float:
    """INSERT in transactions of 1,000 rows; return rows per second."""
    start = time.perf_counter()
    for _ in range(count // 1000):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO job (payload) VALUES (?)", [(PAYLOAD,)] * 1000)
        connection.execute("COMMIT")
    return count / (time.perf_counter() - start)


def drain(connection: sqlite3.Connection) -> float:
    """Claim in batches and delete what was done in the same transaction as the next claim; return rows per second."""
    done: list[tuple[int]] = []
    count, start = 0, time.perf_counter()
    while True:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM job WHERE id = ?", done)
        rows = connection.execute(
            "UPDATE job SET claimed = 1 WHERE id IN"
            " (SELECT id FROM job WHERE claimed = 0 ORDER BY id LIMIT ?) RETURNING id",
            (BATCH,),
        ).fetchall()
        connection.execute("COMMIT")
        if not rows:
            return count / (time.perf_counter() - start)
        done, count = rows, count + len(rows)


def fdatasync(path: Path, times: int = 200) -> float:
    """Return the mean seconds that one durable write of a page takes on this disk."""
    flush = getattr(os, "fdatasync", os.fsync)
    with path.open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 4096)
            flush(file.fileno())
        return (time.perf_counter() - start) / times


def measure(folder: Path, scale: float) -> dict[str, float]:
    """Return measure → rows per second."""
    connection = open_file(folder / "bare.db")
    one = insert_one_by_one(connection, max(100, int(10_000 * scale)))
    connection.execute("DELETE FROM job")
    bulk = insert_in_bulk(connection, max(1000, int(100_000 * scale)))
    drained = drain(connection)
    connection.close()
    return {"enqueue one by one": one, "enqueue in bulk": bulk, "drain": drained}
