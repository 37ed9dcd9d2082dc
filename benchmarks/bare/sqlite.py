"""Bare SQLite: one table, one partial index, two statements."""

from __future__ import annotations

import sqlite3

from benchmarks.bare import BULK, PAYLOAD


class BareStore:
    """A database of its own beside the queue's, as durable as the URL's ``synchronous`` says (FULL)."""

    batch = 200
    processes = 1

    def __init__(self, url: str) -> None:
        place, _, query = url.removeprefix("sqlite:///").partition("?")
        self.synchronous = "NORMAL" if "synchronous=normal" in query else "FULL"
        self.connection = sqlite3.connect(f"{place}.bare", isolation_level=None, timeout=30)
        for statement in (
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {self.synchronous}",
            "CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, payload TEXT NOT NULL,"
            " claimed INTEGER NOT NULL DEFAULT 0)",
            "CREATE INDEX IF NOT EXISTS waiting ON job (id) WHERE claimed = 0",
        ):
            self.connection.execute(statement)

    def about(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}, WAL, synchronous={self.synchronous}"

    def one(self, count: int) -> None:
        for _ in range(count):
            self.connection.execute("INSERT INTO job (payload) VALUES (?)", (PAYLOAD,))

    def bulk(self, count: int) -> None:
        for _ in range(0, count, BULK):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT INTO job (payload) VALUES (?)", [(PAYLOAD,)] * BULK)
            self.connection.execute("COMMIT")

    def drain(self, batch: int) -> int:
        done: list[tuple[int]] = []
        count = 0
        while True:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("DELETE FROM job WHERE id = ?", done)
            rows = self.connection.execute(
                "UPDATE job SET claimed = 1 WHERE id IN"
                " (SELECT id FROM job WHERE claimed = 0 ORDER BY id LIMIT ?) RETURNING id, payload",
                (batch,),
            ).fetchall()
            self.connection.execute("COMMIT")
            if not rows:
                return count
            done = [row[:1] for row in rows]
            count += len(rows)

    def server_cpu(self) -> None:
        return None

    def close(self) -> None:
        self.connection.close()

    def drop(self) -> None:
        self.connection.execute("DELETE FROM job")
