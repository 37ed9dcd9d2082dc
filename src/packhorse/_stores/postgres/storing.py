"""Storing jobs of which some have waiting rules, a flow or a unique key, in a transaction that is open.

Free of I/O: a generator that yields ((verb, name), values) and is sent the rows, so that the same code serves the store's own
session and a connection that belongs to somebody else.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from ... import _rules
from ..._record import WAITING, Enqueued, NewJob
from ...errors import KeyBusy, UniqueConflict
from .ending import ended
from .known import known_jobs, new_among
from .records import Row, whole_row
from .rows import writes
from .states import NAMES, micros

#: What is to be run: ((verb, name), *values), or (statement,) as it stands.
Asked = Generator[tuple[Any, ...], Any, Any]
#: An open transaction that holds a key is waited for so long.
KEY_PATIENCE = "3s"
_LOCK_NOT_AVAILABLE, _DEADLOCK, _SERIALIZATION, _UNIQUE = "55P03", "40P01", "40001", "23505"


class Owner(NamedTuple):
    """Who holds a key when a job's turn comes."""

    id: str
    waits: bool
    seq: int = 0  #: 0: a job of this very call


class Plan(NamedTuple):
    """What becomes of the jobs of one call."""

    steps: list[tuple[NewJob, str]]  #: each with the id of the job that is its answer
    new: list[NewJob]
    replaced: list[tuple[int, str]]  #: seqs of those that are cancelled, and for whom
    past: list[int]  #: seqs of those who lose a key, since their time is over
    known: dict[str, Enqueued]  #: what is answered for jobs that are stored already


def is_ruled(job: NewJob) -> bool:
    """Tell whether a job has anything to do with others."""
    return bool(job.holds or job.after or job.after_flow or job.after_failed or job.flow or job.unique)


def ranked(name: str, jobs: Sequence[NewJob]) -> str:
    """Return the form of a statement that stores these jobs: those of priority 0 need no look at the steps of their queues."""
    return f"{name}+ranked" if any(job.priority for job in jobs) else name


