"""Settling, admitting where it may help, and claiming, in one commit.

Who holds the lock of the namespace changes edges of jobs that a settle may have changed already, so a settle must not wait for
that lock before it has committed: if it cannot have it at once, the rest follows in a transaction of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..._admission import Admitted
from ..._exchange import Ask, Exchanged, claimed, falls_short, joined, one_by_one, rest
from ..._record import BATCH, Claim, Settled, Verdict
from ...errors import StoreError
from .admit import Admitting, Step, Then
from .claim import MOST, in_order
from .link import Link
from .rounds import Round
from .settle import Settling, columns_of, is_plain
from .wire import Rows

#: For so long (seconds) no call asks anew which queues have jobs, as long as these have enough.
_LATELY = 0.02


class Taking(NamedTuple):
    """A claim at the end of a round of admit."""

    room: int
    token: str
    statement: Then
    began: float
    whole: bool  #: it looks at whole lines


class Exchanging(Settling, Admitting):
    """The verb that takes outcomes and gives jobs."""

    #: When lines were looked for last, what for, and what was found.
    _lately: tuple[float, Any, dict[str, int]] = (0.0, None, {})

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Settle, claim, and admit where it may help."""
        if look:
            return self._all_three(worker, verdicts, ask)
        found = self._in_one(worker, verdicts, ask)
        if found is None:
            settled = self.settle(worker, verdicts) if verdicts else []
            claim = claimed(self, worker, ask)
        else:
            settled, claim = found
            if falls_short(claim, ask) and ask.queues is None:
                claim = joined(claim, claimed(self, worker, rest(ask, claim)))  # another queue may have jobs since
        if not falls_short(claim, ask) or not self.freed:
            return Exchanged(settled, None, claim)
        admitted, further = self._admit_and_claim(worker, rest(ask, claim))
        return Exchanged(settled, admitted, joined(claim, further))

    def _all_three(self, worker: str, verdicts: Sequence[Verdict], ask: Ask) -> Exchanged:
        """Settle, admit and claim, in one transaction if nobody else admits just now."""
        taking = self._taking(worker, ask)
        columns = columns_of(verdicts) if 0 < len(verdicts) <= MOST and all(map(is_plain, verdicts)) else None
        if columns is None or taking is None:
            settled = self.settle(worker, verdicts) if verdicts else []
            return Exchanged(settled, *self._admit_and_claim(worker, ask))
        plain = self._plain_statements(columns)

        def act(link: Link) -> tuple[list[Rows], tuple[Admitted, Rows] | None]:
            self._require(link)
            *done, alone = self._begun(link, *plain, ("admit", "alone_now", (self._ns,)))
            if not alone[0][0]:
                self._finished(link)
                return done, None
            return done, self._admit(link, BATCH, taking.statement, self._all(link, *self._looks()))

        try:
            (applied, freed), rest_done = self._attempted(act)
        except Exception as error:
            if isinstance(error, (StoreError, OSError)):
                raise
            # The namespace rests, or one of them cannot be written: verb by verb that is told as it should be.
            return one_by_one(self, worker, verdicts, ask, look=True)
        left = self._left(verdicts, applied, freed)
        settled = self._settle_others(left) if left else []
        if rest_done is None:
            return Exchanged(settled, *self._admit_and_claim(worker, ask))
        self.freed = bool(left)  # what these have freed nobody has looked at yet
        admitted, rows = rest_done
        return Exchanged(settled, admitted, self._brought(taking, admitted, rows))

    def _admit_and_claim(self, worker: str, ask: Ask) -> tuple[Admitted, Claim]:
        """Do both in one transaction: who is let go is there to be claimed, and nobody else need be told of it."""
        taking = self._taking(worker, ask)
        if taking is None:
            return self.admit(), claimed(self, worker, ask)
        admitted, rows = self._admitted(BATCH, taking.statement)
        self.freed = False
        if not rows:  # the namespace rests, and so will the claim
            return admitted, claimed(self, worker, ask)
        return admitted, self._brought(taking, admitted, rows)

    def _taking(self, worker: str, ask: Ask) -> Taking | None:
        """Return the claim at the end of a round of admit; None: it is for more than one statement takes."""
        room = ask.free + ask.ahead
        if room > MOST:
            return None
        who = (worker, ask.claim_no, os.urandom(16).hex())
        known = self._attempted(lambda link: self._known_lately(link, ask))

        def statement(turn: Round) -> Step:
            lines = known if ask.queues is not None else {**known, **turn.queues}
            return self._take_statement(in_order(ask.queues, ask.lines, ask.turn, lines), ask.free, room, who)

        return Taking(room, who[2], statement, time.monotonic(), self._floors.whole())

    def _brought(self, taking: Taking, admitted: Admitted, rows: Rows) -> Claim:
        """Return what a claim has brought; tell others of what it left of those who were let go."""
        took = time.monotonic() - taking.began
        jobs, now, found = self._attempted(lambda link: self._taken(link, rows, taking.token, took, taking.whole))
        more = found >= taking.room or found > len(jobs)
        if admitted.admitted and (more or admitted.admitted > len(jobs)):
            self._read("small", "tell")
            self._mine += 1
        return Claim(jobs, now, more)

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
