"""When a worker lets waiting jobs go (``Store.admit``). Pure: the clock is a number.

Jobs without rules must not notice that there are others. So a hint is first taken to mean jobs that can be claimed, and only
when a claim found none it is taken to mean one that waits; a claim that did find some puts the look off for a moment. What
this worker has freed itself is passed on at once, if anybody waited when it looked last.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

from .._admission import Admitted
from .mailbox import Done

#: However quiet it is, somebody looks so often: hints may be lost, and workers die between freeing and looking.
POLL = 1.0
#: A look that is not urgent waits so long for more to look at.
SOON = 0.05


class Admitting:
    """Knows when to look next."""

    def __init__(self) -> None:
        """Nobody has looked yet."""
        self.due = 0.0  #: when to look (monotonic)
        self._waits = True  #: something waited when it was looked last
        self._scarce = True  #: the last claim left slots free
        self._hinted = False
        self._rate = math.inf  #: when a rate lets one go

    def hinted(self) -> None:
        """Something may have changed in the store; a claim will tell whether that was all."""
        self._hinted = True

    def claimed(self, found: bool, now: float, scarce: bool = True) -> None:
        """Note a claim: what was hinted at, or something else, was there to be claimed, or was not. ``scarce``: it left slots
        free."""
        self._scarce = scarce
        if self._hinted:
            self._hinted = False
            self.due = min(self.due, now + SOON if found else now)

    def freed(self, now: float) -> bool:
        """Note that somebody may go because of what this worker did; tell whether to look before anything is claimed.

        As long as claims find enough, it is put off for a moment: then one look serves many who go.
        """
        at_once = self._waits and self._scarce
        self.due = min(self.due, now if at_once else now + SOON)
        return at_once

    def goes_first(self, runs: Iterable[Done], now: float) -> bool:
        """Tell whether to look between the settling of these runs and a claim."""
        return now >= self.due or (self._waits and self._scarce and any(job.holds for job, *_ in runs))

    def wanted(self) -> None:
        """A slot is free: whoever a rate lets go can run at once."""
        self.due = min(self.due, self._rate)

    def asked(self, answer: Admitted, now: float, idle: bool) -> None:
        """Note a look. A worker that is not ``idle`` need not be there at the very moment when a rate lets one go."""
        self._hinted = False
        self._waits = answer.waits or answer.more
        # Not all workers at the same moment: one of them will do.
        self._rate = math.inf if answer.next is None else now + answer.next * random.uniform(1.0, 1.05)
        self.due = now if answer.more else now + POLL
        if idle:
            self.wanted()
