"""What people do with jobs: cancel, requeue, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from psycopg import errors as pg

from ..._record import FINAL, STATES, WAITING, AttemptRecord, JobRecord, State, rank
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from .ending import ended, ready_state
from .link import Link
from .records import Row
from .search import Searching
from .states import micros

_REQUEUED: frozenset[State] = FINAL | {"scheduled", "retrying"}
_DELETED: frozenset[State] = FINAL | WAITING


class Operating(Searching):
    """The verbs of people."""

    # -- cancel -------------------------------------------------------------------------------------------------
    def cancel(self, which: JobFilter, *, by: str = "", reason: str = "", dry: bool = False) -> Changed:
        """Cancel waiting jobs at once; ask for it where they run. An empty filter is refused."""
        _refuse_empty(which, "cancel")
        return self._write(self._cancel, which, by or None, reason or "cancelled", dry)

    def _cancel(self, link: Link, now: int, which: JobFilter, by: str | None, reason: str, dry: bool) -> Changed:
        waiting = self._choose(link, which, _in_order(WAITING), BATCH + 1)
        running = self._choose(link, which, ("running",), 10 * BATCH)
        asked = [job for job in running if job.cancel_at is not None][:BATCH]
        needed = sorted([*waiting, *(job for job in running if job.cancel_at is None)], key=lambda job: job.seq)
        rows = self._still(link, needed[:BATCH], which, dry)
        done = [row for row in rows if row.job.state in WAITING]
        stopped = [row for row in rows if row.job.state == "running"]
        refused = _ids(self._choose(link, which, _in_order(FINAL), BATCH))  # before what is ended now is among them
        if not dry:
            self._put(link, [(row, _cancelled(row, now, by, reason)) for row in done])
            self._put(link, [(row, _asked(row, now, by, reason)) for row in stopped if row.job.cancel_at is None])
            if rows:
                self._news(link)
        answer = _ids([*(row.job for row in stopped), *asked])
        return Changed(_ids(row.job for row in done), answer, refused, len(needed) > BATCH)

    def _still(self, link: Link, jobs: Sequence[JobRecord], which: JobFilter, dry: bool) -> list[Row]:
        """Lock what is to be changed, and return what is still meant."""
        seqs = [job.seq for job in jobs]
        rows = self._whole(link, seqs) if dry else self._locked(link, seqs)
        return [row for row in rows if which.fits(row.job)]

    # -- requeue ------------------------------------------------------------------------------------------------
    def requeue(self, which: JobFilter, *, delay: float = 0.0, by: str = "", dry: bool = False) -> Changed:
        """Make ended jobs run again, and scheduled or retrying ones run now (or after ``delay``)."""
        _refuse_empty(which, "requeue")
        while True:
            try:
                return self._write(self._requeue, which, delay, dry)
            except pg.UniqueViolation:  # somebody has just taken a key that one of these was to hold again
                continue

    def _requeue(self, link: Link, now: int, which: JobFilter, delay: float, dry: bool) -> Changed:
        wanted, barred = self._sorted_out(link, which, _REQUEUED, lambda jobs: self._with_keys(link, now, jobs))
        refused = barred + self._choose(link, which, _in_order(frozenset(STATES) - _REQUEUED), BATCH)
        rows = [row for row in self._still(link, wanted[:BATCH], which, dry) if row.job.state in _REQUEUED]
        if not dry:
            due_at = now + micros(delay) if delay > 0 else None
            self._run_again(link, now, rows, due_at)
            again = [row.job.id for row in rows if row.job.state in FINAL]
            while again:
                again = self._bring_back(link, now, again)
            if rows:
                self._news(link)
        refused.sort(key=lambda job: job.seq)
        return Changed(_ids(row.job for row in rows), refused=_ids(refused[:BATCH]), more=len(wanted) > BATCH)

    def _sorted_out(
        self,
        link: Link,
        which: JobFilter,
        states: frozenset[State],
        keep: Callable[[list[JobRecord]], list[JobRecord]],
    ) -> tuple[list[JobRecord], list[JobRecord]]:
        """Return the jobs meant that may be changed, and those in whose way another job stands."""
        wanted: list[JobRecord] = []
        for room in (BATCH + 1, 10 * BATCH):
            jobs = self._choose(link, which, _in_order(states), room)
            wanted = keep(jobs)
            if len(wanted) == len(jobs) or len(jobs) < room:
                break
        kept = {job.id for job in wanted}
        return wanted, [job for job in jobs if job.id not in kept]

    def _with_keys(self, link: Link, now: int, jobs: Sequence[JobRecord]) -> list[JobRecord]:
        """Return those whose unique key nobody else holds; of equal ones the first."""
        keys = {job.unique_key for job in jobs if _wants_key(job)} - {None}
        if not keys:
            return list(jobs)
        owners = self._rows(link, "ties", "owners", self._ns, sorted(key for key in keys if key is not None))
        holders = {key: id for key, id, _, end, _ in owners if end is None or end > now}
        found = []
        for job in jobs:
            if _wants_key(job) and job.unique_key is not None:
                if holders.get(job.unique_key, job.id) != job.id:
                    continue
                holders[job.unique_key] = ""
            found.append(job)
        return found

    def _run_again(self, link: Link, now: int, rows: Sequence[Row], due_at: int | None) -> None:
        keys = [row.job.unique_key for row in rows if _wants_key(row.job)]
        if keys:
            owners = self._rows(link, "ties", "owners", self._ns, keys)
            self._rows(link, "ties", "let_go", self._ns, [seq for *_, seq in owners])
        self._put_attempts(link, self._first_successes(link, rows))
        self._put(link, [(row, _again(row, now, due_at)) for row in rows])

    def _bring_back(self, link: Link, now: int, parents: Sequence[str]) -> list[str]:
        """Make those run again that gave up because of these jobs; return their ids."""
        seqs = [row[0] for row in self._rows(link, "ties", "gave_up", self._ns, list(parents))]
        rows = [row for row in self._locked(link, sorted(set(seqs))) if row.job.given_up is not None]
        wanted = {job.id for job in self._with_keys(link, now, [row.job for row in rows])}
        back = [row for row in rows if row.job.id in wanted]
        self._run_again(link, now, back, None)
        return [row.job.id for row in back]

    def _first_successes(self, link: Link, rows: Sequence[Row]) -> list[tuple[int, AttemptRecord]]:
        """Return the attempts of successes that have written no row of their own."""
        ended = [row.job for row in rows if row.job.state == "succeeded" and row.job.token]
        if not ended:
            return []
        seqs, tokens = [job.seq for job in ended], [job.token for job in ended]
        written = {(seq, token) for seq, token, _ in self._rows(link, "settle", "outcomes", seqs, tokens)}
        return [(job.seq, first_success(job)) for job in ended if (job.seq, job.token) not in written]

    # -- delete -------------------------------------------------------------------------------------------------
    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs. Running ones are refused. An empty filter is refused."""
        _refuse_empty(which, "delete")
        return self._write(self._delete_some, which, dry)

    def _delete_some(self, link: Link, now: int, which: JobFilter, dry: bool) -> Changed:
        wanted, barred = self._sorted_out(link, which, _DELETED, lambda jobs: self._unnamed(link, jobs, dry))
        refused = barred + self._choose(link, which, _in_order(frozenset(STATES) - _DELETED), BATCH)
        rows = [row for row in self._still(link, wanted[:BATCH], which, dry) if row.job.state in _DELETED]
        if not dry:
            self._delete(link, rows)
        refused.sort(key=lambda job: job.seq)
        return Changed(_ids(row.job for row in rows), refused=_ids(refused[:BATCH]), more=len(wanted) > BATCH)

    def _unnamed(self, link: Link, jobs: Sequence[JobRecord], dry: bool) -> list[JobRecord]:
        """Return those of some jobs that no other one, which has not ended, names as its parent; nor will one, from now on."""
        if jobs and not dry:
            self._rows(link, "rows", "lock_ready", [job.seq for job in jobs])
            self._rows(link, "rows", "lock_whole", [job.seq for job in jobs])
        named = {row[0] for row in self._rows(link, "ties", "named", self._ns, [job.id for job in jobs])}
        return [job for job in jobs if job.id not in named]


