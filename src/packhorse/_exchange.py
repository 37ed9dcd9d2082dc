"""The part of the store contract by which a worker hands in outcomes and gets jobs in one call. Nothing here does I/O."""

# Not put off, as in _record.
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ._admission import Admitted
from ._record import Claim, Settled, Verdict


class Ask(NamedTuple):
    """What a claim asks for; see ``Store.claim``."""

    queues: Sequence[str] | None
    free: int
    ahead: int
    claim_no: int
    lines: Sequence[str] = ()
    turn: int = 0


class Exchanged(NamedTuple):
    """The answers to one ``exchange``."""

    settled: list[Settled]  #: as from ``settle``
    admitted: Admitted | None  #: as from ``admit``; None: there was none
    claim: Claim


class Exchanging(Protocol):
    """Several verbs in one."""

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Do ``settle`` and ``claim``, and ``admit`` where it may help, in as few commits and round trips as the store can: a job
        that reserves something is never claimed ahead, so what there is between two of them counts for each.

        First ``settle``. With ``look``, one round of ``admit``. Then ``claim``. Without ``look``, if the claim brought fewer than
        ``ask.free`` and ``freed`` is True: one round of ``admit`` now, and if that let any go, a further claim, with the same
        ``claim_no``, for what is missing; both together are the answer. So nobody who could run now stays behind, and while
        enough are queued no call looks at those that wait.

        Each is as if it had been called by itself, in this order; nothing comes between that one of them could not also meet
        otherwise. If it raises, any of them may have been done or not, and to call it again is as harmless as to call them
        again. In a closed namespace the verdicts are applied, and then ``StoreMoved`` is raised, as by ``claim``.
        """


class Verbs(Protocol):
    """What an exchange is made of."""

    freed: bool

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        """See ``Store``."""

    def admit(self) -> Admitted:
        """See ``Admission``."""

    def claim(
        self,
        queues: Sequence[str] | None,
        free: int,
        ahead: int,
        worker: str,
        claim_no: int,
        *,
        lines: Sequence[str] = (),
        turn: int = 0,
    ) -> Claim:
        """See ``Store``."""


def one_by_one(store: Verbs, worker: str, verdicts: Sequence[Verdict], ask: Ask, look: bool) -> Exchanged:
    """Do an exchange verb by verb."""
    settled = store.settle(worker, verdicts) if verdicts else []
    admitted = store.admit() if look else None
    first = claimed(store, worker, ask)
    if look or not falls_short(first, ask) or not store.freed:
        return Exchanged(settled, admitted, first)
    admitted = store.admit()
    return Exchanged(settled, admitted, _more(store, worker, ask, first) if admitted.admitted else first)


def claimed(store: Verbs, worker: str, ask: Ask) -> Claim:
    """Claim what is asked for."""
    return store.claim(ask.queues, ask.free, ask.ahead, worker, ask.claim_no, lines=ask.lines, turn=ask.turn)


def _more(store: Verbs, worker: str, ask: Ask, first: Claim) -> Claim:
    return joined(first, claimed(store, worker, rest(ask, first)))


def falls_short(claim: Claim, ask: Ask) -> bool:
    """Tell whether slots stay free."""
    return len(claim.jobs) < ask.free


def rest(ask: Ask, claim: Claim) -> Ask:
    """Return what is still asked for after a claim that fell short."""
    return ask._replace(free=ask.free - len(claim.jobs))


def joined(first: Claim, second: Claim) -> Claim:
    """Return two claims as one."""
    return Claim(first.jobs + second.jobs, second.now, second.more)
