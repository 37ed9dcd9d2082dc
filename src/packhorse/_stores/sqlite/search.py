"""Which jobs a filter means, newest or oldest first, without reading many that it does not mean.

A filter on states, queue or task walks one index stream per (kind, state) and merges them; everything else is looked
at job by job.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from ..._record import STATES, JobRecord, State
from ..._store import JobFilter, Page
from . import records
from .connection import Connection
from .queries import sql
from .states import NUMBER, QUEUED, RUNNING

_PATIENCE = 0.3
_WINDOW = 5000
_END = 2**63 - 1
#: The queued jobs of a line stand in the order of their ranks: so few are sorted, of more than so many never all.
_FEW, _MANY = 2000, 100_000
#: Between these, the table itself is walked if one row in so many is likely to be a queued job.
_DENSE = 100


class Searching(Connection):
    """The verb that finds, and the choice of jobs for those that change."""

    def find(self, which: JobFilter, limit: int = 50, after: int | None = None) -> Page:
        """Return matching jobs, newest (largest ``seq``) first, from below ``after``."""
        return self._read(self._find, which, limit, after)

    def _find(self, db: sqlite3.Connection, which: JobFilter, limit: int, after: int | None) -> Page:
        deadline = time.monotonic() + _PATIENCE
        total = int(db.execute(sql("look", "total"), {"ns": self._ns}).fetchone()[0])
        found: list[JobRecord] = []
        searched, last = 0, after
        for seqs in _in_parts(self._seqs(db, which, newest=True, start=after), max(limit, 50) + 1):
            for job in records.by_seq(db, json.dumps(seqs)):
                if not which.fits(job):
                    searched += 1
                elif len(found) == limit:
                    return Page(found, last, searched, total)
                else:
                    found.append(job)
                    searched += 1
                last = job.seq
            if time.monotonic() > deadline:
                return Page(found, last, searched, total)
        return Page(found, None, total, total)

    def choose(
        self,
        db: sqlite3.Connection,
        which: JobFilter,
        states: Sequence[State],
        limit: int,
        sieve: Callable[[list[JobRecord]], list[JobRecord]] = list,
    ) -> list[JobRecord]:
        """Return the first matching jobs in these states, oldest first, as far as they pass the sieve."""
        wanted = tuple(state for state in states if not which.states or state in which.states)
        found: list[JobRecord] = []
        if not wanted:
            return found
        narrowed = _with_states(which, wanted)
        for seqs in _in_parts(self._seqs(db, narrowed, newest=False, start=None), 500):
            found += sieve([job for job in records.by_seq(db, json.dumps(seqs)) if narrowed.fits(job)])
            if len(found) >= limit:
                break
        return found[:limit]

    def _seqs(self, db: sqlite3.Connection, which: JobFilter, *, newest: bool, start: int | None) -> Iterator[int]:
        """Yield the numbers of candidates in order."""
        first = (_END if newest else -1) if start is None else start
        if which.ids:
            ids = json.dumps(list(dict.fromkeys(which.ids)))
            seqs = sorted((job.seq for job in records.by_id(db, self._ns, ids)), reverse=newest)
            return (seq for seq in seqs if (seq < first if newest else seq > first))
        if which.flow is not None:
            rows = db.execute(sql("search", "members"), {"ns": self._ns, "flow": which.flow}).fetchall()
            return _from(rows, first, newest)
        if not which.states and which.queue is None and which.task is None:
            return self._table(db, first, newest, None, None)
        values = {"ns": self._ns, "task": which.task, "queue": which.queue}
        kinds: list[tuple[int, int]] = db.execute(sql("search", "kinds"), values).fetchall()
        streams = [
            stream
            for state in dict.fromkeys(which.states or STATES)
            for stream in self._streams(db, kinds, NUMBER[state], first, newest)
        ]
        return heapq.merge(*streams, reverse=newest)

    def _streams(
        self, db: sqlite3.Connection, kinds: list[tuple[int, int]], state: int, first: int, newest: bool
    ) -> list[Iterator[int]]:
        numbers = json.dumps([kind for kind, _ in kinds])
        if state == QUEUED:
            return [self._queued(db, kinds, numbers, first, newest)]
        if state == RUNNING:
            rows = db.execute(sql("search", "running"), {"ns": self._ns, "kinds": numbers}).fetchall()
            return [_from(rows, first, newest)]
        return [_resting(db, kind, state, first, newest) for kind, _ in kinds]

    def _queued(
        self, db: sqlite3.Connection, kinds: list[tuple[int, int]], numbers: str, first: int, newest: bool
    ) -> Iterator[int]:
        queues = {queue for _, queue in kinds}
        counts = [db.execute(sql("search", "queued_count"), {"queue": queue}).fetchone()[0] for queue in queues]
        total = db.execute(sql("look", "total"), {"ns": self._ns}).fetchone()[0]
        if _is_walk_shorter(sum(counts), total):
            return self._table(db, first, newest, QUEUED, numbers)
        rows = [
            row
            for queue in queues
            for row in db.execute(sql("search", "queued"), {"queue": queue, "kinds": numbers}).fetchall()
        ]
        return _from(sorted(rows), first, newest)

    def _table(
        self, db: sqlite3.Connection, first: int, newest: bool, state: int | None, kinds: str | None
    ) -> Iterator[int]:
        """Walk the table itself, a window at a time."""
        lowest, highest = db.execute(sql("upkeep", "span")).fetchone()
        if lowest is None:
            return
        if state is None and db.execute(sql("look", "total"), {"ns": self._ns}).fetchone()[0] <= _FEW:
            # Else few jobs beside very many of other namespaces would be looked for in every window.
            yield from _from(db.execute(sql("search", "all"), {"ns": self._ns}).fetchall(), first, newest)
            return
        statement = sql("search", "window_down" if newest else "window_up")
        place = min(first, highest + 1) if newest else max(first, lowest - 1)
        while lowest < place if newest else place < highest:
            to = place - _WINDOW if newest else place + _WINDOW
            values = {"from": place, "to": to, "ns": self._ns, "state": state, "kinds": kinds}
            yield from (row[0] for row in db.execute(statement, values).fetchall())
            place = to


def _is_walk_shorter(queued: int, total: int) -> bool:
    return queued > _MANY or (queued > _FEW and queued * _DENSE > total)


def _resting(db: sqlite3.Connection, kind: int, state: int, first: int, newest: bool) -> Iterator[int]:
    """Walk the index of jobs that neither wait in a line nor run."""
    statement = sql("search", "resting_down" if newest else "resting_up")
    size = 50
    while True:
        values = {"kind": kind, "state": state, "from": first, "limit": size}
        rows = db.execute(statement, values).fetchall()
        yield from (row[0] for row in rows)
        if len(rows) < size:
            return
        first, size = rows[-1][0], 500


def _from(rows: list[Any], first: int, newest: bool) -> Iterator[int]:
    ordered = reversed(rows) if newest else iter(rows)
    return (row[0] for row in ordered if (row[0] < first if newest else row[0] > first))


def _in_parts(seqs: Iterator[int], first: int) -> Iterator[list[int]]:
    """Yield lists of numbers; short ones first, since most pages are filled by the first."""
    size = first
    while part := list(islice(seqs, size)):
        yield part
        size = 500


def _with_states(which: JobFilter, states: tuple[State, ...]) -> JobFilter:
    return which._replace(states=states)
