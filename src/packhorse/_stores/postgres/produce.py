"""Storing new jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import errors as pg

from ..._closed import refusal
from ..._record import Enqueued, NewJob
from ...errors import EnqueueUnknown, StoreUnavailable
from . import failures
from .connection import Connection
from .known import answered, known_jobs, new_among
from .link import Link
from .pace import Pace
from .states import NAMES, micros
from .storing import Storing, is_ruled, ranked

#: So many jobs are stored by one statement.
_CHUNK = 1000
_SEPARATOR = "\x1e"


class Producing(Connection):
    """The producer's verb."""

    _reached = 0  #: number of the job stored last, if it is known

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs, all or none, in the order given."""
        if not jobs:
            return []
        self._sent = False  # for a session that cannot even be begun
        try:
            if any(map(is_ruled, jobs)):
                answers = self._write(self._enqueue_ruled, jobs, names=lambda link: self._name(link, jobs))
            else:
                answers = self._attempted(lambda link: self._enqueue(link, jobs))
        except pg.UniqueViolation:
            # An id is known already. Rare, so only then is it asked which.
            answers = self._attempted(lambda link: self._enqueue_new(link, jobs))
        except StoreUnavailable as error:
            raise self._unknown(error, jobs[0].id) from error.__cause__
        self._mine += sum(not answer.existing for answer in answers)
        self._tell(len(jobs))
        return answers

    def _unknown(self, error: StoreUnavailable, job: str) -> StoreUnavailable:
        """Tell a job that was not stored from one whose fate is not known: it was sent, and its answer is lost."""
        cause = error.__cause__
        if not self._sent or not isinstance(cause, psycopg.Error) or not failures.is_lost(cause):
            return error
        return EnqueueUnknown(
            f"The job store {self.url} was lost while job {job} was on its way ({failures.said(cause)}): it may have been "
            "stored. Enqueue it again under the same id; it is never stored twice.",
            job,
        )

    def _enqueue(self, link: Link, jobs: Sequence[NewJob]) -> list[Enqueued]:
        self._sent = False
        self._require(link)
        kinds = [self._names.kind(link, self._ns, job.queue, job.task) for job in jobs]
        self._sent = True
        return self._insert(link, jobs, kinds)

    def _name(self, link: Link, jobs: Sequence[NewJob]) -> None:
        for job in jobs:
            self._names.kind(link, self._ns, job.queue, job.task)

    def _enqueue_ruled(self, link: Link, now: int, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs of which some have to do with others, in the transaction under way. Their kinds have numbers already."""
        closed = self._rows(link, "enqueue", "closed", self._ns)
        if not closed or closed[0][0] is not None:
            raise self._refusal(link)
        kinds = {job.id: self._names.kind(link, self._ns, job.queue, job.task) for job in jobs}
        self._sent = True
        act = Storing(self._ns, now, jobs, kinds).run()
        rows: Any = None
        try:
            while True:
                name, *values = act.send(rows)
                try:
                    rows = link.ask(name.encode()) if isinstance(name, str) else self._rows(link, *name, *values)
                except psycopg.Error as error:
                    rows = act.throw(error)
        except StopIteration as end:
            answers: list[Enqueued] = end.value
        self.freed = self.freed or any(
            answer.state == "blocked" or job.flow for answer, job in zip(answers, jobs, strict=True)
        )
        return answers

    def _insert(self, link: Link, jobs: Sequence[NewJob], kinds: Sequence[tuple[int, int]]) -> list[Enqueued]:
        now = self._time()
        if len(jobs) == 1:
            return self._insert_one(link, now, jobs[0], kinds[0])
        if len(jobs) <= _CHUNK:
            return self._insert_many(link, now, jobs, kinds)
        return self._in_chunks(link, now, jobs, kinds)

    def _in_chunks(
        self, link: Link, now: int | None, jobs: Sequence[NewJob], kinds: Sequence[tuple[int, int]]
    ) -> list[Enqueued]:
        found: list[Enqueued] = []
        own = link.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if own:
            link.ask(b"BEGIN")
            now = self._now(link) if now is None else now
        for start in range(0, len(jobs), _CHUNK):
            found += self._insert_many(link, now, jobs[start : start + _CHUNK], kinds[start : start + _CHUNK])
        if own:
            link.ask(b"COMMIT")
        return found

    def _insert_one(self, link: Link, now: int | None, job: NewJob, kind: tuple[int, int]) -> list[Enqueued]:
        rows = self._rows(
            link, "enqueue", ranked("one", [job]), now, self._ns, job.id, *kind, job.priority, job.at, _delay(job),
            job.expires_at, None if job.expires is None else micros(job.expires), job.crash_fails, job.parent, job.by,
            job.options, job.tags, job.meta, job.payload,
        )  # fmt: skip
        if not rows:
            raise self._refusal(link)
        ((state, created, scheduled, self._reached),) = rows
        return [Enqueued(job.id, NAMES[state], created, scheduled, False)]

    def _insert_many(
        self, link: Link, now: int | None, jobs: Sequence[NewJob], kinds: Sequence[tuple[int, int]]
    ) -> list[Enqueued]:
        shared = (
            now, self._ns, _SEPARATOR.join([job.id for job in jobs]), ",".join([str(kind) for kind, _ in kinds]),
            ",".join([str(line) for _, line in kinds]), ",".join([str(job.priority) for job in jobs]),
        )  # fmt: skip
        if all(map(_is_plain, jobs)):
            values = (*shared, _texts([job.by for job in jobs]), _SEPARATOR.join([job.payload for job in jobs]))
            _refuse_separators(values[2:], len(jobs))
            ((count, created),) = self._rows(link, "enqueue", ranked("plain", jobs), *values)
            if not count:
                raise self._refusal(link)
            return [Enqueued(job.id, "queued", created, None, False) for job in jobs]
        return self._insert_any(link, shared, jobs)

    def _insert_any(self, link: Link, shared: tuple[Any, ...], jobs: Sequence[NewJob]) -> list[Enqueued]:
        values = (
            *shared, _numbers([job.at for job in jobs]), _numbers([_delay(job) for job in jobs]),
            _numbers([job.expires_at for job in jobs]),
            _numbers([None if job.expires is None else micros(job.expires) for job in jobs]),
            ",".join(["t" if job.crash_fails else "f" for job in jobs]), _texts([job.parent for job in jobs]),
            _texts([job.by for job in jobs]), _texts([job.options for job in jobs]), _texts([job.tags for job in jobs]),
            _texts([job.meta for job in jobs]), _SEPARATOR.join([job.payload for job in jobs]),
        )  # fmt: skip
        _refuse_separators(values[2:], len(jobs))
        rows = self._rows(link, "enqueue", ranked("many", jobs), *values)
        if not rows:
            raise self._refusal(link)
        found = {id: (state, created, scheduled) for id, state, created, scheduled in rows}
        return [Enqueued(job.id, NAMES[found[job.id][0]], *found[job.id][1:], False) for job in jobs]

    # -- known ids ----------------------------------------------------------------------------------------------
    def _enqueue_new(self, link: Link, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store those that are not known, until nobody comes in between."""
        self._require(link)
        kinds = {job.id: self._names.kind(link, self._ns, job.queue, job.task) for job in jobs}
        while True:
            known = known_jobs(self._rows(link, "enqueue", "known", self._ns, [job.id for job in jobs]))
            first = new_among(jobs, known)
            closed = self._rows(link, "enqueue", "closed", self._ns)[0][0]
            if closed is not None:
                raise refusal(self.url, self.namespace, closed)
            try:
                new = self._insert(link, first, [kinds[job.id] for job in first]) if first else []
            except pg.UniqueViolation:
                if link.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    link.ask(b"ROLLBACK")
                continue
            return answered(jobs, known, new)

    def _refusal(self, link: Link) -> Exception:
        """Return why nothing was stored: the namespace is closed, or its row has vanished."""
        rows = self._rows(link, "enqueue", "closed", self._ns)
        if rows and rows[0][0] is not None:
            return refusal(self.url, self.namespace, rows[0][0])
        from .migrate import look

        return self._gone(look(link, self._schema))

    # -- hints --------------------------------------------------------------------------------------------------
    @property
    def _channel(self) -> str:
        return f"{self._schema}_{self._ns}"[-63:]

    def _tell(self, jobs: int) -> None:
        """Wake who listens, now that so many jobs have been stored; not of each, if there are many.

        In a statement of its own: a transaction that notifies holds a lock of the whole server until it is on the disk. This one
        does not wait for the disk, since it has nothing to lose.
        """
        if not self._location.listen:
            return
        reached, self._reached = self._reached, 0
        link = self._link
        if link is None or not Pace.of(self.instance, self._ns).may_tell(jobs, reached):
            return
        try:
            link.ask(f'BEGIN; SET LOCAL synchronous_commit = off; NOTIFY "{self._channel}"; COMMIT'.encode())
        except psycopg.Error:  # only a hint: what was stored is stored
            self._drop()


def _delay(job: NewJob) -> int:
    return micros(job.delay)


def _is_plain(job: NewJob) -> bool:
    return not (
        job.delay or job.crash_fails or job.at is not None or job.expires is not None or job.expires_at is not None
        or job.options is not None or job.tags is not None or job.meta is not None or job.parent is not None
    )  # fmt: skip


def _texts(texts: Sequence[str | None]) -> str:
    return _SEPARATOR.join(["" if text is None else text for text in texts])


def _numbers(numbers: Sequence[int | None]) -> str:
    return ",".join(["" if number is None else str(number) for number in numbers])


def _refuse_separators(columns: Sequence[Any], jobs: int) -> None:
    """Refuse texts that no JSON in ASCII can be."""
    for column in columns:
        if _SEPARATOR in column and column.count(_SEPARATOR) >= jobs:
            raise ValueError("a text to be stored holds the control character U+001E")
