"""Letting go what waits: one round of admit."""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..._admission import Admitted
from ..._record import BATCH, Mode
from ..._rules import gave_up, held_names
from . import closed, records
from .connection import Connection
from .counts import Counts
from .lines import Behind, Lines
from .queries import sql
from .states import BLOCKED, CANCELLED, QUEUED
from .waiting import Hopeless, Waiting, as_json

_RESTS = Admitted(0, 0, False, False, None)
#: So many are looked at beyond those that are let go.
_AHEAD = 1000


class Standing(NamedTuple):
    """One who stands in lines, in the order in which they are looked at."""

    place: int
    seq: int
    queue: int
    holds: str | None
    behind: str | None


class Admitting(Connection):
    """The verb that lets go what waits."""

    def admit(self, limit: int = BATCH) -> Admitted:
        """Make waiting jobs queued that have no obstacle."""
        answer = self._read(self._idle, self.now()) or self._write(self._admit, limit)
        self.freed = False
        return answer

    def _idle(self, db: sqlite3.Connection, now: int) -> Admitted | None:
        """Return the answer if there is nothing to do; so nobody who writes has to wait for those who look in vain."""
        waits, freed = db.execute(sql("admit", "idle"), {"ns": self._ns}).fetchone()
        if (not waits and not freed) or closed.target(db, self._ns) is not None:
            return _RESTS
        if freed or Waiting(db, self._ns).has_news() or db.execute(sql("admit", "due"), self._at(now)).fetchone()[0]:
            return None
        return Admitted(0, 0, False, True, Turn(db, self._ns, now).next())

    def _at(self, now: int) -> dict[str, int]:
        return {"ns": self._ns, "now": now}

    def _admit(self, db: sqlite3.Connection, now: int, limit: int) -> Admitted:
        if closed.target(db, self._ns) is not None:
            return _RESTS
        waiting = Waiting(db, self._ns)
        hopeless = waiting.judge()
        waiting.open_and_shut()
        first = sorted([*((one.seq, one) for one in hopeless), *((seq, None) for seq in waiting.unplaced(limit))])
        examined = first[:limit]
        counts = Counts()
        give_up = [one for _, one in examined if one is not None]
        self._give_up(db, now, give_up, counts)
        waiting.place([seq for seq, one in examined if one is None])
        turn = Turn(db, self._ns, now)
        let_go = turn.let_go(limit - len(give_up))
        self._let_go(db, let_go, counts)
        self._write_counts(db, counts)
        waiting.judge()
        waits, freed = db.execute(sql("admit", "idle"), {"ns": self._ns}).fetchone()
        more = freed or waiting.has_new() or any(True for _ in waiting.unplaced(1)) or turn.leaves_some()
        return Admitted(len(let_go), len(give_up), bool(more), bool(waits), turn.next())

    def _give_up(self, db: sqlite3.Connection, now: int, hopeless: Sequence[Hopeless], counts: Counts) -> None:
        found = records.by_id(db, self._ns, as_text({one.parent for one in hopeless}))
        parents = {job.id: job for job in found}
        for one in hopeless:
            reason = gave_up(parents[one.parent])
            values = {"seq": one.seq, "ns": self._ns, "now": now, "by": None, "reason": reason}
            db.execute(sql("operate", "cancel"), values)
            db.execute(sql("operate", "cancel_details"), values)
            db.execute(sql("admit", "given_up"), (one.parent, one.seq))
            counts.move(one.queue, BLOCKED, CANCELLED)
            counts.touch(one.seq)

    def _let_go(self, db: sqlite3.Connection, jobs: Sequence[Standing], counts: Counts) -> None:
        if jobs:
            db.execute(sql("admit", "let_go"), {"seqs": as_json(job.seq for job in jobs)})
        for job in jobs:
            counts.move(job.queue, BLOCKED, QUEUED)
            counts.touch(job.seq)


