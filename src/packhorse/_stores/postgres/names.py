"""Namespaces, queues and tasks by number: a job's row holds small integers instead of their names.

A name is stored in a statement of its own, before the transaction that uses it: so it is never rolled back, and nobody waits for
somebody else's open transaction to learn the number of a queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection
    from .link import Link


class Names:
    """What one store object knows of the numbers. They are never given back, so what was once read stays true."""

    def __init__(self, store: Connection) -> None:
        self._store = store
        self.lines: dict[str, int] = {}
        self.kinds: dict[tuple[str, str], tuple[int, int]] = {}
        self.called: dict[int, tuple[str, str]] = {}  #: number of a kind → task and queue

    def namespace(self, link: Link, name: str) -> int:
        """Return the number of a namespace, made if it is new."""
        return self._number(link, "namespace", "add_namespace", name)

    def line(self, link: Link, ns: int, name: str) -> int:
        """Return the number of a queue or a side line, made if it is new."""
        found = self.lines.get(name)
        if found is None:
            queue, mark, _ = name.partition("#")
            side_of = self.line(link, ns, queue) if mark else None
            found = self.lines[name] = self._number(link, "line", "add_line", ns, name, side_of)
        return found

    def kind(self, link: Link, ns: int, queue: str, task: str) -> tuple[int, int]:
        """Return the numbers of a task on a queue and of the queue, made if they are new."""
        found = self.kinds.get((queue, task))
        if found is None:
            line = self.line(link, ns, queue)
            found = self.kinds[queue, task] = (self._number(link, "kind", "add_kind", ns, line, task), line)
        return found

    def _number(self, link: Link, known: str, add: str, *values: object) -> int:
        rows = self._store._rows(link, "names", known, *values)
        if not rows:
            rows = self._store._rows(link, "names", add, *values)
        if not rows:  # somebody was faster
            rows = self._store._rows(link, "names", known, *values)
        return int(rows[0][0])
