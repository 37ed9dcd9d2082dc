"""Handing jobs to workers."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, repeat
from operator import itemgetter
from typing import Any, NamedTuple

from ..._record import Claim, Claimed
from . import closed
from .connection import Connection
from .counts import Counts
from .failures import code_of
from .plain import Taken
from .produce import ODD_LIVE, ODD_SOLO, ODD_STILL
from .queries import sql
from .states import QUEUED, RUNNING

_SEPARATOR = "\x1e"
_FIRST, _THESE = sql("claim", "first"), sql("claim", "these")
_ADD, _TAKE, _TAKE_RUN = sql("claim", "add"), sql("claim", "take"), sql("claim", "take_run")


#: ``Claimed._make`` without its check of the length, for columns whose number is known.
_CLAIMED: Callable[[Iterable[Any]], Claimed] = partial(tuple.__new__, Claimed)
_ID = itemgetter(0)


class _Rows(NamedTuple):
    """Claimable jobs of one line, column by column, in the order in which they are taken."""

    size: int
    oddest: int
    odds: str
    seqs: str
    kinds: str
    created: str
    ids: str
    by: str
    payloads: str


class _Call(NamedTuple):
    """What one claim call carries along."""

    now: int
    free: int
    room: int
    worker: str
    claim_no: int
    token: str
    counts: Counts


class Claiming(Connection):
    """The verb that makes queued jobs running."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Lines in which the last claim met a job that is not claimed ahead of a free slot.
        self._alone: set[int] = set()
        super().__init__(*args, **kwargs)

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
        """Take up to ``free + ahead`` queued jobs by rank and make them running for this live worker."""
        return self._write(self._claim, queues, free, ahead, worker, claim_no, lines, turn)

    def _claim(
        self,
        db: sqlite3.Connection,
        now: int,
        queues: Sequence[str] | None,
        free: int,
        ahead: int,
        worker: str,
        claim_no: int,
        lines: Sequence[str],
        turn: int,
    ) -> Claim:
        closed.refuse(db, self._ns, self)
        live = db.execute(sql("claim", "live"), {"worker": worker, "ns": self._ns}).fetchone()
        if live is None or not live[0]:
            return Claim([], now, False)
        call = _Call(now, free, free + ahead, worker, claim_no, os.urandom(16).hex(), Counts())
        taken: list[Claimed] = []
        more = False
        for line in self._lines(db, queues, lines, turn):
            more = self._claim_line(db, call, line, taken)
            if more:
                break
        self._write_counts(db, call.counts)
        return Claim(taken, now, more)

    def _lines(
        self, db: sqlite3.Connection, queues: Sequence[str] | None, sides: Sequence[str], turn: int
    ) -> Iterator[int]:
        """Yield the lines in the order in which they are asked: a queue, then its side lines that are served."""
        for queue, name in self._open_queues(db, queues, turn):
            yield queue
            for side in dict.fromkeys(sides):
                if side.startswith(f"{name}#"):
                    found = self._names.known_line(db, self._ns, side)
                    if found is not None:
                        yield found

    def _open_queues(
        self, db: sqlite3.Connection, queues: Sequence[str] | None, turn: int
    ) -> Iterator[tuple[int, str]]:
        if queues is None:
            found = db.execute(sql("claim", "every"), {"ns": self._ns}).fetchall()
            start = turn % len(found) if found else 0
            yield from found[start:] + found[:start]
            return
        for name in dict.fromkeys(queues):
            row = db.execute(sql("claim", "open"), {"ns": self._ns, "name": name}).fetchone()
            if row is not None:
                yield row

    def _claim_line(self, db: sqlite3.Connection, call: _Call, line: int, taken: list[Claimed]) -> bool:
        """Take what may be taken from one line; tell whether something was left because of a limit."""
        heads = sorted(db.execute(sql("claim", "heads"), {"line": line}).fetchall())
        if not heads:
            return False
        rows, size = self._choose(db, call, line, heads, len(taken))
        if size:
            taken += self._take(db, call, rows, size, heads)
        return size < rows.size

    def _choose(
        self, db: sqlite3.Connection, call: _Call, line: int, heads: list[tuple[int, int]], has: int
    ) -> tuple[_Rows, int]:
        """Return the first jobs of a line, and how many of these may be taken.

        Where the last claim met one that runs alone, no more are read than fit into free slots, and one that tells whether the
        next is such a one, too: behind it may be a thousand for which there was room.
        """
        free, room = max(call.free - has, 0), call.room - has
        if line in self._alone and free < room:
            _, rows = _fitting_rows(db, call.now, line, heads, free)
            size = _allowed(rows, room, free)
            if rows.size <= free or size < rows.size:
                return rows, size
        room, rows = _fitting_rows(db, call.now, line, heads, room)
        size = _allowed(rows, room, free)
        if size < min(rows.size, room):
            self._alone.add(line)
        else:
            self._alone.discard(line)
        return rows, size

    def _take(
        self, db: sqlite3.Connection, call: _Call, rows: _Rows, size: int, heads: list[tuple[int, int]]
    ) -> list[Claimed]:
        seqs = list(map(int, rows.seqs.split(",")[:size]))
        no = self._mark(db, call, seqs, rows.oddest)
        kinds = rows.kinds.split(",")[:size]
        odd = list(map(int, rows.odds.split(",")[:size])) if rows.oddest else []
        names = {kind: self._names.called(db, int(kind)) for kind in set(kinds)}
        self._count(call, kinds, names)
        # One priority is by far the most common; with several, every job is read with its details.
        if len(heads) == 1 and not any(odd):
            jobs = self._plain_jobs(db, call, rows, seqs, kinds, names, heads[0][1])
        else:
            jobs, first_runs = _detailed_jobs(db, seqs, call.counts)
            self._plain.add(call.token, Taken(no, names[kinds[0]][2], first_runs, ruled=True))
        known: Iterable[tuple[str, int]] = zip(map(_ID, jobs), seqs, strict=True)
        if rows.oddest > ODD_STILL:  # only of the others may a success leave the details alone
            known = compress(known, map(ODD_STILL.__ge__, odd))
        self._plain.add(call.token, Taken(no, names[kinds[0]][2], dict(known)))
        return jobs

    def _plain_jobs(
        self,
        db: sqlite3.Connection,
        call: _Call,
        rows: _Rows,
        seqs: list[int],
        kinds: list[str],
        names: dict[str, tuple[str, str, int]],
        priority: int,
    ) -> list[Claimed]:
        ids, by, payloads = _texts(db, rows, seqs)
        created = map(int, rows.created.split(",")[: len(seqs)])  # and this ends the columns that have no end
        tasks: Iterable[str] = repeat(names[kinds[0]][0])
        if len(names) > 1:
            tasks = (names[kind][0] for kind in kinds)
        queues = repeat(names[kinds[0]][1])  # a line belongs to one queue
        none, zero, no, token = repeat(None), repeat(0), repeat(False), repeat(call.token)
        fence = repeat(call.now)
        columns = zip(
            ids, token, tasks, queues, payloads, none, no, no, zero, zero, zero, zero, zero, fence, repeat(priority),
            created, none, none, none, by, none, none, none, none, strict=False,
        )  # fmt: skip
        return list(map(_CLAIMED, columns))

    def _mark(self, db: sqlite3.Connection, call: _Call, seqs: list[int], oddest: int) -> int:
        """Make the jobs running; return the number of their claim."""
        if oddest < ODD_LIVE:  # never claimed before
            return self._mark_as(db, call, seqs, call.now)
        members = json.dumps(seqs)
        later = dict(db.execute(sql("claim", "later"), {"seqs": members, "now": call.now}).fetchall())
        db.execute(sql("claim", "leave"), {"seqs": members})
        for seq, fence in later.items():
            self._mark_as(db, call, [seq], fence + 1)
        rest = [seq for seq in seqs if seq not in later]
        no = self._mark_as(db, call, rest, call.now) if rest else 0
        db.execute(sql("claim", "forget"))
        return no

    def _mark_as(self, db: sqlite3.Connection, call: _Call, seqs: list[int], fence: int) -> int:
        first, last = min(seqs), max(seqs)
        whole = last - first + 1 == len(seqs)
        values: dict[str, Any] = {
            "ns": self._ns,
            "worker": call.worker,
            "token": call.token,
            "claim_no": call.claim_no,
            "fence": max(fence, 1),
            "jobs": len(seqs),
            "first": first,
            "last": last,
            "members": None if whole else json.dumps(seqs),
        }
        values["no"] = db.execute(_ADD, values).lastrowid
        db.execute(_TAKE_RUN if whole else _TAKE, values)
        return int(values["no"])

    def _count(self, call: _Call, kinds: list[str], names: dict[str, tuple[str, str, int]]) -> None:
        for kind, (_, _, queue) in names.items():
            call.counts.move(queue, QUEUED, RUNNING, kinds.count(kind))


