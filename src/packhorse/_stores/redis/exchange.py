"""Settling, admitting and claiming in one round trip."""

from __future__ import annotations

from collections.abc import Sequence

from ..._admission import Admitted
from ..._exchange import Ask, Exchanged, falls_short, joined, one_by_one, rest
from ..._record import BATCH, Claim, Verdict
from .admit import STEP, Admitting
from .claim import Claiming, words_for
from .connection import Argument
from .settle import Settling, sent

_ADMIT: tuple[str, list[Argument]] = ("admit", [STEP])


class Exchanging(Settling, Admitting, Claiming):
    """The verb that takes outcomes and gives jobs."""

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Settle, claim, and admit where it may help."""
        if len(verdicts) > BATCH or not self._knows("settle", "admit", "claim"):
            return one_by_one(self, worker, verdicts, ask, look)
        batch = sent(verdicts)
        token, words = words_for(worker, ask)
        first = [("settle", batch.words)] if verdicts else []
        answers = self._run_all([*first, *([_ADMIT] if look else ()), ("claim", words)])
        settled = self._settled(batch, answers.pop(0)) if verdicts else []
        admitted = self._admitted(answers.pop(0)) if look else None
        claim = self._brought(answers.pop(0), token)
        if look or not falls_short(claim, ask) or not self.freed:
            return Exchanged(settled, admitted, claim)
        admitted, more = self._look_and_claim(worker, rest(ask, claim))
        return Exchanged(settled, admitted, joined(claim, more))

    def _look_and_claim(self, worker: str, ask: Ask) -> tuple[Admitted, Claim]:
        token, words = words_for(worker, ask)
        told, brought = self._run_all([_ADMIT, ("claim", words)])
        return self._admitted(told), self._brought(brought, token)
