"""Storing new jobs."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import Any, NamedTuple

from ... import _rules
from ..._record import Enqueued, NewJob
from ...errors import IdConflict, StoreError
from . import batches, closed
from .connection import Connection
from .counts import STRETCH, Counts, all_counted
from .failures import BUSY, code_of, is_the_stores, translated
from .planning import Plan, Replaced
from .queries import sql
from .ranks import ranked
from .states import BLOCKED, CANCELLED, NAMES, QUEUED, SCHEDULED, micros

#: Values of ``odd``: what a claim has to know before it looks at the details.
ODD_STILL, ODD_LIVE, ODD_SOLO = 1, 2, 3
#: Values a job in ``enqueue.jobs``.
_WIDTH = 9
#: Values a job in ``enqueue.rules``.
_RULES_WIDTH = 11

_JOB, _ALONE, _RANKED = sql("enqueue", "job"), sql("enqueue", "alone"), sql("enqueue", "alone_ranked")
#: Where among the values of the last two the priority stands.
_PRIORITY = 7


#: What NewJob says of rules, flow and key, in one piece: and what a plain job says.
_RULES = slice(NewJob._fields.index("holds"), NewJob._fields.index("unique") + 1)
_NO_RULES: tuple[object, ...] = ((), (), None, False, None, None)

#: ``Enqueued._make`` without its check of the length.
_ENQUEUED: Callable[[Iterable[Any]], Enqueued] = partial(tuple.__new__, Enqueued)


class _Columns(NamedTuple):
    """New jobs, column by column, in the order of ``NewJob``."""

    id: tuple[str, ...]
    task: tuple[str, ...]
    queue: tuple[str, ...]
    payload: tuple[str, ...]
    priority: tuple[int, ...]
    delay: tuple[float, ...]
    at: tuple[int | None, ...]
    expires: tuple[float | None, ...]
    expires_at: tuple[int | None, ...]
    options: tuple[str | None, ...]
    crash_fails: tuple[bool, ...]
    tags: tuple[str | None, ...]
    meta: tuple[str | None, ...]
    by: tuple[str | None, ...]
    parent: tuple[str | None, ...]
    holds: tuple[tuple[tuple[str, str], ...], ...]
    after: tuple[tuple[str, ...], ...]
    after_flow: tuple[str | None, ...]
    after_failed: tuple[bool, ...]
    flow: tuple[str | None, ...]
    unique: tuple[str | None, ...]
    unique_until: tuple[object, ...]
    on_conflict: tuple[str, ...]


def _have_rules(jobs: _Columns) -> bool:
    """Tell whether one of them has rules, a flow or a key."""
    absent = (jobs.after_flow, jobs.flow, jobs.unique)
    return (
        any(jobs.holds)
        or any(jobs.after)
        or any(jobs.after_failed)
        or any(each.count(None) != len(each) for each in absent)
    )


def has_rules(job: NewJob) -> bool:
    """Tell whether a job has rules, a flow or a key."""
    return job[_RULES] != _NO_RULES


def _are_plain(jobs: _Columns) -> bool:
    """Tell whether all of them are queued at once, and say nothing that stands in the details."""
    absent = (jobs.at, jobs.expires, jobs.expires_at, jobs.options, jobs.tags, jobs.meta, jobs.parent)
    return not any(jobs.delay) and not any(jobs.crash_fails) and all(each.count(None) == len(each) for each in absent)


class Producing(Connection):
    """The producer's verb."""

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs, all or none, in the order given."""
        if not jobs:
            return []
        try:
            alone = self._insert_alone(jobs[0]) if len(jobs) == 1 else None
            return self._write(self._insert, jobs) if alone is None else [alone]
        except sqlite3.IntegrityError:
            # An id is known already. Rare, so only then is it asked which.
            return self._write(self._insert_new, jobs)

    def _insert_alone(self, job: NewJob) -> Enqueued | None:
        """Store one plain job by a single statement, which is a transaction by itself. None: it takes a longer way."""
        with self.gate:
            db = self._live()
            if db.in_transaction or has_rules(job) or not self._names.knows(self._ns, job.queue, job.task):
                return None
            now = self.now()
            row, detail, answer = self._row(db, now, job, ranks=not job.priority)
            seq = None if detail is not None else self._execute_alone(db, (self._ns, now, *row, closed.key(self._ns)))
            if seq is None:
                return None
            if not seq % STRETCH:
                with suppress(StoreError):  # the job is stored, and must not be called lost: the next stretch counts it
                    self._write(_count_stretch)
            self._checkpoints.after_commit()
            return answer

    def _execute_alone(self, db: sqlite3.Connection, values: tuple[Any, ...]) -> int | None:
        """Return the number of the job; None if others have the lock, or the namespace is closed."""
        try:
            cursor = db.execute(_RANKED if values[_PRIORITY] else _ALONE, values)
        except sqlite3.Error as error:
            if code_of(error) in BUSY:
                return None
            if is_the_stores(error):
                raise translated(error, self._path) from error
            raise
        return cursor.lastrowid if cursor.rowcount else None

    def _insert_new(self, db: sqlite3.Connection, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
        known = self._known(db, [job.id for job in jobs])
        first: dict[str, NewJob] = {}
        for job in jobs:
            content = known[job.id][1] if job.id in known else _content(first.setdefault(job.id, job))
            if content != _content(job):
                raise _conflict(job.id)
        if any(map(has_rules, jobs)):
            return self._insert_by_plan(db, now, jobs, {id: answer for id, (answer, _) in known.items()})
        new = self._insert(db, now, list(first.values())) if first else []
        answers = {answer.id: answer for answer in new}
        found = []
        for job in jobs:
            existing = known[job.id][0] if job.id in known else answers[job.id]
            found.append(existing)
            answers[job.id] = existing._replace(existing=True)
        return found

    def _known(self, db: sqlite3.Connection, ids: list[str]) -> dict[str, tuple[Enqueued, tuple[str, str, str]]]:
        rows = db.execute(sql("enqueue", "known"), {"ns": self._ns, "ids": json.dumps(ids)})
        return {
            id: (Enqueued(id, NAMES[state], created, scheduled, True), (task, queue, payload))
            for id, state, created, scheduled, task, queue, payload in rows.fetchall()
        }

    def _insert_by_plan(
        self, db: sqlite3.Connection, now: int, jobs: Sequence[NewJob], known: dict[str, Enqueued]
    ) -> list[Enqueued]:
        """Store jobs of which some have rules, a flow or a key; ``known`` are answers for ids that are stored."""
        plan = Plan(db, self._ns, now, known)
        plan.decide(jobs)
        self._cancel_replaced(db, now, plan.replaced)
        db.executemany(sql("rules", "let_go_of"), [(self._ns, key) for key in plan.taken])
        stored = self._insert_with_rules(db, now, plan) if plan.new else []
        return plan.answers({answer.id: answer for answer in stored})

    def _cancel_replaced(self, db: sqlite3.Connection, now: int, replaced: Sequence[Replaced]) -> None:
        counts = Counts()
        for seq, queue, state, by in replaced:
            values = {"seq": seq, "ns": self._ns, "now": now, "by": None, "reason": _rules.replaced(by)}
            db.execute(sql("operate", "cancel"), values)
            db.execute(sql("operate", "cancel_details"), values)
            counts.move(queue, state, CANCELLED)
            counts.touch(seq)
        self._write_counts(db, counts)

    def _insert_with_rules(self, db: sqlite3.Connection, now: int, plan: Plan) -> list[Enqueued]:
        closed.refuse(db, self._ns, self)
        rows = [_ruled(job, *self._row(db, now, job)) for job in plan.new]
        first = self._insert_rows(db, now, list(chain.from_iterable(row for row, _, _ in rows)))
        seqs = range(first, first + len(rows))
        details = [(seq, *detail) for seq, (_, detail, _) in zip(seqs, rows, strict=True) if detail is not None]
        self._insert_details(db, details)
        counts, replaced, rules = Counts(), [], list[Any]()
        for seq, job, (row, _, _) in zip(seqs, plan.new, rows, strict=True):
            by = plan.replaced_at_once.get(job.id)
            if by is not None:
                replaced.append(Replaced(seq, row[2], row[3], by))
            if has_rules(job):
                rules += (seq, row[2], *_rules_of(job, now), job.unique is not None and by is None)
                counts.touch(seq)
        batches.write(db, "enqueue", "rules", (self._ns,), rules, _RULES_WIDTH)
        self._write_counts(db, counts)
        self._cancel_replaced(db, now, replaced)
        return [answer for _, _, answer in rows]

    def _insert(self, db: sqlite3.Connection, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
        closed.refuse(db, self._ns, self)
        if len(jobs) == 1:
            return self._insert_new(db, now, jobs) if has_rules(jobs[0]) else [self._insert_one(db, now, jobs[0])]
        columns = _Columns._make(zip(*jobs, strict=True))
        if _have_rules(columns):
            return self._insert_new(db, now, jobs)
        if _are_plain(columns):
            self._insert_rows(db, now, self._plain_values(db, now, columns))
            return list(map(_ENQUEUED, zip(columns.id, repeat("queued"), repeat(now), repeat(None), repeat(False))))
        values: list[Any] = []
        details, answers = [], []
        for place, job in enumerate(jobs):
            row, detail, answer = self._row(db, now, job)
            values += row
            answers.append(answer)
            if detail is not None:
                details.append((place, detail))
        first = self._insert_rows(db, now, values)
        self._insert_details(db, [(first + place, *detail) for place, detail in details])
        return answers

    def _plain_values(self, db: sqlite3.Connection, now: int, jobs: _Columns) -> list[Any]:
        """Return the same as ``_row`` does for each of these jobs, one after the other, without a step of Python for each."""
        pairs = list(zip(jobs.queue, jobs.task, strict=True))
        known = {pair: self._names.kind(db, self._ns, *pair) for pair in set(pairs)}
        kinds, lines = zip(*map(known.__getitem__, pairs), strict=True)
        ranks: Iterable[int] = repeat(now)
        if any(jobs.priority):
            places = list(zip(lines, jobs.priority, strict=True))
            each = {(line, priority): ranked(db, line, now, priority) for line, priority in set(places)}
            ranks = map(each.__getitem__, places)
        rows = zip(
            jobs.id, kinds, lines, repeat(QUEUED), repeat(0), jobs.priority, ranks, jobs.by, jobs.payload, strict=False,
        )  # fmt: skip
        return list(chain.from_iterable(rows))

    def _insert_rows(self, db: sqlite3.Connection, now: int, values: list[Any]) -> int:
        """Return the number of the first. The rows of one insert are numbered one after the other, in order."""
        _, last = batches.write(db, "enqueue", "jobs", (self._ns, now), values, _WIDTH)
        first = last - len(values) // _WIDTH + 1
        _count(db, first, last, zip(values[2::_WIDTH], values[3::_WIDTH], strict=True))
        return first

    def _insert_one(self, db: sqlite3.Connection, now: int, job: NewJob) -> Enqueued:
        row, detail, answer = self._row(db, now, job)
        seq = db.execute(_JOB, (self._ns, now, *row)).lastrowid
        if detail is not None:
            self._insert_details(db, [(seq, *detail)])
        assert seq is not None
        if row[3] != QUEUED or not seq % STRETCH:
            _count(db, seq, seq, [row[2:4]])
        return answer

    def _insert_details(self, db: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            batches.write(db, "enqueue", "details", (self._ns,), list(chain.from_iterable(rows)), len(rows[0]))

    def _row(
        self, db: sqlite3.Connection, now: int, job: NewJob, ranks: bool = True
    ) -> tuple[tuple[Any, ...], tuple[Any, ...] | None, Enqueued]:
        """Return what is stored of a job, in its own row and beside it, and the answer for it. If it does not rank, the ready
        time stands for the rank."""
        kind, line = self._names.kind(db, self._ns, job.queue, job.task)
        later = _later(job, now) if job.delay or job.at is not None else None
        expires = _expires(job, now)
        state = SCHEDULED if later else QUEUED
        odd = _odd(job, later, expires)
        place = ranked(db, line, later or now, job.priority) if ranks else later or now
        row = (job.id, kind, line, state, odd, job.priority, place, job.by, job.payload)
        detail = (later, expires, job.crash_fails, job.parent, job.options, job.tags, job.meta) if odd else None
        return row, detail, Enqueued(job.id, NAMES[state], now, later, False)


def _count(db: sqlite3.Connection, first: int, last: int, jobs: Iterable[tuple[int, int]]) -> None:
    """Count new jobs by queue and state, with those before them; or leave it to others while they are few and queued."""
    numbers = Counter(jobs)
    if (first - 1) // STRETCH == last // STRETCH and all(state == QUEUED for _, state in numbers):
        return
    counts = Counts()
    counts.catch_up(db, first)
    for (queue, state), number in numbers.items():
        counts.move(queue, None, state, number)
    counts.write(db)
    all_counted(db)


def _count_stretch(db: sqlite3.Connection, now: int) -> None:
    counts = Counts()
    counts.catch_up(db)
    counts.write(db)
    all_counted(db)


def _later(job: NewJob, now: int) -> int | None:
    """Return when the job is ready, None if it is so now."""
    ready = job.at if job.at is not None else now + micros(job.delay)
    return ready if ready > now else None


def _expires(job: NewJob, now: int) -> int | None:
    if job.expires_at is None and job.expires is not None:
        return now + micros(job.expires)
    return job.expires_at


def _odd(job: NewJob, later: int | None, expires: int | None) -> int:
    if job.crash_fails:
        return ODD_SOLO
    if expires is not None:
        return ODD_LIVE
    return ODD_STILL if later or job.options or job.tags or job.meta or job.parent else 0


def _ruled(
    job: NewJob, row: tuple[Any, ...], detail: tuple[Any, ...] | None, answer: Enqueued
) -> tuple[tuple[Any, ...], tuple[Any, ...] | None, Enqueued]:
    """Return what is stored of a job with rules, a flow or a key, where a job without them would be stored so."""
    if not has_rules(job):
        return row, detail, answer
    id, kind, line, state, odd, *rest = row
    if state == QUEUED and (job.holds or job.after or job.after_flow is not None):
        state, answer = BLOCKED, answer._replace(state="blocked")
    return (id, kind, line, state, max(odd, ODD_SOLO if job.holds else ODD_LIVE), *rest), detail, answer


def _rules_of(job: NewJob, now: int) -> tuple[Any, ...]:
    """Return what is stored beside a job that has rules, a flow or a key."""
    return (
        _rules.holds_text(job.holds),
        _rules.after_text(job.after),
        job.after_flow,
        job.after_failed,
        job.flow,
        job.unique,
        _rules.scope(job.unique, job.unique_until),
        _rules.holds_until(job.unique, job.unique_until, now),
    )


def _content(job: NewJob) -> tuple[str, str, str]:
    return job.task, job.queue, job.payload


def _conflict(job_id: str) -> IdConflict:
    return IdConflict(
        f"Job {job_id} is stored already with another task, queue or arguments; nothing was stored. "
        "Enqueue it under an id of its own.",
        job_id,
    )
