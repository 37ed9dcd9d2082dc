"""What one round of admit goes by, and how far it looks along the lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..._rules import Limit, goes_at
from .limits import Declared

#: So many of a line are looked at together.
PAGE = 300

#: Kind of note, and what it is about.
Notes = set[tuple[str, str]]


class Seen(NamedTuple):
    """A waiting job, and what stands before the lines."""

    seq: int
    place: int | None
    queue: int
    was_done: bool
    after_failed: bool
    holds: str | None
    open: bool  #: a parent or a flow has not ended
    unsure: bool  #: of one of them it could not be found out
    bad: bool  #: one of them has ended badly

    @property
    def hopeless(self) -> bool:
        """Tell whether it gives up."""
        return self.bad and not self.after_failed

    @property
    def done(self) -> bool:
        """Tell whether neither a parent nor a flow is in its way."""
        return not self.open and not self.hopeless


class Want(NamedTuple):
    """One name of one able waiter."""

    seq: int
    place: int
    mode: str
    name: str


#: Who may go, as far as others are in the way: by seq, the place and the names wanted.
Passing = dict[int, tuple[int, list[Want]]]


class Round:
    """What one round goes by."""

    def __init__(self, now: int, limits: Declared, queues: Mapping[str, int]) -> None:
        """``queues``: the open ones in which a job waits, with their lines."""
        self.now = now
        self.limits = limits
        self.queues = queues
        self.open = list(queues.values())
        self.tats: dict[str, int] = {}
        self.late: list[int] = []  #: when those may go for whom a rate is in the way
        self.more = False
        self.again: set[int] = set()  #: jobs to be looked at in the next round
        self.names: Notes = set()  #: names to be looked at in the next round


def lines_of(notes: Notes, limits: Declared) -> list[dict[str, Any]]:
    """Return how far each line is to be looked at: what was free of one who shared is free for one alone."""
    kinds: dict[str, set[str]] = {}
    for kind, name in notes:
        kinds.setdefault(name, set()).add(kind)
    return [
        {
            "name": name,
            "sharing": "x" in found,
            "taking": bool(found & {"x", "l"}),
            "places": limits.places("l", name),
            "behind": 0,
        }
        for name, found in sorted(kinds.items())
    ]


def further(lines: Sequence[dict[str, Any]], rows: Sequence[Any], used_up: set[str]) -> list[dict[str, Any]]:
    """Return the lines of which more is to be looked at: those of which a whole page was seen."""
    found = []
    for line in lines:
        places: dict[str, list[int]] = {"s": [], "l": []}
        for name, mode, place, *_ in rows:
            if name == line["name"] and mode in places:
                places[mode].append(place)
        counted = line["places"] is not None
        sharing = len(places["s"]) >= PAGE
        taking = not counted and len(places["l"]) >= PAGE and line["name"] not in used_up
        if sharing or taking:
            full = [places[mode][-1] for mode, goes_on in (("s", sharing), ("l", taking)) if goes_on]
            found.append({**line, "sharing": sharing, "taking": taking, "behind": min(full)})
    return found


def allowed(tat: int, now: int, rate: Limit) -> int:
    """Return how many may start now."""
    if tat <= now:
        return rate.burst
    return max(0, (now - goes_at(tat, rate)) // rate.interval + 1)


def rates_of(turn: Round, wants: Sequence[Want]) -> list[tuple[str, Limit]]:
    named = ((want.name, turn.limits.rate(want.mode, want.name)) for want in wants)
    return [(name, rate) for name, rate in named if rate is not None]
