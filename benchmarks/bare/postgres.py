"""Bare PostgreSQL: one table, one partial index, prepared statements; settle and claim go in one pipeline."""

from __future__ import annotations

import psutil
import psycopg

from benchmarks.bare import BULK, PAYLOAD

_CLAIM = """
    UPDATE packhorse_bare SET lease = now() + interval '30 s'
    WHERE id IN (SELECT id FROM packhorse_bare WHERE lease IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING id, payload
"""


class BareStore:
    """One table in the database of the URL."""

    batch = 500
    processes = 2

    def __init__(self, url: str) -> None:
        place = url.partition("?")[0]
        scheme, _, rest = place.partition("://")
        self.connection = psycopg.connect(f"{scheme.partition('+')[0]}://{rest}", autocommit=True, prepare_threshold=0)
        self.connection.execute("SET client_min_messages = warning")
        self.connection.execute("SELECT pg_advisory_lock(7501)")  # several of us come at once
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS packhorse_bare (id bigserial PRIMARY KEY, payload text NOT NULL, lease timestamptz)"
        )
        self.connection.execute(
            "CREATE INDEX IF NOT EXISTS packhorse_bare_waiting ON packhorse_bare (id) WHERE lease IS NULL"
        )
        self.connection.execute("SELECT pg_advisory_unlock(7501)")

    def about(self) -> str:
        version, commit, fsync = (self._setting(name) for name in ("server_version", "synchronous_commit", "fsync"))
        return f"PostgreSQL {version.split()[0]}, synchronous_commit={commit}, fsync={fsync}"

    def _setting(self, name: str) -> str:
        row = self.connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
        return str(row[0]) if row else ""

    def one(self, count: int) -> None:
        for _ in range(count):
            self.connection.execute("INSERT INTO packhorse_bare (payload) VALUES (%s)", (PAYLOAD,))

    def bulk(self, count: int) -> None:
        for _ in range(0, count, BULK):
            self.connection.execute(
                "INSERT INTO packhorse_bare (payload) SELECT unnest(%s::text[])", ([PAYLOAD] * BULK,)
            )
        self.connection.execute("ANALYZE packhorse_bare")

    def drain(self, batch: int) -> int:
        done: list[int] = []
        count = 0
        while True:
            with self.connection.pipeline():
                self.connection.execute("DELETE FROM packhorse_bare WHERE id = ANY(%s)", (done,))
                rows = self.connection.execute(_CLAIM, (batch,)).fetchall()
            if not rows:
                return count
            done = [row[0] for row in rows]
            count += len(rows)

    def server_cpu(self) -> float | None:
        """Sum up the server's processes, those that have ended too, if it runs on this machine and lets us look."""
        try:
            row = self.connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
            server = psutil.Process(int(row[0].split()[0]) if row else 0)
            living = [process.cpu_times() for process in [server, *server.children()]]
            ended = server.cpu_times()
        except (psycopg.Error, psutil.Error, ValueError):
            return None
        return float(sum(used.user + used.system for used in living) + ended.children_user + ended.children_system)

    def close(self) -> None:
        self.connection.close()

    def drop(self) -> None:
        self.connection.execute("TRUNCATE packhorse_bare")