class Storing:
    """One call."""

    def __init__(
        self, ns: int, now: int, jobs: Sequence[NewJob], kinds: dict[str, tuple[int, int]], *,
        lent: bool = False, old: bool = False,
    ) -> None:  # fmt: skip
        """``lent``: the transaction is a user's own. ``old``: it sees the database as it was when it began."""
        self._ns, self._now, self._jobs, self._kinds, self._lent, self._old = ns, now, jobs, kinds, lent, old
        self.transaction: str | None = None

    def run(self) -> Generator[tuple[Any, ...], Any, list[Enqueued]]:
        """Store them; return the answers."""
        while True:
            ids = [job.id for job in self._jobs]
            known = known_jobs((yield ("enqueue", "known"), self._ns, ids))
            new_among(self._jobs, known)
            plan = yield from self._plan(set(known))
            answers = yield from self._store(plan)
            if answers is not None:
                return answers

    # -- what is to be done -------------------------------------------------------------------------------------
    def _plan(self, known: set[str]) -> Generator[tuple[Any, ...], Any, Plan]:
        keys = sorted({job.unique for job in self._jobs if job.unique is not None and job.id not in known})
        rows = (yield ("ties", "owners"), self._ns, keys) if keys else []
        owners = {key: Owner(id, NAMES[state] in WAITING, seq) for key, id, state, end, seq in rows if self._holds(end)}
        past = [seq for *_, end, seq in rows if not self._holds(end)]
        parents = yield from self._parents(known)
        plan = Plan([], [], [], past, {})
        stored: set[str] = set()
        for job in self._jobs:
            answer = job.id
            if job.id not in known and job.id not in stored:
                self._refuse_unknown_parents(job, parents, stored)
                answer = self._decide(job, owners, plan)
            if answer == job.id and job.id not in known and job.id not in stored:
                stored.add(job.id)
                plan.new.append(job)
                if job.unique is not None:
                    owners[job.unique] = Owner(job.id, True)
            plan.steps.append((job, answer))
        return plan

    def _holds(self, end: int | None) -> bool:
        return end is None or end > self._now

    def _parents(self, known: set[str]) -> Generator[tuple[Any, ...], Any, set[str]]:
        """Return which parents are stored, and see that they stay."""
        wanted = sorted({parent for job in self._jobs if job.id not in known for parent in job.after})
        if not wanted:
            return set()
        name = "seen_parents" if self._old else "parents"
        return {row[0] for row in (yield ("ties", name), self._ns, wanted)}

    def _refuse_unknown_parents(self, job: NewJob, parents: set[str], stored: set[str]) -> None:
        for parent in job.after:
            if parent not in parents and parent not in stored:
                raise _rules.unknown_parent(job.id, parent)

    def _decide(self, job: NewJob, owners: dict[str, Owner], plan: Plan) -> str:
        """Return the id of the job that is the answer for a new one."""
        owner = owners.get(job.unique or "")
        if owner is None or job.unique is None:
            return job.id
        if job.on_conflict == "raise":
            raise _rules.key_held(job.unique, owner.id)
        if job.on_conflict != "replace" or not owner.waits:
            return owner.id
        if owner.seq:
            plan.replaced.append((owner.seq, job.id))
        return job.id

    # -- doing it -----------------------------------------------------------------------------------------------
    def _store(self, plan: Plan) -> Generator[tuple[Any, ...], Any, list[Enqueued] | None]:
        """Do what was planned; return nothing if others came in between."""
        # An answer tells of the moment when its job's turn came, before what is replaced now.
        others = sorted({answer for _, answer in plan.steps} - {job.id for job in plan.new})
        seen = known_jobs((yield ("enqueue", "known"), self._ns, others)) if others else {}
        plan.known.update((id, answer) for id, (answer, _) in seen.items())
        if len(seen) < len(others):
            return None  # one of them has just been deleted
        if not plan.new:
            return _answers(plan, {})
        yield ("SAVEPOINT packhorse_keys",)
        try:
            answers = yield from self._store_new(plan)
        except Exception as error:
            raise self._explained(error, plan) from error
        yield ("ROLLBACK TO SAVEPOINT packhorse_keys" if answers is None else "RELEASE SAVEPOINT packhorse_keys",)
        return answers

    def _store_new(self, plan: Plan) -> Generator[tuple[Any, ...], Any, list[Enqueued] | None]:
        if not (yield from self._cancel(plan.replaced)):
            return None
        if plan.past:
            yield ("ties", "let_go"), self._ns, plan.past
        yield from self._join(sorted({job.flow for job in plan.new if job.flow is not None}))
        found: dict[str, Enqueued] = {}
        for part in _parts(self._survivors(plan.new)):
            found |= yield from self._insert(part)
            if any(job.id not in found for job in part):
                return None
        return _answers(plan, found)

    def _survivors(self, new: Sequence[NewJob]) -> list[list[NewJob]]:
        """Return the jobs in parts: one that replaces another of the same call is stored after that has been cancelled."""
        parts: list[list[NewJob]] = [[]]
        keys: set[str] = set()
        for job in new:
            if job.unique is not None and job.unique in keys:
                parts.append([])
                keys.clear()
            keys |= {job.unique} if job.unique is not None else set()
            parts[-1].append(job)
        return parts

    def _insert(self, jobs: Sequence[NewJob]) -> Generator[tuple[Any, ...], Any, dict[str, Enqueued]]:
        yield from self._replace_own(jobs)
        rows = [_row(place, job, self._kinds[job.id]) for place, job in enumerate(jobs)]
        keyed = any(job.unique is not None for job in jobs)
        before = (yield ("ties", "patience"), KEY_PATIENCE)[0][0] if keyed else None
        stored = yield ("ties", ranked("insert", jobs)), json.dumps(rows), self._ns, self._now
        if before is not None:
            yield ("ties", "patience"), before
        for row in stored:
            self.transaction = self.transaction or f"{row[4]}:{row[0]}"
        return {id: Enqueued(id, NAMES[state], created, due, False) for id, state, created, due, _ in stored}

    def _replace_own(self, jobs: Sequence[NewJob]) -> Asked:
        """Cancel jobs of this very call that one of these replaces."""
        keys = [job.unique for job in jobs if job.unique is not None]
        if keys:
            mine = {job.id for job in self._jobs}
            by = {job.unique: job.id for job in jobs}
            rows = yield ("ties", "owners"), self._ns, keys
            yield from self._cancel(
                [(seq, by[key]) for key, id, _, end, seq in rows if id in mine and self._holds(end)]
            )

    def _join(self, flows: list[str]) -> Asked:
        if flows:
            yield ("ties", "begin_flows"), self._ns, flows, self._now
            if not self._old:
                yield ("ties", "join_flows"), self._ns, flows

    def _cancel(self, replaced: Sequence[tuple[int, str]]) -> Generator[tuple[Any, ...], Any, bool]:
        """Cancel jobs that give their keys to others; tell whether all of them waited still."""
        if not replaced:
            return True
        seqs, by = [seq for seq, _ in replaced], dict(replaced)
        yield ("rows", "lock_ready"), seqs
        yield ("rows", "lock"), seqs
        rows = [whole_row(row) for row in (yield ("rows", "read"), seqs)]
        if any(row.job.state not in WAITING or not row.job.unique_held for row in rows) or len(rows) < len(seqs):
            return False
        changes = [(row, self._replaced(row, by[row.job.seq])) for row in rows]
        for name, *values in writes(self._ns, changes, lambda: None):
            yield name, *values
        return True

    def _replaced(self, row: Row, by: str) -> Row:
        """Return a job that gave its key to another, even one it would have held for a time."""
        job = ended(row.job, "cancelled", self._now, _rules.replaced(by))
        return row._replace(job=job._replace(unique_held=False))

    def _explained(self, error: Exception, plan: Plan) -> Exception:
        """Return what an error of the driver means."""
        code = code_of(error)
        keyed = [job for job in plan.new if job.unique is not None]
        if not keyed or code not in (_LOCK_NOT_AVAILABLE, _DEADLOCK, _SERIALIZATION, _UNIQUE):
            return error
        spoken = (keyed[0].unique or "").partition("\x1f")[2] or keyed[0].unique
        if code == _DEADLOCK and not self._lent:
            return error  # it is done again
        if code in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
            return KeyBusy(
                f"Another transaction, which is open still, is storing a job with the unique key '{spoken}'; nothing was stored. "
                "Try again when that has ended; keep transactions short in which jobs are enqueued."
            )
        if not self._old:
            return error
        return UniqueConflict(
            f"The unique key '{spoken}' is held by a job that was stored since this transaction began, which cannot see it; "
            "nothing was stored. Do the transaction again, or use READ COMMITTED."
        )


