"""Closing a namespace, and taking jobs with all that belongs to them from one store to another."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from ..._record import FINAL, AttemptRecord, JobRecord, Parcel
from ..._store import BATCH
from . import closed, records
from .claim import leave_claims
from .connection import Connection
from .counts import Counts, all_counted
from .produce import ODD_LIVE, ODD_SOLO, ODD_STILL
from .queries import sql
from .rules import Changes, Flows, forget_flows, mark
from .states import NO_TIME, NUMBER, RUNNING

#: The claim of jobs that were never claimed.
_NEVER = 1 << 24
#: Details of which a success needs to know nothing.
_STILL = frozenset({"scheduled_at", "due_at", "options", "tags", "meta", "parent"})
#: Details by their columns, and what each is without a row.
_DETAILS: dict[str, Any] = {
    "scheduled_at": None,
    "due_at": None,
    "expires_at": None,
    "result_until": None,
    "crash_fails": False,
    "suspect": False,
    "failures": 0,
    "crashes": 0,
    "losses": 0,
    "snoozes": 0,
    "generation": 0,
    "cancel_at": None,
    "cancel_by": None,
    "parent": None,
    "options": None,
    "tags": None,
    "meta": None,
    "error": None,
    "reason": None,
    "progress": None,
}
_details_of = attrgetter(*_DETAILS)
_NO_DETAILS = tuple(_DETAILS.values())


class _Stored(NamedTuple):
    """What has to be known of a job that is replaced."""

    seq: int
    state: int
    queue: int
    claim: int


class Moving(Connection):
    """The verbs of a move."""

    # -- the switch ---------------------------------------------------------------------------------------------
    def freeze(self, to: str) -> None:
        """Close this namespace: its jobs are going elsewhere."""
        values = {"key": closed.key(self._ns), "to": to}
        self._write(lambda db, now: db.execute(sql("moving", "close"), values))

    def thaw(self) -> None:
        """Open it again."""
        self._write(lambda db, now: db.execute(sql("moving", "open"), {"key": closed.key(self._ns)}))
        self.freed = True

    def frozen(self) -> str | None:
        """Return where the jobs are going, None if this namespace is open."""
        return self._read(closed.target, self._ns)

    # -- out ----------------------------------------------------------------------------------------------------
    def export(self, after: int, limit: int = BATCH) -> list[Parcel]:
        """Return jobs with all that belongs to them, oldest first."""
        return self._read(self._export, after, limit)

    def _export(self, db: sqlite3.Connection, after: int, limit: int) -> list[Parcel]:
        values = {"ns": self._ns, "after": after, "limit": limit}
        seqs = json.dumps([row[0] for row in db.execute(sql("moving", "next"), values).fetchall()])
        more = {row[0]: row[1:] for row in _rows(db, "more", seqs)}
        attempts, logs = defaultdict(list), defaultdict(list)
        for seq, *row in _rows(db, "attempts", seqs):
            attempts[seq].append(AttemptRecord(*row))
        for seq, *log in _rows(db, "logs", seqs):
            logs[seq].append((log[0], log[1], log[2]))
        return [
            Parcel(job, *_held(more.get(job.seq)), tuple(attempts.get(job.seq, ())), tuple(logs.get(job.seq, ())))
            for job in records.by_seq(db, seqs)
        ]

    # -- in -----------------------------------------------------------------------------------------------------
    def import_jobs(self, parcels: Sequence[Parcel]) -> int:
        """Store jobs as they were elsewhere."""
        return self._write(self._import, list({parcel.job.id: parcel for parcel in parcels}.values())) if parcels else 0

    def _import(self, db: sqlite3.Connection, now: int, parcels: Sequence[Parcel]) -> int:
        counts = Counts()
        counts.catch_up(db)
        last = db.execute(sql("moving", "last")).fetchone()[0]
        stored, emptied = self._clear(db, parcels, counts)
        seqs = []
        for parcel in parcels:
            known = stored.get(parcel.job.id)
            last += known is None
            seqs.append(known.seq if known else last)
        self._place(db, parcels, seqs, counts)
        self._write_counts(db, counts)
        forget_flows(db, emptied)
        self.freed = True
        all_counted(db)
        return len(parcels) - len(stored)

    def _clear(
        self, db: sqlite3.Connection, parcels: Sequence[Parcel], counts: Counts
    ) -> tuple[dict[str, _Stored], Flows]:
        """Take away what is replaced; return it by id, and the flows that have lost members."""
        ids = json.dumps([parcel.job.id for parcel in parcels])
        rows = db.execute(sql("moving", "stored"), {"ns": self._ns, "ids": ids}).fetchall()
        stored = {row[0]: _Stored(*row[1:]) for row in rows}
        self._plain.clear()
        emptied: Flows = set()
        for job in stored.values():
            counts.move(job.queue, job.state, None)
            if job.state == RUNNING:
                counts.end(job.claim)
        seqs = json.dumps([job.seq for job in stored.values()])
        if stored:
            leave_claims(db, seqs)
            emptied = Changes(db).forget([job.seq for job in stored.values()])
            for table in ("logs", "attempts", "details", "results", "jobs"):
                db.execute(sql("delete", table), {"seqs": seqs})
        return stored, emptied

    def _place(self, db: sqlite3.Connection, parcels: Sequence[Parcel], seqs: Sequence[int], counts: Counts) -> None:
        claims = self._claims(db, parcels, seqs)
        jobs, results, details, attempts, logs, rules = [], [], [], [], [], list[Any]()
        for parcel, seq, claim in zip(parcels, seqs, claims, strict=True):
            job = parcel.job
            kind, queue = self._names.kind(db, self._ns, job.queue, job.task)
            line = queue if job.line == job.queue else self._names.line(db, self._ns, job.line, queue)
            row = _row(job, kind, line)
            counts.move(queue, None, NUMBER[job.state])
            jobs.append((self._ns, seq, *row, claim, *_times(job), _result(job), job.by, job.payload))
            if job.result is not None and job.result != "null":
                results.append((seq, job.result))
            if row[4]:
                details.append((self._ns, seq, *_details(parcel)))
            if _has_rules(job):
                rules.append(_rules_row(self._ns, seq, queue, job))
            counts.touch(seq)
            attempts += [(seq, *attempt[1:]) for attempt in parcel.attempts]
            logs += [(seq, *log) for log in parcel.logs]
        for name, rows in (
            ("job", jobs), ("result", results), ("details", details), ("attempt", attempts), ("log", logs),
        ):  # fmt: skip
            db.executemany(sql("moving", name), rows)
        held = [(self._ns, parcel.job.unique_key) for parcel in parcels if parcel.job.unique_held]
        db.executemany(sql("rules", "let_go_of"), held)
        db.executemany(sql("rules", "put"), rules)
        place = max((parcel.job.place or 0 for parcel in parcels), default=0)
        db.execute(sql("moving", "last_place"), (place, self._ns))
        self._mark_parents(db, [parcel.job.id for parcel in parcels])

    def _mark_parents(self, db: sqlite3.Connection, ids: Sequence[str]) -> None:
        """Note that others wait for some of these jobs, which may have come before them."""
        values = {"ns": self._ns, "ids": json.dumps(ids)}
        named = {row[0] for row in db.execute(sql("rules", "named"), values).fetchall()}
        mark(db, self._ns, named)
        for id in named:
            db.execute(sql("rules", "free_children"), (self._ns, id))

    def _claims(self, db: sqlite3.Connection, parcels: Sequence[Parcel], seqs: Sequence[int]) -> list[int]:
        """Write down the claims of the jobs; return the number of each one's."""
        members = defaultdict(list)
        for parcel, seq in zip(parcels, seqs, strict=True):
            members[_claim_of(parcel)].append((seq, parcel.job.state == "running"))
        numbers: dict[tuple[Any, ...] | None, int] = {None: _NEVER}
        for claim, jobs in members.items():
            if claim is not None:
                running = [seq for seq, runs in jobs if runs]
                numbers[claim] = self._add_claim(db, claim, len(jobs), running)
        return [numbers[_claim_of(parcel)] for parcel in parcels]

    def _add_claim(self, db: sqlite3.Connection, claim: tuple[Any, ...], jobs: int, running: list[int]) -> int:
        ends = (min(running), max(running), json.dumps(running)) if running else (0, 0, None)
        number = db.execute(sql("moving", "claim"), (self._ns, *claim, jobs, len(running), *ends)).lastrowid
        assert number is not None
        return number


