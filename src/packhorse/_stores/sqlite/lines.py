"""The lines in which jobs stand for a name: who may have it, as ``admit`` sees it.

Whether a job is let go depends only on who has its names and who stands before it: not on which of those before it go in the same
round, for they are in its way as holders as they were before. So of each name a few places say it all, whatever its length.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ..._record import Mode
from ..._rules import Limit, declared, goes_at, limit, used
from .queries import sql

#: Beyond every place.
END = 1 << 62


class Line(NamedTuple):
    """What keeps jobs out of one name: each may have it whose place is at most this."""

    exclusive: int  #: who wants it alone
    shared: int
    limited: int


class Behind(NamedTuple):
    """What is in the way of a job."""

    mode: Mode
    name: str
    at: int | None = None  #: a rate: when it may go

    @property
    def key(self) -> str:
        """Return it as it is stored."""
        return self.mode + self.name


class Lines:
    """All lines in one round."""

    def __init__(self, db: sqlite3.Connection, ns: int, now: int) -> None:
        self._db, self._ns, self._now = db, ns, now
        self._values: dict[str, str] = dict(db.execute(sql("limits", "values"), (ns,)).fetchall())
        self._limits: dict[str, Limit | None] = {}
        self._lines: dict[str, Line] = {}
        self._tats: dict[str, int] = {}
        self.used: set[str] = set()  #: rates of which something was used in this round

    def limit(self, name: str) -> Limit | None:
        """Return what is declared of a name."""
        if name not in self._limits:
            found = declared(self._values, name)
            self._limits[name] = None if found is None else limit(self._values[found])
        return self._limits[name]

    def rate(self, name: str) -> Limit | None:
        """Return the rate of a name, if it has one."""
        found = self.limit(name)
        return found if found is not None and found.places is None else None

    def line(self, name: str) -> Line:
        """Return the line of a name."""
        if name not in self._lines:
            self._lines[name] = self._look(name)
        return self._lines[name]

    def _look(self, name: str) -> Line:
        values = {"ns": self._ns, "name": name}
        reserved, held, *firsts = self._db.execute(sql("admit", "line"), values).fetchone()
        first_x = END if firsts[0] is None else firsts[0]
        if reserved:
            return Line(-1, -1, -1)
        first = min((place for place in firsts if place is not None), default=END)
        shared = first_x - 1
        return Line(first_x if not held and first == first_x else -1, shared, min(shared, self._last_in_limit(name)))

    def _last_in_limit(self, name: str) -> int:
        places = (self.limit(name) or Limit()).places
        if places is None:
            return END
        values = {"ns": self._ns, "name": name}
        free = places - int(self._db.execute(sql("admit", "places_taken"), values).fetchone()[0])
        if free <= 0:
            return -1
        row = self._db.execute(sql("admit", "first_without"), {**values, "free": free}).fetchone()
        return END if row is None else int(row[0]) - 1

    def bound(self, mode: Mode, name: str) -> int:
        """Return the last place from which a job may have the name so."""
        line = self.line(name)
        if mode == "l":
            return -1 if self.limit(name) is None else line.limited
        return line.exclusive if mode == "x" else line.shared

    def obstacle(self, place: int, holds: Sequence[tuple[Mode, str]]) -> Behind | None:
        """Return what is in the way of a job."""
        for mode, name in holds:
            if place > self.bound(mode, name):
                return Behind(mode, name)
        return self.used_up(holds)

    # -- rates ----------------------------------------------------------------------------------------------------
    def tat(self, name: str) -> int:
        """Return from when on nothing of a rate is used up."""
        if name not in self._tats:
            row = self._db.execute(sql("admit", "tat"), (self._ns, name)).fetchone()
            self._tats[name] = row[0] if row else 0
        return self._tats[name]

    def goes_at(self, name: str) -> int:
        """Return from when on a rate lets the next one go; a name without one does so always."""
        rate = self.rate(name)
        return 0 if rate is None else goes_at(self.tat(name), rate)

    def used_up(self, holds: Sequence[tuple[Mode, str]]) -> Behind | None:
        """Return the rate that lets a job go last, if that is not yet."""
        times = [(self.goes_at(name), name) for mode, name in holds if mode == "l"]
        at, name = max(times, key=lambda pair: pair[0], default=(0, ""))
        return Behind("l", name, at) if at > self._now else None

    def use(self, holds: Sequence[tuple[Mode, str]]) -> None:
        """Use the rates among what a job holds."""
        for mode, name in holds:
            rate = self.rate(name) if mode == "l" else None
            if rate is not None:
                self._tats[name] = used(self.tat(name), self._now, rate)
                self.used.add(name)