def _fitting_rows(
    db: sqlite3.Connection, now: int, line: int, heads: list[tuple[int, int]], room: int
) -> tuple[int, _Rows]:
    """Return what is to be claimed and one more; fewer where so many large jobs make a text longer than SQLite has any."""
    while True:
        try:
            return room, _first_rows(db, now, line, heads, room + 1)
        except sqlite3.DataError as error:
            if code_of(error) != sqlite3.SQLITE_TOOBIG or room < 2:
                raise
        room = max(room // 4, 1)


def _first_rows(db: sqlite3.Connection, now: int, line: int, heads: list[tuple[int, int]], limit: int) -> _Rows:
    if len(heads) == 1:
        values = {"line": line, "priority": heads[0][1], "now": now, "limit": limit}
        return _Rows._make(db.execute(_FIRST, values).fetchone())
    seqs = _merged(db, now, line, heads, limit)
    return _Rows._make(db.execute(_THESE, {"seqs": json.dumps(seqs)}).fetchone())


def _merged(db: sqlite3.Connection, now: int, line: int, heads: list[tuple[int, int]], limit: int) -> list[int]:
    """Return the first jobs over all priorities of a line. A priority whose first rank is beyond the last place is not read."""
    best: list[tuple[int, int]] = []
    for head, priority in heads:
        if len(best) == limit and best[-1][0] < head:
            break
        values = {"line": line, "priority": priority, "now": now, "limit": limit}
        best = sorted(best + db.execute(sql("claim", "ranks"), values).fetchall())[:limit]
    return [seq for _, seq in best]


def _allowed(rows: _Rows, room: int, free: int) -> int:
    """Return how many may be taken: what there is room for, but none ahead of a free slot from the first that runs alone."""
    size = min(rows.size, room)
    if not size or rows.oddest < ODD_SOLO or size <= free:
        return size
    odd = rows.odds.split(",")
    return next((place for place in range(free, size) if int(odd[place]) == ODD_SOLO), size)


def leave_claims(db: sqlite3.Connection, seqs: str) -> None:
    """Take jobs (their numbers as JSON) out of the claims they were in, before they are deleted."""
    db.execute(sql("claim", "leave"), {"seqs": seqs})
    db.execute(sql("claim", "forget"))


def _texts(db: sqlite3.Connection, rows: _Rows, seqs: list[int]) -> tuple[list[str], list[str | None], list[str]]:
    ids, by, payloads = (text.split(_SEPARATOR) for text in (rows.ids, rows.by, rows.payloads))
    if len(ids) == len(by) == len(payloads) == rows.size:
        return ids, [text or None for text in by], payloads
    found = db.execute(sql("claim", "texts"), {"seqs": json.dumps(seqs)}).fetchall()
    return [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]


def _detailed_jobs(db: sqlite3.Connection, seqs: list[int], counts: Counts) -> tuple[list[Claimed], dict[str, int]]:
    """Return jobs with their details; and by id those with rules whose success at this run changes none of these."""
    found = db.execute(sql("claim", "details"), {"seqs": json.dumps(seqs)}).fetchall()
    jobs, first_runs = [], {}
    for seq, *row, follows, first_run in found:
        if follows:
            counts.touch(seq)
        job = Claimed._make(row)
        if first_run:
            first_runs[job.id] = seq
        jobs.append(job._replace(crash_fails=bool(job.crash_fails), suspect=bool(job.suspect)))
    return jobs, first_runs
