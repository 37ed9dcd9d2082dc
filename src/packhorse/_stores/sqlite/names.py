"""Queues and tasks by number: a job's row holds two small integers instead of their names.

Lines and kinds are never deleted, so what was once read stays true; only a rollback empties this.
"""

from __future__ import annotations

import sqlite3

from .queries import sql


class Names:
    """What one connection knows of the numbers."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, str], int] = {}
        self._kinds: dict[tuple[int, str, str], tuple[int, int]] = {}
        self._called: dict[int, tuple[str, str, int]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()
        self._kinds.clear()
        self._called.clear()

    def line(self, db: sqlite3.Connection, ns: int, name: str, side_of: int | None = None) -> int:
        """Return the number of a line, made if it is new."""
        found = self._lines.get((ns, name)) or self.known_line(db, ns, name)
        if found is None:
            found = db.execute(sql("names", "add_line"), {"ns": ns, "name": name, "side_of": side_of}).lastrowid
            assert found is not None
            self._lines[ns, name] = found
        return found

    def known_line(self, db: sqlite3.Connection, ns: int, name: str) -> int | None:
        """Return the number of a line, None if there is none."""
        row = db.execute(sql("names", "line"), {"ns": ns, "name": name}).fetchone()
        if row is None:
            return None
        self._lines[ns, name] = row[0]
        return int(row[0])

    def kind(self, db: sqlite3.Connection, ns: int, queue: str, task: str) -> tuple[int, int]:
        """Return the numbers of a task on a queue and of the queue, made if they are new."""
        found = self._kinds.get((ns, queue, task))
        if found is None:
            line = self.line(db, ns, queue)
            row = db.execute(sql("names", "kind"), {"queue": line, "task": task}).fetchone()
            if row is None:
                values = {"ns": ns, "queue": line, "task": task}
                row = (db.execute(sql("names", "add_kind"), values).lastrowid,)
            found = self._kinds[ns, queue, task] = (row[0], line)
        return found

    def knows(self, ns: int, queue: str, task: str) -> bool:
        """Tell whether ``kind`` needs no look at the file."""
        return (ns, queue, task) in self._kinds

    def called(self, db: sqlite3.Connection, kind: int) -> tuple[str, str, int]:
        """Return task, queue, and the queue's number of a kind."""
        found = self._called.get(kind)
        if found is None:
            found = self._called[kind] = db.execute(sql("names", "called"), {"kind": kind}).fetchone()
        return found
