"""Looking for those who could go, though nothing would have ``admit`` look at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..._record import BATCH
from ..._rules import goes_at
from ..._sweep import Swept
from .admit import Admitting
from .gates import is_served
from .limits import Declared
from .link import Link
from .rounds import Round, rates_of


class _Waiter(NamedTuple):
    """One who waits."""

    seq: int
    place: int | None
    queue: int
    done: bool  #: neither a parent nor a flow is in its way
    wants: bool  #: it stands in lines


class _Found(NamedTuple):
    """Who was forgotten, and where to go on."""

    stale: list[int]  #: who waits for others which have ended
    free: list[int]  #: in whose way nothing is
    last: int | None

    @property
    def nobody(self) -> bool:
        """Tell whether all is well."""
        return not self.stale and not self.free


class Sweeping(Admitting):
    """The verb that looks at all who wait."""

    def sweep(self, after: int | None = None, limit: int = BATCH) -> Swept:
        """Look at some of those who wait; have those looked at again who were forgotten."""
        found = self._write(self._look_for_lost, after or 0, limit)
        if found.nobody:
            return Swept((), found.last)
        lost = self._write(self._find_again, after or 0, limit)
        self.freed = self.freed or bool(lost)
        return Swept(lost, found.last)

    def _find_again(self, link: Link, now: int, after: int, limit: int) -> tuple[str, ...]:
        """Look again while nobody admits, which takes notes away; have admit look at those who are found."""
        self._rows(link, "admit", "alone", self._ns)
        found = self._look_for_lost(link, now, after, limit)
        if found.nobody:
            return ()
        return tuple(row[0] for row in self._rows(link, "sweep", "find_again", found.stale, found.free))

    def _look_for_lost(self, link: Link, now: int, after: int, limit: int) -> _Found:
        if self._rows(link, "enqueue", "closed", self._ns)[0][0] is not None:
            return _Found([], [], None)
        page = [_Waiter(*row) for row in self._rows(link, "sweep", "page", self._ns, after, limit)]
        if not page:
            return _Found([], [], None)
        rows = self._rows(link, "sweep", "stale", self._ns, [one.seq for one in page])
        last = page[-1].seq if len(page) == limit else None
        return _Found([row[0] for row in rows], self._free_ones(link, now, page), last)

    def _free_ones(self, link: Link, now: int, page: Sequence[_Waiter]) -> list[int]:
        """Return those in whose way nothing is, nor was a note of it left."""
        turn = Round(now, Declared(self._limits(link)), self._known_open(link))
        able = [one for one in page if one.done and one.queue in turn.open]
        free = [one.seq for one in able if not one.wants]
        passing = self._passing(link, turn, self._wanted(link, turn, [one.seq for one in able if one.wants]))
        self._learn_rates(link, turn, passing.values())
        # The notes after all else: who frees a name notes it in the same transaction.
        noted = {row[0] for row in self._rows(link, "sweep", "noted", self._ns)}
        for seq, (_, wants) in passing.items():
            due = all(goes_at(turn.tats[name], rate) <= now for name, rate in rates_of(turn, wants))
            if due and not any(want.name in noted for want in wants):
                free.append(seq)
        return free

    def _known_open(self, link: Link) -> dict[str, int]:
        """Return the open queues, but those that have been opened since the last round."""
        served = is_served([row[0] for row in self._rows(link, "admit", "served", self._ns)])
        rows = self._rows(link, "admit", "queues", self._ns)
        return {name: queue for queue, name, unpaused, was in rows if was and unpaused and served(name)}
