"""Which queues let jobs through: those that are not paused and that a live worker serves."""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from .queries import sql


class Gate(NamedTuple):
    """One queue."""

    name: str
    unpaused: bool
    served: bool


class Gates:
    """All queues of a namespace, as they are now."""

    def __init__(self, db: sqlite3.Connection, ns: int) -> None:
        self._db = db
        rows = db.execute(sql("admit", "workers"), (ns,)).fetchall()
        self._all = any(queues is None for (queues,) in rows)
        self._served = {queue for (queues,) in rows if queues for group in json.loads(queues) for queue in group}
        self._gates: dict[int, Gate] = {}

    def gate(self, queue: int) -> Gate:
        """Return what is known of a queue, by its number."""
        if queue not in self._gates:
            name, unpaused = self._db.execute(sql("admit", "queue"), (queue,)).fetchone()
            self._gates[queue] = Gate(name, bool(unpaused), self._all or name in self._served)
        return self._gates[queue]

    def lets_through(self, queue: int) -> bool:
        """Tell whether jobs of a queue may go."""
        gate = self.gate(queue)
        return gate.unpaused and gate.served
