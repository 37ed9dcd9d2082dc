"""Waiting until another connection has changed something."""

from __future__ import annotations

import os
import select
import sqlite3
import time

from .connection import Connection


class Waiting(Connection):
    """The verbs that wait."""

    _pipe: tuple[int, int] | None = None

    def wait(self, timeout: float) -> bool:
        """Wait until another connection may have changed something, at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        pause = 0.005
        reader = self._reader()
        while True:
            if self.changed():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            ready, _, _ = select.select([reader], [], [], min(pause, left))
            if ready:
                os.read(reader, 4096)
                return self.changed()
            pause = min(pause * 1.5, 0.25)

    def wake(self) -> None:
        """Make a ``wait`` under way on this object return soon. Any thread may call it."""
        self._reader()
        assert self._pipe is not None
        os.write(self._pipe[1], b"!")

    def changed(self) -> bool:
        """Tell whether another connection has changed something since this was last asked (first time: True)."""
        seen: int = self._patiently(lambda: self._version(self._live()))
        news = seen != self._seen_version
        self._seen_version = seen
        return news

    def _version(self, db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA data_version").fetchone()[0])

    def _reader(self) -> int:
        if self._pipe is None:
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
        return self._pipe[0]
