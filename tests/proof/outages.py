"""The server is killed with SIGKILL and started again at random moments; sometimes it only stands still for a while."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .places import Server
from .producing import Enqueuer

#: How long the server stays away (seconds): mostly short, so that the worst moments come often.
_SHORT, _MEDIUM, _LONG = (0.0, 0.3), (0.3, 2.0), (4.0, 8.0)
#: One in so many is long enough for the pauses between two tries to grow to their limit.
_LONG_EVERY = 10
#: Besides, after so many kills: a pause, in which connections stay open and nothing answers.
_PAUSE_EVERY = 5
#: The load that the run itself makes, for each processor.
_OWN_LOAD = 3.0
#: The workers have this long to come back before the next kill (seconds).
_REST = 1.0


@dataclass(slots=True)
class Outage:
    """One time without the server, in seconds since the epoch."""

    began: float
    ready: float  #: the server served again
    killed: bool  #: with SIGKILL; else it was only paused
    slower: float = 1.0  #: how many times slower the host was than it has to be, busy with other things


class Outages(threading.Thread):
    """Strikes as far as the killing has come, and keeps a record."""

    def __init__(
        self, server: Server, kills: int, come: Callable[[], float], enqueuer: Enqueuer, rng: random.Random
    ) -> None:
        super().__init__(name="outages", daemon=True)
        self.record: list[Outage] = []
        self.error: BaseException | None = None  #: the server could not be started again
        self._server = server
        self._moments = sorted(rng.uniform(0.02, 0.98) for _ in range(kills))
        self._come = come
        self._enqueuer = enqueuer
        self._rng = rng
        self._over = threading.Event()

    @property
    def kills(self) -> int:
        return sum(outage.killed for outage in self.record)

    def run(self) -> None:
        try:
            for number, moment in enumerate(self._moments, 1):
                while self._come() < moment:
                    if self._over.wait(0.02):
                        return
                self._kill(number)
                if number % _PAUSE_EVERY == 2:
                    self._pause()
        except BaseException as error:
            self.error = error

    def _kill(self, number: int) -> None:
        began = time.time()
        self._server.kill()
        self._over.wait(
            self._rng.uniform(*(_LONG if number % _LONG_EVERY == 4 else self._rng.choice([_SHORT, _MEDIUM])))
        )
        self._server.start()
        self._back(began, killed=True)

    def _pause(self) -> None:
        began = time.time()
        self._server.pause()
        self._over.wait(self._rng.uniform(0.2, 1.5))
        self._server.resume()
        self._back(began, killed=False)

    def _back(self, began: float, *, killed: bool) -> None:
        slower = max(1.0, os.getloadavg()[0] / _OWN_LOAD / (os.cpu_count() or 1))
        self.record.append(Outage(began, time.time(), killed, slower))
        self._enqueuer.enqueue(["nothing"])  # there is work, so that a claim can be seen
        self._over.wait(self._rng.uniform(_REST, 2 * _REST))

    def stop(self) -> None:
        """Give up: the run has failed."""
        self._over.set()
