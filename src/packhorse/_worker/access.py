"""Connections to one store, and to no other: what is opened later must be what was opened first."""

from __future__ import annotations

import threading

from .._store import Store
from ..errors import BadStore
from .config import Place


class Access:
    """Opens connections for the threads of a worker. Only the first may create the store."""

    def __init__(self, place: Place) -> None:
        """Open nothing yet."""
        self._place = place
        self._lock = threading.Lock()
        self._instance: str | None = None

    def open(self) -> Store:
        """Return a new connection.

        Raises ``BadStore`` if another store stands there by now (a file deleted and made anew, a backup restored): the running
        jobs are not in it, so the worker waits for its own to come back.
        """
        with self._lock:
            store = self._place.open(self._instance is None)
            if self._instance is None:
                self._instance = store.instance
            elif store.instance != self._instance:
                found = store.instance
                store.close()
                raise BadStore(
                    f"another store stands at {store.url}: instance {found[:8]} instead of {self._instance[:8]}.\n"
                    f"  This worker keeps its running jobs and waits for its own store; put it back, or start the worker anew."
                )
            return store
