"""Looking for those who could go, or should have given up, though nothing would have ``admit`` look at them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..._record import BATCH
from ..._rules import held_names, parents
from ..._sweep import Swept
from . import closed
from .admit import Admitting
from .lines import Lines
from .queries import sql
from .rules import ASLEEP, NEW
from .waiting import Waiting

_OF_NAMES, _OF_JOBS, _OF_FLOWS = 1, 2, 3


class _Stander(NamedTuple):
    """One who stands in lines, where a name kept it out."""

    seq: int
    place: int
    queue: int
    holds: str | None
    id: str


class Sweeping(Admitting):
    """The verb that looks at all who wait."""

    def sweep(self, after: int | None = None, limit: int = BATCH) -> Swept:
        """Look at some of those who wait; have those looked at again who were forgotten."""
        now = self.now()
        standing, asleep, last = self._read(lambda db: _Sweep(db, self._ns, now).look(after or 0, limit))
        if not standing and not asleep:
            return Swept((), last)
        lost = self._write(self._find_again, after or 0, limit)
        self.freed = self.freed or bool(lost)
        return Swept(lost, last)

    def _find_again(self, db: sqlite3.Connection, now: int, after: int, limit: int) -> tuple[str, ...]:
        sweep = _Sweep(db, self._ns, now)
        standing, asleep, _ = sweep.look(after, limit)
        sweep.wake(standing, asleep)
        return tuple(id for _, id in sorted([*standing, *asleep]))


#: Numbers and ids of jobs.
Found = list[tuple[int, str]]


class _Sweep:
    """One look."""

    def __init__(self, db: sqlite3.Connection, ns: int, now: int) -> None:
        self._db, self._ns, self._now = db, ns, now

    def look(self, after: int, limit: int) -> tuple[Found, Found, int | None]:
        """Return who was forgotten, of those in lines and of those who wait for others; and where to go on."""
        if closed.target(self._db, self._ns) is not None:
            return [], [], None
        values = {"ns": self._ns, "after": after, "limit": limit}
        standing = self._db.execute(sql("sweep", "standing"), values).fetchall()
        asleep = self._db.execute(sql("sweep", "asleep"), values).fetchall()
        full = [rows[-1][0] for rows in (standing, asleep) if len(rows) == limit]
        last = min(full, default=None)
        standing, asleep = ([row for row in rows if last is None or row[0] <= last] for rows in (standing, asleep))
        return self._could_go(map(_Stander._make, standing)), self._could_stand(asleep), last

    def _noted(self, kind: int) -> set[str]:
        rows = self._db.execute(sql("sweep", "noted"), {"ns": self._ns, "kind": kind}).fetchall()
        return {what for (what,) in rows}

    def _could_go(self, standing: Iterable[_Stander]) -> Found:
        """Return those in whose way nothing is, and nothing was noted either."""
        lines, gates, noted = (
            Lines(self._db, self._ns, self._now),
            Waiting(self._db, self._ns).gates,
            self._noted(_OF_NAMES),
        )
        due = self._db.execute(sql("admit", "due_rates"), {"ns": self._ns, "now": self._now}).fetchall()
        noted |= {name for (name,) in due}
        return [
            (one.seq, one.id)
            for one in standing
            if gates.lets_through(one.queue)
            and lines.obstacle(one.place, held_names(one.holds)) is None
            and not noted.intersection(name for _, name in held_names(one.holds))
        ]

    def _could_stand(self, asleep: Sequence[tuple[Any, ...]]) -> Found:
        """Return those who wait for nothing any more, or in vain, of which nothing was noted either."""
        if not asleep:
            return []
        waiting = Waiting(self._db, self._ns)
        jobs, flows = self._noted(_OF_JOBS), self._noted(_OF_FLOWS)
        return [
            (row[0], id)
            for *row, after, id in asleep
            if waiting.judged(*row) != ASLEEP and not jobs.intersection(parents(after)) and row[3] not in flows
        ]

    def wake(self, standing: Found, asleep: Found) -> None:
        """Have ``admit`` look at them."""
        self._db.executemany(sql("admit", "sleep"), [(None, seq) for seq, _ in standing])
        self._db.executemany(sql("admit", "stage"), [(NEW, seq) for seq, _ in asleep])
        self._db.executemany(sql("rules", "hold_stages"), [(NEW, seq) for seq, _ in asleep])