def _rows(db: sqlite3.Connection, name: str, seqs: str) -> list[Any]:
    return db.execute(sql("moving", name), {"seqs": seqs}).fetchall()


def _held(row: Sequence[Any] | None) -> tuple[str | None, int | None]:
    """Return (cancel_reason, claim_no) of a job, which only a running one has."""
    return (None, None) if row is None else (row[1], row[0])


def _claim_of(parcel: Parcel) -> tuple[Any, ...] | None:
    """Return what a job shares with others of its claim; None: it was never claimed."""
    job = parcel.job
    if _fresh(job):
        return None
    return job.worker, job.token, parcel.claim_no, job.fence


def _row(job: JobRecord, kind: int, line: int) -> tuple[Any, ...]:
    return job.id, kind, line, NUMBER[job.state], _odd(job), job.priority, job.rank, job.created_at


def _odd(job: JobRecord) -> int:
    """Return what a claim and a settle have to know of the details; see the schema."""
    if _has_rules(job):
        return ODD_SOLO if job.holds or job.crash_fails else ODD_LIVE
    if _details_of(job) == _NO_DETAILS:
        return 0 if _fresh(job) or job.state == "succeeded" else ODD_LIVE
    if job.crash_fails or (job.suspect and job.state not in FINAL):
        return ODD_SOLO
    said = {name for name, nothing in _DETAILS.items() if getattr(job, name) != nothing}
    return ODD_STILL if said <= _STILL and _fresh(job) else ODD_LIVE


def _has_rules(job: JobRecord) -> bool:
    """Tell whether it has rules, a flow or a key."""
    return job.has_rules or job.after_failed or job.flow is not None or job.unique_key is not None


def _rules_row(ns: int, seq: int, queue: int, job: JobRecord) -> tuple[Any, ...]:
    return (
        *(ns, seq, queue, job.holds, job.after, job.after_flow, job.after_failed, job.flow, job.unique_key),
        *(job.unique_until, job.unique_held, job.unique_end, job.place, job.parked, job.given_up),
    )


def _fresh(job: JobRecord) -> bool:
    """Tell whether it was never claimed."""
    return job.token is None and job.worker is None and not job.fence


def _times(job: JobRecord) -> Iterable[int]:
    return (NO_TIME if time is None else time for time in (job.started_at, job.finished_at))


def _result(job: JobRecord) -> int | None:
    return None if job.result is None else int(job.result != "null")


def _details(parcel: Parcel) -> Iterable[Any]:
    job = parcel.job
    waits_until = None if job.state in FINAL else job.expires_at
    drop_at = None if job.result is None else job.result_until
    yield from (job.scheduled_at, job.due_at, job.expires_at, waits_until, job.result_until, drop_at)
    yield from (job.crash_fails, job.suspect, job.failures, job.crashes, job.losses, job.snoozes, job.generation)
    yield from (job.cancel_at, job.cancel_by, parcel.cancel_reason, job.parent, job.options, job.tags, job.meta)
    yield from (job.error, job.reason, job.progress)
