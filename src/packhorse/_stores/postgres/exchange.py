"""Settling and claiming in one round trip and one commit, or admitting and claiming.

Not all three: who holds the lock of the namespace changes edges of jobs that a settle may have changed already, so a settle must
not wait for that lock before it has committed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from ..._admission import Admitted
from ..._exchange import Ask, Exchanged, claimed, falls_short, joined, rest
from ..._record import BATCH, Claim, Settled, Verdict
from ...errors import StoreError
from .admit import Admitting, Step
from .claim import MOST, in_order
from .link import Link
from .rounds import Round
from .settle import Settling, columns_of, is_plain

#: For so long (seconds) no call asks anew which queues have jobs, as long as these have enough.
_LATELY = 0.02


class Exchanging(Settling, Admitting):
    """The verb that takes outcomes and gives jobs."""

    #: When lines were looked for last, what for, and what was found.
    _lately: tuple[float, Any, dict[str, int]] = (0.0, None, {})

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Settle, claim, and admit where it may help."""
        found = None if look else self._in_one(worker, verdicts, ask)
        settled = self.settle(worker, verdicts) if found is None and verdicts else []
        if look:
            return Exchanged(settled, *self._admit_and_claim(worker, ask))
        if found is None:
            claim = claimed(self, worker, ask)
        else:
            settled, claim = found
            if falls_short(claim, ask) and ask.queues is None:
                claim = joined(claim, claimed(self, worker, rest(ask, claim)))  # another queue may have jobs since
        if not falls_short(claim, ask) or not self.freed:
            return Exchanged(settled, None, claim)
        admitted, further = self._admit_and_claim(worker, rest(ask, claim))
        return Exchanged(settled, admitted, joined(claim, further))

    def _admit_and_claim(self, worker: str, ask: Ask) -> tuple[Admitted, Claim]:
        """Do both in one transaction: who is let go is there to be claimed, and nobody else need be told of it."""
        room = ask.free + ask.ahead
        if room > MOST:
            return self.admit(), claimed(self, worker, ask)
        who = (worker, ask.claim_no, os.urandom(16).hex())
        known = self._attempted(lambda link: self._known_lately(link, ask))
        started, whole = time.monotonic(), self._floors.whole()

        def take(turn: Round) -> Step:
            lines = known if ask.queues is not None else {**known, **turn.queues}
            return self._take_statement(in_order(ask.queues, ask.lines, ask.turn, lines), ask.free, room, who)

        admitted, rows = self._admitted(BATCH, take)
        self.freed = False
        if not rows:  # the namespace rests, and so will the claim
            return admitted, claimed(self, worker, ask)
        took = time.monotonic() - started
        jobs, now, found = self._attempted(lambda link: self._taken(link, rows, who[2], took, whole))
        more = found >= room or found > len(jobs)
        if admitted.admitted and (more or admitted.admitted > len(jobs)):
            self._read("small", "tell")
            self._mine += 1
        return admitted, Claim(jobs, now, more)

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
            asked = in_order(ask.queues, ask.lines, ask.turn, self._known_lately(link, ask))
            started, whole = time.monotonic(), self._floors.whole()
            take = self._take_statement(asked, ask.free, room, who)
            settled, freed, rows = self._together(link, *self._plain_statements(columns), take)
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

    def _known_lately(self, link: Link, ask: Ask) -> dict[str, int]:
        self._require(link)
        at, what, lines = self._lately
        if time.monotonic() > at + _LATELY or what != (ask.queues, ask.lines):
            lines = self._known(link, ask.queues, ask.lines)
            self._lately = (time.monotonic(), (ask.queues, ask.lines), lines)
        return lines
