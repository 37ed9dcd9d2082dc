"""What keeps the store in order: due and expired jobs, workers and their beats, orphans, pruning."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from ..._record import FINAL, BeatReply, Orphan, Report, State, WorkerRecord
from ..._store import BATCH
from ...errors import NameTaken
from . import closed
from .claim import leave_claims
from .connection import Connection
from .counts import Counts, all_counted
from .queries import sql
from .rules import Changes, forget_flows
from .settle import write_log
from .states import BLOCKED, CANCELLED, NUMBER, QUEUED, RUNNING, micros

_HOUR = 3600.0
_DAY = 24 * 3600 * 1_000_000
#: One call of prune looks at so many ended jobs of a kind at most.
_WINDOW = 2000


class Upkeep(Connection):
    """The verbs of workers that do not touch outcomes."""

    _logs_dropped_to = 0  #: number of the job up to which the last call of ``drop_logs`` has looked
    _pruned_to: Mapping[tuple[int, int], int] = MappingProxyType({})  #: the same of ``prune``, for each kind and state

    # -- workers ------------------------------------------------------------------------------------------------
    def register(self, worker: WorkerRecord) -> None:
        """Make the worker known and live. Raise ``NameTaken`` if another live worker has the name."""
        self._write(self._register, worker)

    def _register(self, db: sqlite3.Connection, now: int, worker: WorkerRecord) -> None:
        values = {name: getattr(worker, name) for name in WorkerRecord._fields}
        values.update(ns=self._ns, now=now)
        rival = db.execute(sql("workers", "rival"), values).fetchone()
        if rival is not None:
            raise NameTaken(
                f"Another live worker is named '{worker.name}' (process {rival[0]} on {rival[1]}). "
                "Stop it, or start this one with another --name."
            )
        db.execute(sql("workers", "register"), values)
        self.freed = True

    def publish(self, worker: str, catalogue: str, info: str) -> None:
        """Replace the catalogue and the info of a live worker."""
        self._change_worker("publish", id=worker, catalogue=catalogue, info=info)

    def stopping(self, worker: str) -> None:
        """Say that this worker takes no more work."""
        self._change_worker("stopping", id=worker)

    def leave(self, worker: str) -> None:
        """Forget a worker that has ended cleanly. Jobs still running for it become orphans."""
        self._change_worker("leave", id=worker)

    def condemn(self, worker: str, beats: int, proved: bool = False) -> bool:
        """Declare a worker dead iff its beat count is still ``beats``."""
        return self._change_worker("condemn", id=worker, beats=beats, proved=proved) > 0

    def _change_worker(self, how: str, **values: object) -> int:
        def step(db: sqlite3.Connection, now: int) -> int:
            changed = db.execute(sql("workers", how), {**values, "ns": self._ns}).rowcount
            self.freed = self.freed or (changed > 0 and how != "publish")
            return changed

        return self._write(step)

    # -- beats --------------------------------------------------------------------------------------------------
    def beat(self, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
        """Count one beat of a live worker and bring back orders."""
        return self._write(self._beat, worker, claim_no, held)

    def _beat(
        self, db: sqlite3.Connection, now: int, worker: str, claim_no: int, held: Sequence[tuple[str, str]]
    ) -> BeatReply:
        values = {"worker": worker, "ns": self._ns, "now": now}
        if not db.execute(sql("beat", "count"), values).rowcount:
            return BeatReply(False, now, [], [], [], [])
        counts, holding, ghosts = Counts(), set(held), []
        mine: dict[tuple[str, str], str | None] = {}
        rows = db.execute(sql("beat", "mine"), values).fetchall()
        for seq, id, token, number, cancel_at, reason, queue, claim in rows:
            if (id, token) not in holding and number <= claim_no:
                ghosts.append(id)
                _release(db, now, seq, queue, cancel_at is not None, counts)
                counts.end(claim)
                counts.touch(seq)
            else:
                mine[id, token] = None if cancel_at is None else reason or ""
        self._write_counts(db, counts)
        cancelled = [(*pair, reason) for pair in held if (reason := mine.get(pair)) is not None]
        lost = [pair for pair in held if pair not in mine]
        lines = [row[0] for row in db.execute(sql("beat", "lines"), values).fetchall()]
        return BeatReply(True, now, cancelled, ghosts, lost, lines)

    def report(self, worker: str, reports: Sequence[Report]) -> None:
        """Record news of running attempts; a report whose fence does not hold is ignored."""
        if reports:
            self._write(self._report, reports)

    def _report(self, db: sqlite3.Connection, now: int, reports: Sequence[Report]) -> None:
        for news in reports:
            values = {"ns": self._ns, "id": news.job, "token": news.token}
            row = db.execute(sql("upkeep", "running"), values).fetchone()
            if row is not None:
                self._record(db, now, row[0], row[1], news)

    def _record(self, db: sqlite3.Connection, now: int, seq: int, meta: str | None, news: Report) -> None:
        if news.started is not None:
            db.execute(sql("upkeep", "started"), {"seq": seq, "started_at": now - micros(news.started)})
        if news.progress is not None or news.meta is not None:
            merged = None if news.meta is None else _merged(meta, news.meta)
            values = {"seq": seq, "ns": self._ns, "progress": news.progress, "meta": merged}
            db.execute(sql("upkeep", "news"), values)
            db.execute(sql("upkeep", "has_news"), values)
        write_log(db, seq, news.token, news.log, news.log_dropped)

    # -- time ---------------------------------------------------------------------------------------------------
    def promote(self, limit: int = BATCH) -> tuple[int, float | None]:
        """Make due jobs queued, and end pauses that are over; return how many jobs, and the seconds until the next is due, or
        the next pause over."""
        due = self._read(self._next_due)  # also None while the namespace is closed
        if due is None or due > self.now():
            return 0, None if due is None else (due - self.now()) / 1_000_000
        return self._write(self._promote, limit)

    def _next_due(self, db: sqlite3.Connection) -> int | None:
        if closed.target(db, self._ns) is not None:
            return None
        row: tuple[int | None] = db.execute(sql("upkeep", "next_due"), {"ns": self._ns}).fetchone()
        return row[0]

    def _promote(self, db: sqlite3.Connection, now: int, limit: int) -> tuple[int, float | None]:
        if closed.target(db, self._ns) is not None:
            return 0, None
        if db.execute(sql("steering", "end_pauses"), {"ns": self._ns, "now": now}).rowcount:
            self.freed = True
        rows = db.execute(sql("upkeep", "due"), {"ns": self._ns, "now": now, "limit": limit}).fetchall()
        counts = Counts()
        for seq, state, queue, waits, ruled in rows:
            counts.move(queue, state, BLOCKED if waits else QUEUED)
            if ruled:
                counts.touch(seq)
        for waits, next_state in ((True, BLOCKED), (False, QUEUED)):
            seqs = _as_json(row[0] for row in rows if row[3] == waits)
            db.execute(sql("upkeep", "promote"), {"seqs": seqs, "state": next_state})
        db.execute(sql("upkeep", "promoted"), {"seqs": _as_json(row[0] for row in rows)})
        self._write_counts(db, counts)
        due = self._next_due(db)
        return len(rows), None if due is None else max(0.0, (due - now) / 1_000_000)

    def expire(self, limit: int = BATCH) -> list[str]:
        """Cancel waiting jobs whose ``expires_at`` has passed; return their ids."""
        values = {"ns": self._ns, "now": self.now(), "limit": 1}
        found = self._read(lambda db: db.execute(sql("upkeep", "expired"), values).fetchone())
        return self._write(self._expire, limit) if found else []

    def _expire(self, db: sqlite3.Connection, now: int, limit: int) -> list[str]:
        if closed.target(db, self._ns) is not None:
            return []
        rows = db.execute(sql("upkeep", "expired"), {"ns": self._ns, "now": now, "limit": limit}).fetchall()
        seqs = _as_json(row[0] for row in rows)
        counts = Counts()
        for seq, _, state, queue in rows:
            counts.move(queue, state, CANCELLED)
            counts.touch(seq)
        db.execute(sql("upkeep", "expire"), {"seqs": seqs, "now": now})
        db.execute(sql("upkeep", "expire_details"), {"seqs": seqs})
        self._write_counts(db, counts)
        return [row[1] for row in rows]

    # -- rescue -------------------------------------------------------------------------------------------------
    def orphans(self, limit: int = BATCH) -> list[Orphan]:
        """Return running jobs whose worker is dead or has no row."""
        values = {"ns": self._ns, "limit": limit}
        rows = self._read(lambda db: db.execute(sql("upkeep", "orphans"), values).fetchall())
        orphans = map(Orphan._make, rows)
        return [
            each._replace(
                started=bool(each.started),
                crash_fails=bool(each.crash_fails),
                reserves=bool(each.reserves),
                proved=bool(each.proved),
            )
            for each in orphans
        ]

    def resolve(self, lines: Sequence[str]) -> int:
        """Make the blocked jobs of these side lines queued there; return how many."""
        return self._write(self._resolve, lines)

    def _resolve(self, db: sqlite3.Connection, now: int, lines: Sequence[str]) -> int:
        counts, done = Counts(), 0
        for name in dict.fromkeys(lines):
            line = self._names.known_line(db, self._ns, name)
            rows = db.execute(sql("upkeep", "blocked"), {"line": line}).fetchall()
            for seq, queue, waits in rows:
                counts.touch(seq)
                if waits:
                    db.execute(sql("rules", "park"), (False, seq))
                else:
                    counts.move(queue, BLOCKED, QUEUED)
            db.execute(sql("upkeep", "resolve"), {"seqs": _as_json(row[0] for row in rows if not row[2])})
            db.execute(sql("upkeep", "resolved"), {"seqs": _as_json(row[0] for row in rows)})
            done += len(rows)
        self._write_counts(db, counts)
        return done

    # -- pruning ------------------------------------------------------------------------------------------------
    def prune(self, keep: Mapping[State, float], limit: int = BATCH) -> int:
        """Delete what ended long ago; return how many jobs."""
        return self._write(self._prune, keep, limit)

    def _prune(self, db: sqlite3.Connection, now: int, keep: Mapping[State, float], limit: int) -> int:
        if closed.target(db, self._ns) is not None:
            return 0
        counts, done = Counts(), 0
        kinds = db.execute(sql("upkeep", "kinds"), {"ns": self._ns}).fetchall()
        for state, age in keep.items():
            if state not in FINAL:
                continue
            before = now - micros(max(age, _HOUR))
            for kind, queue in kinds:
                found = self._ended_long_ago(db, now, kind, NUMBER[state], before, limit - done)
                delete_jobs(db, found, counts)
                counts.move(queue, NUMBER[state], None, len(found))
                done += len(found)
        self._write_counts(db, counts)
        self._drop_results(db, now, limit)
        db.execute(sql("workers", "forget"), {"ns": self._ns, "before": now - _DAY})
        db.execute(sql("limits", "forget_past"), {"ns": self._ns, "now": now})
        return done

    def _ended_long_ago(
        self, db: sqlite3.Connection, now: int, kind: int, state: int, before: int, limit: int
    ) -> list[int]:
        """Return numbers of jobs that may go. Where many are kept longer than the others, no call looks at all of them."""
        start = self._pruned_to.get((kind, state), 0)
        values = {"state": state, "kind": kind, "before": before, "now": now, "from": start, "window": _WINDOW}
        values["last"] = _last_before(db, values)
        rows = db.execute(sql("upkeep", "ended"), values).fetchall()
        found = [seq for seq, old in rows if old]
        if len(found) <= limit:  # else there is more to be had from the same stretch
            self._pruned_to = {**self._pruned_to, (kind, state): rows[-1][0] if len(rows) == _WINDOW else 0}
        return found[:limit]

    def drop_logs(self, age: float, limit: int = BATCH) -> int:
        """Drop the logs of what ended long ago; return of how many jobs."""
        return self._write(self._drop_logs, age, limit)

    def _drop_logs(self, db: sqlite3.Connection, now: int, age: float, limit: int) -> int:
        if closed.target(db, self._ns) is not None:
            return 0
        before = now - micros(age)
        values = {"from": self._logs_dropped_to, "ns": self._ns, "before": before, "limit": limit}
        rows = db.execute(sql("upkeep", "logged"), values).fetchall()
        # Times grow with the numbers: behind one that was stored later, nothing has ended before.
        young = next((place for place, row in enumerate(rows) if row[2] >= before), len(rows))
        seqs = [seq for seq, old, _ in rows[:young] if old]
        db.execute(sql("delete", "logs"), {"seqs": _as_json(seqs)})
        self._logs_dropped_to = rows[-1][0] if young == limit else 0
        return len(seqs)

    def _drop_results(self, db: sqlite3.Connection, now: int, limit: int) -> None:
        rows = db.execute(sql("upkeep", "over"), {"ns": self._ns, "now": now, "limit": limit}).fetchall()
        seqs = _as_json(row[0] for row in rows)
        if rows:
            db.execute(sql("upkeep", "drop_results"), {"seqs": seqs})
            db.execute(sql("upkeep", "dropped_results"), {"seqs": seqs})
            db.execute(sql("delete", "results"), {"seqs": seqs})


def delete_jobs(db: sqlite3.Connection, seqs: list[int], counts: Counts) -> None:
    """Delete jobs with all that belongs to them. Whoever calls counts these; here the others are caught up with."""
    if seqs:
        counts.catch_up(db)
        changes = Changes(db)
        forget_flows(db, changes.forget(seqs))
        counts.stirred = counts.stirred or changes.stirred
        leave_claims(db, json.dumps(seqs))
        for table in ("logs", "attempts", "details", "results", "jobs"):
            db.execute(sql("delete", table), {"seqs": json.dumps(seqs)})
        all_counted(db)


def _release(db: sqlite3.Connection, now: int, seq: int, queue: int, cancelled: bool, counts: Counts) -> None:
    """Put back a job that its worker never received; or cancel it, if that was asked for."""
    state = CANCELLED if cancelled else QUEUED
    values = {"seq": seq, "state": state, "finished_at": now if cancelled else None}
    db.execute(sql("beat", "ghost"), values)
    if cancelled:
        db.execute(sql("beat", "ghost_cancelled"), values)
    counts.move(queue, RUNNING, state)


def _last_before(db: sqlite3.Connection, values: dict[str, int]) -> int:
    """Return the largest number, of one kind and state, of a job stored before a time, by halving: there is no index on the
    time, and times grow with the numbers."""
    low, high = db.execute(sql("upkeep", "range"), values).fetchone()
    if low is None:
        return 0
    high += 1
    while low < high:
        middle = (low + high) // 2
        row = db.execute(sql("upkeep", "stored_at"), {**values, "seq": middle}).fetchone()
        if row is not None and row[0] < values["before"]:
            low = middle + 1
        else:
            high = middle
    return int(low)


def _merged(old: str | None, new: str) -> str:
    """Return one JSON object with the keys of both; the new values win."""
    return json.dumps({**json.loads(old or "{}"), **json.loads(new)})


def _as_json(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))
