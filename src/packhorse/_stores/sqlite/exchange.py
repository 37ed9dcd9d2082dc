"""Settling, admitting and claiming in one transaction: what a commit costs counts for each reserved job."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..._admission import Admitted
from ..._exchange import Ask, Exchanged, falls_short, joined, one_by_one, rest
from ..._record import BATCH, Claim, Settled, Verdict
from . import closed
from .admit import Admitting
from .claim import Claiming
from .plain import NotAll
from .settle import Settling, is_the_verdicts


class Exchanging(Settling, Admitting, Claiming):
    """The verb that takes outcomes and gives jobs."""

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Settle, claim, and admit where it may help."""
        try:
            answer = self._write(self._exchange, worker, verdicts, ask, look)
        except Exception as error:
            if not isinstance(error, NotAll) and not (verdicts and is_the_verdicts(error)):
                raise
            return one_by_one(self, worker, verdicts, ask, look)
        if answer is None:
            return one_by_one(self, worker, verdicts, ask, look)  # settles, and is refused
        if answer.admitted is not None:
            self.freed = False
        return answer

    def _exchange(
        self, db: sqlite3.Connection, now: int, worker: str, verdicts: Sequence[Verdict], ask: Ask, look: bool
    ) -> Exchanged | None:
        if closed.target(db, self._ns) is not None:
            return None
        settled: list[Settled] = self._settle(db, now, verdicts) if verdicts else []
        admitted = self._admit_some(db, now) if look else None
        claim = self._claim_asked(db, now, worker, ask)
        if look or not falls_short(claim, ask) or not self.freed:
            return Exchanged(settled, admitted, claim)
        admitted = self._admit_some(db, now)
        if admitted.admitted:
            claim = joined(claim, self._claim_asked(db, now, worker, rest(ask, claim)))
        return Exchanged(settled, admitted, claim)

    def _admit_some(self, db: sqlite3.Connection, now: int) -> Admitted:
        return self._idle(db, now) or self._admit(db, now, BATCH)

    def _claim_asked(self, db: sqlite3.Connection, now: int, worker: str, ask: Ask) -> Claim:
        return self._claim(db, now, ask.queues, ask.free, ask.ahead, worker, ask.claim_no, ask.lines, ask.turn)