class Turn:
    """One look at those who stand in lines: at new ones, and at those behind names that became free and rates that are due."""

    def __init__(self, db: sqlite3.Connection, ns: int, now: int) -> None:
        self._db, self._ns, self._now = db, ns, now
        self._lines = Lines(db, ns, now)
        self._unfinished = False  #: not all of them were looked at
        self._left = False  #: one could go, and was not let go
        self._rates: set[str] = set()  #: somebody is, or was, behind these

    # -- who goes -------------------------------------------------------------------------------------------------
    def let_go(self, limit: int) -> list[Standing]:
        """Return who goes, by place; note what keeps the others."""
        freed = [row[0] for row in self._db.execute(sql("admit", "freed_names"), {"ns": self._ns}).fetchall()]
        going: list[Standing] = []
        kept: list[tuple[str | None, int]] = []
        room = limit + _AHEAD
        for job in self._candidates(freed, room):
            obstacle = self._obstacle(job)
            behind = None if obstacle is None else self._keep(obstacle)
            if behind is None and len(going) < limit:
                self._lines.use(held_names(job.holds))
                going.append(job)
            else:
                kept += [(behind, job.seq)] if behind != job.behind else []
                self._left = self._left or behind is None
            room -= 1
            if not room:
                self._unfinished = True
                break
        self._db.executemany(sql("admit", "sleep"), kept)
        if not self._unfinished:
            self._db.execute(sql("admit", "forget_names"), {"ns": self._ns})
        self._write_rates()
        return going

    def _obstacle(self, job: Standing) -> Behind | None:
        return self._lines.obstacle(job.place, held_names(job.holds))

    def _keep(self, obstacle: Behind) -> str:
        if obstacle.at is not None:
            self._rates.add(obstacle.name)
        return obstacle.key

    def _candidates(self, freed: Sequence[str], room: int) -> Iterator[Standing]:
        """Yield those whose obstacle may be gone, by place."""
        unseen = self._rows("unseen", limit=room + 1)
        due = [row[0] for row in self._db.execute(sql("admit", "due_rates"), self._values()).fetchall()]
        self._rates.update(due)
        streams: list[Iterable[Standing]] = [unseen]
        streams += [self._behind(mode, name) for name in freed for mode in ("x", "s", "l")]
        streams += [self._behind("l", name) for name in due if name not in freed]
        last = -1
        for job in heapq.merge(*streams):
            if job.seq != last:
                yield job
            last = job.seq

    def _behind(self, mode: Mode, name: str) -> Iterator[Standing]:
        """Yield those behind a name who may have it now."""
        after, bound = -1, self._lines.bound(mode, name)
        while after < bound and self._has_some(mode, name):
            rows = self._rows("behind", behind=mode + name, after=after, bound=bound)
            for row in rows:
                if not self._has_some(mode, name):
                    return
                yield row
            if len(rows) < 50:
                return
            after = rows[-1].place

    def _has_some(self, mode: Mode, name: str) -> bool:
        """Tell whether a rate lets another one go; names without one do."""
        return mode != "l" or self._lines.goes_at(name) <= self._now

    def _rows(self, name: str, **more: object) -> list[Standing]:
        return list(map(Standing._make, self._db.execute(sql("admit", name), self._values(**more)).fetchall()))

    def _values(self, **more: object) -> dict[str, object]:
        return {"ns": self._ns, "now": self._now, **more}

    # -- what is left ---------------------------------------------------------------------------------------------
    def leaves_some(self) -> bool:
        """Tell whether another round would let more of them go."""
        return self._left or self._unfinished

    def _write_rates(self) -> None:
        """Note how far rates are used up, and when to look again at those behind them."""
        for name in self._rates | self._lines.used:
            if self._lines.rate(name) is not None:
                self._write_rate(name)

    def _write_rate(self, name: str) -> None:
        slept = self._db.execute(sql("admit", "is_slept_behind"), (self._ns, f"l{name}")).fetchone()[0]
        wakes = self._lines.goes_at(name) if slept else None
        self._db.execute(sql("admit", "put_rate"), (self._ns, name, self._lines.tat(name), wakes))

    def next(self) -> float | None:
        """Return the seconds until a rate lets the next one go."""
        best: int | None = None
        for name, wakes in self._db.execute(sql("admit", "next_rates"), self._values()).fetchall():
            if best is not None and wakes >= best:
                break
            times = [obstacle.at for obstacle in self._kept_by(name, wakes) if obstacle.at is not None]
            best = min(times, default=best) if best is None else min([best, *times])
        return None if best is None else (best - self._now) / 1_000_000

    def _kept_by(self, name: str, wakes: int) -> Iterator[Behind]:
        """Yield what keeps those behind a rate, up to the first that it alone keeps."""
        for job in self._rows("behind", behind=f"l{name}", after=-1, bound=1 << 62):
            obstacle = self._obstacle(job)
            if obstacle is None:
                continue
            yield obstacle
            if obstacle.at == wakes:
                return


def as_text(ids: Iterable[str]) -> str:
    """Return ids as a statement takes them."""
    return json.dumps(sorted(ids))
