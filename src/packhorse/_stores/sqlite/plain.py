"""Jobs claimed here whose success, as nearly all are, needs nothing but their own row: settled many at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from ..._record import Verdict
from . import batches
from .counts import Counts
from .queries import sql
from .states import NO_TIME, RUNNING, SUCCEEDED

#: So many jobs are remembered at most. Those that were not settled as plain successes are never asked for.
_REMEMBERED = 100_000
_STRAYS = sql("settle", "strays")
#: What is read of a verdict, at once.
_PARTS = itemgetter(*map(Verdict._fields.index, ("job", "token", "started", "ended", "plain", "result", "log", "keep")))
#: Values a job in ``settle.plain``.
_WIDTH = 4
#: What ``odd`` of a job must be below: one that has rules, or that others wait for, says 2 or more.
_UNRULED, _ALL = 2, 9
#: What a job's row says of a result; 1 is any that is kept beside it.
RESULTS: dict[str | None, int | None] = {None: None, "null": 0}


class NotAll(Exception):
    """Some of the verdicts that looked plain are not: look at each."""


class Taken(NamedTuple):
    """Jobs of one claim."""

    claim: int
    queue: int
    seqs: dict[str, int]  #: by id
    ruled: bool = False  #: they have rules, a flow or a key


class _Short(NamedTuple):
    """Verdicts of one call: by claim, the queue and the values to write; results beside; and what is not short."""

    queues: dict[tuple[int, bool], int]
    values: dict[tuple[int, bool], list[Any]]
    results: list[Any]
    others: list[Verdict]

    def of(self, taken: Taken) -> list[Any]:
        """Return where the values for jobs of a claim belong."""
        key = taken.claim, taken.ruled
        self.queues[key] = taken.queue
        return self.values.setdefault(key, [])

    def write(self, db: sqlite3.Connection, counts: Counts) -> None:
        """Write it down, if all is as it was remembered."""
        for (claim, ruled), values in self.values.items():
            changed, _ = batches.write(db, "settle", "plain", (claim, _ALL if ruled else _UNRULED), values, _WIDTH)
            jobs = len(values) // _WIDTH
            if changed != jobs:
                raise NotAll
            counts.end(claim, jobs)
            counts.move(self.queues[claim, ruled], RUNNING, SUCCEEDED, jobs)
            for seq in values[::_WIDTH] if ruled else ():
                counts.touch(seq)
        if self.values and db.execute(_STRAYS).fetchone()[0]:
            raise NotAll
        batches.write(db, "settle", "results", (), self.results, 2)


class Plain:
    """What one connection remembers of its claims. Each job is used once: then whoever asks looks at the job itself."""

    def __init__(self) -> None:
        self._taken: dict[str, list[Taken]] = {}
        self._added = 0

    def clear(self) -> None:
        """Forget everything."""
        self._taken.clear()
        self._added = 0

    def add(self, token: str, taken: Taken) -> None:
        """Remember jobs of a claim."""
        if not taken.seqs:
            return
        self._added += len(taken.seqs)
        if self._added > _REMEMBERED:
            self._added = sum(len(each.seqs) for claims in self._taken.values() for each in claims)
            if self._added > _REMEMBERED // 2:
                self.clear()
        self._taken.setdefault(token, []).append(taken)

    def _done(self, token: str, taken: Taken) -> None:
        claims = self._taken[token] = [each for each in self._taken.get(token, []) if each is not taken]
        if not claims:
            del self._taken[token]

    def settle(self, db: sqlite3.Connection, now: int, verdicts: Sequence[Verdict], counts: Counts) -> list[Verdict]:
        """Apply the verdicts that change nothing but a remembered job's own row; return the others."""
        short = _Short({}, {}, [], [])
        token, claims, now_in = "", list[Taken](), None
        values: list[Any] = []
        results = short.results
        # This runs for nearly every job there is.
        for verdict, parts in zip(verdicts, map(_PARTS, verdicts), strict=True):
            id, its, started, ended, plain, result, log, keep = parts
            if its != token:
                token, claims = its, self._taken.get(its, [])
            for taken in claims if plain and log is None and keep is None else ():
                seq = taken.seqs.pop(id, None)
                if seq is not None:
                    break
            else:
                short.others.append(verdict)
                continue
            if taken is not now_in:
                now_in, values = taken, short.of(taken)
            if result is not None and result != "null":
                results += (seq, result)
            begun = NO_TIME if started is None else now - round(started * 1e6)
            values += (seq, begun, now - round(ended * 1e6), RESULTS.get(result, 1))
            if not taken.seqs:
                self._done(token, taken)
        short.write(db, counts)
        return short.others
