"""What a worker says when it claims: its queues in turn, the side lines it serves, and the number of the claim."""

from __future__ import annotations

from .._exchange import Ask
from .mailbox import Want
from .shapes import in_turn


class Asking:
    """Counts the claims."""

    def __init__(self, groups: tuple[tuple[str, ...], ...] | None) -> None:
        """``groups``: the queues, as the worker was told them; None: all there are."""
        self.lines: tuple[str, ...] = ()  #: side lines that are served
        self.claim_no = 0  #: of the last claim; never begun anew, since a beat under way may bear it
        self._groups = groups

    def ask(self, want: Want) -> Ask:
        """Return what the next claim asks for."""
        self.claim_no += 1
        queues = in_turn(self._groups, self.claim_no)
        return Ask(queues, want.free, want.ahead, self.claim_no, self.lines, self.claim_no)

    def serve(self, lines: list[str]) -> None:
        """Serve these side lines, too."""
        self.lines = tuple(sorted({*self.lines, *lines}))
