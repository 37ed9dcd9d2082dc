"""The forked processes that do what may block, and what goes on when they have done it."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from time import monotonic
from typing import Any

from .aside import Answer, Aside

Then = Callable[[Answer], None]


class Asides:
    """All that are under way."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        """None is."""
        self._selector = selector
        self._waits: dict[Aside, float] = {}  #: until when
        self.pids: set[int] = set()  #: not collected yet

    def start(self, work: Callable[[], Any], then: Then, patience: float | None = None) -> Aside:
        """Have work done. ``then`` gets the answer, an empty one after ``patience`` seconds. Raises ``OSError``."""
        aside = Aside(work)
        self.pids.add(aside.pid)
        self._waits[aside] = float("inf") if patience is None else monotonic() + patience

        def heard() -> None:
            answer = aside.hear()
            if answer is not None:
                self._end(aside, then, answer)

        self._selector.register(aside.fd, selectors.EVENT_READ, heard)
        aside.give_up = lambda: self._end(aside, then, Answer())
        return aside

    def _end(self, aside: Aside, then: Then, answer: Answer) -> None:
        del self._waits[aside]
        self._selector.unregister(aside.fd)
        aside.close()
        self.collect()
        then(answer)

    @property
    def due(self) -> float:
        """Return when the patience with one ends."""
        return min(self._waits.values(), default=float("inf"))

    def tick(self, now: float) -> None:
        """Give up those that took too long."""
        for aside in [each for each, until in self._waits.items() if until <= now]:
            aside.kill()
            aside.give_up()

    def collect(self) -> None:
        """Collect those that have ended."""
        for pid in list(self.pids):
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self.pids.discard(pid)
            except ChildProcessError:
                self.pids.discard(pid)
