"""Enqueueing inside the caller's own transaction: ``Queue.within``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _runtime
from ._cycles import refuse_cycles
from ._draft import Draft, contents
from ._handles import Handle, aacting, acheck, acting, check, handle_of, usable
from ._handles.handle import Waits, wrong_colour
from ._inside import Stored
from ._job import Job
from ._origin import origin
from ._record import Enqueued, NewJob, State
from ._runtime import Connection
from .errors import BadOption, PackhorseError

if TYPE_CHECKING:
    from ._outbox import Outbox

_log = logging.getLogger("packhorse.within")


class Uncommitted(NamedTuple):
    """What a handle on a job knows of the transaction it was stored in."""

    transaction: str | None = None  #: for ``Inside.fate``
    waits: Waits | None = None  #: where it is enqueued after the commit
    outbox: bool = False  #: written down for the relay; nobody here knows whether that is committed

    def remark(self, connection: Connection) -> str | None:
        """Say why a job that is not there may still come, or may have come this moment; None: it will not."""
        if self.outbox:
            return "is not in the job store yet: it was written into the outbox, from which a relay brings it after the commit."
        if not self._is_open(connection):
            return None
        return "is not committed yet: the transaction it was enqueued in is still open. It is stored once that is committed."

    def _is_open(self, connection: Connection) -> bool:
        if self.waits is not None:
            return self.waits()
        if self.transaction is None:
            return False
        with connection as store:
            return store.inside is not None and store.inside.fate(self.transaction) == "open"


class Transaction:
    """A transaction of the caller's, and how jobs are put into it."""

    __slots__ = ("_after_commit", "_outbox", "handle")

    def __init__(self, given: object, *, outbox: bool, after_commit: bool) -> None:
        """Raises ``WrongHandle``, and ``BadOption`` for both at once."""
        if outbox and after_commit:
            raise BadOption("within() takes outbox=True or after_commit=True, not both.")
        self.handle: Handle = handle_of(given)
        self._after_commit = after_commit
        self._outbox: Outbox | None = None
        if outbox:
            from ._outbox import Outbox

            self._outbox = Outbox()

    @property
    def is_outbox(self) -> bool:
        """Tell whether jobs are written down for the relay, beside which nothing of the job store is needed."""
        return self._outbox is not None

    def must_be(self, *, is_async: bool, verb: str) -> None:
        """Refuse a call of the other colour."""
        if self.handle.is_async is not is_async:
            raise wrong_colour(self.handle, verb)

    # -- sync -------------------------------------------------------------------------------------------------------
    def put(self, connection: Connection, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        """Store drafts, all or none, when the caller commits."""
        new = _new(drafts, by)
        if connection.follow is not None:
            raw = self.handle.connect()
            return _later(connection, drafts, new, connection.follow.add(self.handle, raw, _act(connection, new)))
        if self._after_commit:
            return _later(connection, drafts, new, self.handle.after_commit(self._enqueuing(connection, new)))
        stored = self._put_now(connection, new)
        self.handle.used()
        return _handles(
            connection, drafts, new, stored.jobs, Uncommitted(stored.transaction, outbox=self._outbox is not None)
        )

    def _put_now(self, connection: Connection, new: list[NewJob]) -> Stored:
        if self._outbox is not None:
            raw = self.handle.connect()
            return acting(raw, self._outbox.enqueue(raw.driver.dialect, connection.settings.namespace, new))
        inside, dialect = connection.inside()
        raw = self.handle.connect()
        acts = usable(raw, inside, dialect, connection.describe())
        check(raw, acts)
        return acting(raw, acts.enqueue(new))

    # -- async ------------------------------------------------------------------------------------------------------
    async def aput(self, connection: Connection, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        """Do the same on the caller's own connection, awaited."""
        new = _new(drafts, by)
        if connection.follow is not None:
            raw = await self.handle.aconnect()
            return _later(
                connection, drafts, new, await connection.follow.aadd(self.handle, raw, _act(connection, new))
            )
        if self._after_commit:
            return _later(connection, drafts, new, self.handle.after_commit(self._enqueuing(connection, new)))
        stored = await self._aput_now(connection, new)
        self.handle.used()
        return _handles(
            connection, drafts, new, stored.jobs, Uncommitted(stored.transaction, outbox=self._outbox is not None)
        )

    async def _aput_now(self, connection: Connection, new: list[NewJob]) -> Stored:
        if self._outbox is not None:
            raw = await self.handle.aconnect()
            return await aacting(
                raw, self._outbox.enqueue(raw.driver.dialect, connection.settings.namespace, new), _runtime.aside
            )
        inside, dialect = await _runtime.aside(connection.inside)
        raw = await self.handle.aconnect()
        acts = usable(raw, inside, dialect, connection.describe())
        await acheck(raw, acts, _runtime.aside)
        return await aacting(raw, acts.enqueue(new), _runtime.aside)

    # -- after the commit -------------------------------------------------------------------------------------------
    def _enqueuing(self, connection: Connection, new: list[NewJob]) -> Callable[[], Any]:
        def enqueue() -> None:
            try:
                _runtime.enqueue(connection, new)
            except PackhorseError:
                _log.error("the transaction is committed, but its jobs were not enqueued: %s", _ids(new))
                raise

        if not self.handle.is_async:
            return enqueue
        return lambda: _runtime.aside(enqueue)


def _new(drafts: Sequence[Draft[Any]], by: str) -> list[NewJob]:
    new = list(map(NewJob._make, contents(drafts, by, origin())))
    refuse_cycles(new)
    return new


def _handles(
    connection: Connection,
    drafts: Sequence[Draft[Any]],
    new: list[NewJob],
    answers: Sequence[Enqueued],
    uncommitted: Uncommitted,
) -> list[Job[Any]]:
    return [
        Job(connection, draft._plan.codec, draft._plan.fn, answer, job, uncommitted)
        for draft, job, answer in zip(drafts, new, answers, strict=True)
    ]


def _later(connection: Connection, drafts: Sequence[Draft[Any]], new: list[NewJob], waits: Waits) -> list[Job[Any]]:
    return _handles(connection, drafts, new, _expected(new), Uncommitted(None, waits))


def _act(connection: Connection, new: list[NewJob]) -> Callable[[], None]:
    """Return what stores jobs in a test, and runs them where it runs everything at once."""

    def enqueue() -> None:
        follow, connection.follow = connection.follow, None  # what is under way is not looked at again
        try:
            _runtime.enqueue(connection, new)
            if connection.run is not None:
                connection.run([job.id for job in new])
        finally:
            connection.follow = follow

    return enqueue


def _expected(new: list[NewJob]) -> list[Enqueued]:
    """Return what a store would answer, for jobs that it is still to be given."""
    now = time.time_ns() // 1000
    later = [job.at if job.at is not None else now + round(job.delay * 1e6) for job in new]
    return [
        Enqueued(job.id, "scheduled" if at > now else _begins(job), now, at if at > now else None, False)
        for job, at in zip(new, later, strict=True)
    ]


def _begins(job: NewJob) -> State:
    return "blocked" if job.holds or job.after or job.after_flow is not None else "queued"


def _ids(new: list[NewJob]) -> str:
    return ", ".join(job.id for job in new[:10]) + (" …" if len(new) > 10 else "")
