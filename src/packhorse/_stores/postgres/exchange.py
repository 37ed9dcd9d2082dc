"""Settling and claiming in one round trip and one commit.

Not admitting: who holds the lock of the namespace changes edges of jobs that a settle may have changed already, so a settle must
not wait for that lock before it has committed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from ..._exchange import Ask, Exchanged, claimed, falls_short, joined, one_by_one, rest
from ..._record import Claim, Settled, Verdict
from ...errors import StoreError
from .admit import Admitting
from .claim import MOST
from .link import Link
from .settle import Settling, columns_of, is_plain

#: For so long (seconds) no call asks anew which queues have jobs, as long as these have enough.
_LATELY = 0.02


class Exchanging(Settling, Admitting):
    """The verb that takes outcomes and gives jobs."""

    #: When lines were looked for last, what for, and what was found.
    _lately: tuple[float, Any, list[int]] = (0.0, None, [])

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Settle, claim, and admit where it may help."""
        found = None if look else self._in_one(worker, verdicts, ask)
        if found is None:
            return one_by_one(self, worker, verdicts, ask, look)
        settled, claim = found
        if falls_short(claim, ask) and ask.queues is None:
            claim = joined(claim, claimed(self, worker, rest(ask, claim)))  # another queue may have jobs since
        if not falls_short(claim, ask) or not self.freed:
            return Exchanged(settled, None, claim)
        admitted = self.admit()
        if admitted.admitted:
            claim = joined(claim, claimed(self, worker, rest(ask, claim)))
        return Exchanged(settled, admitted, claim)

    def _in_one(self, worker: str, verdicts: Sequence[Verdict], ask: Ask) -> tuple[list[Settled], Claim] | None:
        """Settle and claim in one transaction; None, and nothing was done: they are not for that."""
        room = ask.free + ask.ahead
        if not verdicts or max(len(verdicts), room) > MOST or not all(map(is_plain, verdicts)):
            return None
        columns = columns_of(verdicts)
        if columns is None:
            return None
        who = (worker, ask.claim_no, os.urandom(16).hex())

        def act(link: Link) -> tuple[list[Any], list[Any], Claim]:
            self._require(link)
            asked = self._asked_lately(link, ask)
            started, whole = time.monotonic(), self._floors.whole()
            verb, name, *values = self._take_statement(asked, ask.free, room, who)
            statements = [*self._plain_statements(columns), (verb, name, tuple(values))]
            settled, freed, rows = self._together(link, *statements)
            jobs, now, found = self._taken(link, rows, who[2], time.monotonic() - started, whole)
            return settled, freed, Claim(jobs, now, found >= room or found > len(jobs))

        try:
            settled, freed, claim = self._attempted(act)
        except Exception as error:
            if isinstance(error, (StoreError, OSError)):
                raise
            return None
        left = self._left(verdicts, settled, freed)
        return (self._settle_others(left) if left else []), claim

    def _asked_lately(self, link: Link, ask: Ask) -> list[int]:
        at, what, lines = self._lately
        if time.monotonic() > at + _LATELY or what != (ask.queues, ask.lines):
            lines = self._asked(link, ask.queues, ask.lines, ask.turn)
            self._lately = (time.monotonic(), (ask.queues, ask.lines), lines)
        return lines
