"""When the workers' children died, to a few milliseconds, whoever killed them: a run without an end in the ledger ended then."""

from __future__ import annotations

import os
import select
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from .ledger import mono
from .workers import Worker

#: New children are looked for so often (milliseconds). They need longer than that to begin their first job.
_EVERY = 10


class Death(NamedTuple):
    """A process was alive at the one time and gone at the other (µs, monotonic)."""

    alive: int
    gone: int


class Watch(threading.Thread):
    """Holds a descriptor of every child it ever saw, which the kernel makes readable when that child dies."""

    def __init__(self, workers: Iterable[Worker]) -> None:
        super().__init__(name="watch", daemon=True)
        self.deaths: dict[int, list[Death]] = defaultdict(list)
        self._workers = list(workers)
        self._poll = select.poll()
        self._watched: dict[int, int] = {}  #: descriptor → pid
        self._alive: dict[int, int] = {}  #: descriptor → when it was last seen alive
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            self._meet()
            self._look()

    def _meet(self) -> None:
        known = set(self._watched.values())
        for pid in {pid for worker in self._workers for pid in worker.children()} - known:
            with suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                self._watched[fd], self._alive[fd] = pid, mono()
                self._poll.register(fd, select.POLLIN)

    def _look(self) -> None:
        dead = [fd for fd, _ in self._poll.poll(_EVERY)]
        now = mono()
        for fd in dead:
            self._poll.unregister(fd)
            self.deaths[self._watched.pop(fd)].append(Death(self._alive.pop(fd), now))
            os.close(fd)
        self._alive = dict.fromkeys(self._watched, now)

    def finish(self) -> None:
        """All are dead: end."""
        self._over.set()
        self.join()
        self._look()
        for fd in self._watched:
            os.close(fd)


def death_of(deaths: Mapping[int, Sequence[Death]], pid: int, begun: int) -> Death | None:
    """Return the death of the process that had this id at that time; ids are used again."""
    return next((death for death in deaths.get(pid, ()) if death.gone >= begun), None)
