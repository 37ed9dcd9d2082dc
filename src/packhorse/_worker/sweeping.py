"""The sweep of each minute: nobody who waits may be forgotten, whatever has become of the note that was left for ``admit``.

It must find nothing. One worker of all does it, in pieces, of which no two follow each other closely: a store in which very many
wait takes longer for it than a minute.
"""

from __future__ import annotations

import logging
import random
from time import monotonic

from .._store import Store
from .identity import Identity

_log = logging.getLogger("packhorse.store")

EVERY = 60.0
#: Jobs looked at in one call.
PIECE = 200
#: Between two pieces passes so many times the time that one took.
_REST = 30.0
#: Ids that are told of those found.
_TOLD = 5


class Sweeping:
    """Knows when the next piece is due, and counts what should not be."""

    def __init__(self, identity: Identity) -> None:
        """``identity``: whose turn it is, is told by the ids of the workers."""
        self.due = monotonic() + random.uniform(EVERY / 6, EVERY)  #: of the next piece (monotonic)
        self.lost = 0  #: found since the worker started
        self._identity = identity
        self._after: int | None = None
        self._began = 0.0

    def look(self, store: Store, now: float) -> bool:
        """Do one piece; tell whether somebody was found."""
        if self._after is None:
            self._began = now
            if not self._is_mine(store):
                self.due = now + EVERY
                return False
        answer = store.sweep(self._after, PIECE)
        ended = monotonic()
        self._after = answer.next
        self.due = max(self._began + EVERY, ended) if answer.next is None else ended + (ended - now) * _REST
        if answer.lost:
            self._tell(answer.lost)
        return bool(answer.lost)

    def _is_mine(self, store: Store) -> bool:
        """Tell whether this is the worker that does it for all: the one with the smallest id."""
        return self._identity.id == min((row.id for row in store.workers() if row.state == "live"), default="")

    def _tell(self, lost: tuple[str, ...]) -> None:
        self.lost += len(lost)
        _log.warning(
            "%d waiting job%s forgotten, with nothing in the way (%s%s); looked at now. %d since this worker started. "
            "This should never be; please report it.",
            len(lost),
            " was" if len(lost) == 1 else "s were",
            ", ".join(lost[:_TOLD]),
            " and others" if len(lost) > _TOLD else "",
            self.lost,
        )