def first_success(job: JobRecord, host: str | None = None) -> AttemptRecord:
    """Return the attempt of a success that has written no row of its own."""
    return AttemptRecord(
        job=job.id,
        token=job.token or "",
        generation=job.generation,
        number=job.attempt,
        worker=job.worker,
        host=host,
        started_at=job.started_at,
        ended_at=job.finished_at or 0,
        outcome="succeeded",
        error=None,
        reason=job.reason,
        usage=None,
        late=None,
    )


def _cancelled(row: Row, now: int, by: str | None, reason: str) -> Row:
    return row._replace(job=ended(row.job._replace(cancel_by=by), "cancelled", now, reason))


def _asked(row: Row, now: int, by: str | None, reason: str) -> Row:
    return row._replace(job=row.job._replace(cancel_at=now, cancel_by=by), cancel_reason=reason)


def _again(row: Row, now: int, due_at: int | None) -> Row:
    job = _renewed(row.job) if row.job.state in FINAL else row.job
    job = job._replace(
        state=ready_state(job) if due_at is None else "scheduled",
        due_at=due_at,
        scheduled_at=due_at,
        rank=rank(due_at or now, job.priority, row.step),
        line=job.queue,
    )
    return row._replace(job=job, line=row.queue, cancel_reason=None)


_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "started_at",
        "finished_at",
        "expires_at",
        "result",
        "result_until",
        "error",
        "reason",
        "progress",
        "cancel_at",
        "cancel_by",
        "place",
        "given_up",
    )
)


def _renewed(job: JobRecord) -> JobRecord:
    """Return an ended job as if it had just been stored; its id, fence, token and history stay."""
    counters = {"failures": 0, "crashes": 0, "losses": 0, "snoozes": 0, "suspect": False}
    held = job.unique_held or _wants_key(job)
    return job._replace(generation=job.generation + 1, unique_held=held, **counters, **_NOTHING)  # type: ignore[arg-type]


def _wants_key(job: JobRecord) -> bool:
    """Tell whether a job takes a unique key when it is requeued."""
    return job.state in FINAL and job.unique_key is not None and job.unique_until != "time"


def _in_order(states: frozenset[State]) -> Sequence[State]:
    return [state for state in STATES if state in states]


def _ids(jobs: Iterable[JobRecord]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs)


def _refuse_empty(which: JobFilter, verb: str) -> None:
    if which.empty:
        raise BadOption(
            f"{verb} was given no condition, which would mean every job; nothing was changed. "
            "Name ids, a queue, a state or another condition."
        )
