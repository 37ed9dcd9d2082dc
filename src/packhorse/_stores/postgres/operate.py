"""What people do with jobs: cancel, requeue, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..._record import FINAL, STATES, WAITING, AttemptRecord, JobRecord, State, rank
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
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
        return self._write(self._requeue, which, delay, dry)

    def _requeue(self, link: Link, now: int, which: JobFilter, delay: float, dry: bool) -> Changed:
        rows, refused, more = self._movable(link, which, _REQUEUED, dry)
        if not dry:
            self._put_attempts(link, self._first_successes(link, rows))
            due_at = now + micros(delay) if delay > 0 else None
            self._put(link, [(row, _again(row, now, due_at)) for row in rows])
            if rows:
                self._news(link)
        return Changed(done=_ids(row.job for row in rows), refused=refused, more=more)

    def _movable(
        self, link: Link, which: JobFilter, states: frozenset[State], dry: bool
    ) -> tuple[list[Row], tuple[str, ...], bool]:
        jobs = self._choose(link, which, _in_order(states), BATCH + 1)
        refused = _ids(self._choose(link, which, _in_order(frozenset(STATES) - states), BATCH))
        rows = [row for row in self._still(link, jobs[:BATCH], which, dry) if row.job.state in states]
        return rows, refused, len(jobs) > BATCH

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
        rows, refused, more = self._movable(link, which, _DELETED, dry)
        if not dry:
            self._delete(link, [row.job.seq for row in rows])
        return Changed(done=_ids(row.job for row in rows), refused=refused, more=more)


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
    job = row.job._replace(state="cancelled", finished_at=now, due_at=None, suspect=False, cancel_by=by, reason=reason)
    return row._replace(job=job)


def _asked(row: Row, now: int, by: str | None, reason: str) -> Row:
    return row._replace(job=row.job._replace(cancel_at=now, cancel_by=by), cancel_reason=reason)


def _again(row: Row, now: int, due_at: int | None) -> Row:
    job = _renewed(row.job) if row.job.state in FINAL else row.job
    job = job._replace(
        state="queued" if due_at is None else "scheduled",
        due_at=due_at,
        scheduled_at=due_at,
        rank=rank(due_at or now, job.priority),
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
    )
)


def _renewed(job: JobRecord) -> JobRecord:
    """Return an ended job as if it had just been stored; its id, fence, token and history stay."""
    counters = {"failures": 0, "crashes": 0, "losses": 0, "snoozes": 0, "suspect": False}
    return job._replace(generation=job.generation + 1, **counters, **_NOTHING)  # type: ignore[arg-type]


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