def _answers(plan: Plan, new: dict[str, Enqueued]) -> list[Enqueued]:
    answers = []
    for _, id in plan.steps:
        answers.append(new.get(id) or plan.known[id])
        if id in new:
            plan.known[id] = new.pop(id)._replace(existing=True)
    return answers


def code_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver's error, whichever driver's."""
    for one in (error, getattr(error, "orig", None), error.__cause__):
        code = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if code is not None:
            return str(code)
    return None


def _parts(parts: Sequence[Sequence[NewJob]]) -> list[Sequence[NewJob]]:
    """Return parts of at most a thousand."""
    return [part[start : start + 1000] for part in parts for start in range(0, len(part), 1000)]


def _row(spot: int, job: NewJob, kind: tuple[int, int]) -> dict[str, Any]:
    return {
        "spot": spot,
        "id": job.id,
        "kind": kind[0],
        "line": kind[1],
        "priority": job.priority,
        "at": job.at,
        "delay": micros(job.delay),
        "expires_at": job.expires_at,
        "expires": None if job.expires is None else micros(job.expires),
        "crash_fails": job.crash_fails,
        "parent": job.parent,
        "made_by": job.by,
        "options": job.options,
        "tags": job.tags,
        "meta": job.meta,
        "payload": job.payload,
        "holds": _rules.holds_text(job.holds),
        "after": _rules.after_text(job.after),
        "after_flow": job.after_flow,
        "after_failed": job.after_failed,
        "flow": job.flow,
        "unique_key": job.unique,
        "unique_until": _rules.scope(job.unique, job.unique_until),
        "unique_for": _rules.holds_until(job.unique, job.unique_until, 0),
    }
