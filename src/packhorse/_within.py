"""Enqueueing inside the caller's own transaction: ``Queue.within``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _runtime
from ._draft import Draft, content
from ._handles import Handle, aacting, acheck, acting, check, handle_of
from ._handles.drivers import Raw
from ._handles.handle import Waits, wrong_colour
from ._inside import Inside, Stored
from ._job import Job
from ._record import Enqueued, NewJob
from ._runtime import Connection
from .errors import BadOption, PackhorseError, WrongDatabase

if TYPE_CHECKING:
    from ._outbox import Outbox

_log = logging.getLogger("packhorse.within")


class Uncommitted(NamedTuple):
    """What a handle on a job knows of the transaction it was stored in."""

    name: str  #: of the caller's handle
    transaction: str | None = None  #: for ``Inside.fate``
    waits: Waits | None = None  #: where it is enqueued after the commit

    def is_open(self, connection: Connection) -> bool:
        """Tell whether a job that is not there may still come, or has come this moment."""
        if self.waits is not None:
            return self.waits()
        with connection as store:
            inside = store.inside
            return (
                inside is not None and self.transaction is not None and inside.fate(self.transaction) != "rolled back"
            )


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

    def must_be(self, *, is_async: bool, verb: str) -> None:
        """Refuse a call of the other colour."""
        if self.handle.is_async is not is_async:
            raise wrong_colour(self.handle, verb)

    # -- sync -------------------------------------------------------------------------------------------------------
    def put(self, connection: Connection, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        """Store drafts, all or none, when the caller commits."""
        new = _new(drafts, by)
        if connection.follow is not None or self._after_commit:
            return self._put_later(connection, drafts, new)
        stored = self._put_now(connection, new)
        self.handle.used()
        return _handles(connection, drafts, new, stored.jobs, Uncommitted(self.handle.name, stored.transaction))

    def _put_now(self, connection: Connection, new: list[NewJob]) -> Stored:
        if self._outbox is not None:
            raw = self.handle.connect()
            return acting(raw, self._outbox.enqueue(raw.driver.dialect, connection.settings.namespace, new))
        inside, dialect = connection.inside()
        raw = self.handle.connect()
        usable = _usable(raw, inside, dialect, connection)
        check(raw, usable)
        return acting(raw, usable.enqueue(new))

    # -- async ------------------------------------------------------------------------------------------------------
    async def aput(self, connection: Connection, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        """Do the same on the caller's own connection, awaited."""
        new = _new(drafts, by)
        if connection.follow is not None or self._after_commit:
            if not self._after_commit:
                await self.handle.aconnect()
            return self._put_later(connection, drafts, new)
        stored = await self._aput_now(connection, new)
        self.handle.used()
        return _handles(connection, drafts, new, stored.jobs, Uncommitted(self.handle.name, stored.transaction))

    async def _aput_now(self, connection: Connection, new: list[NewJob]) -> Stored:
        if self._outbox is not None:
            raw = await self.handle.aconnect()
            return await aacting(raw, self._outbox.enqueue(raw.driver.dialect, connection.settings.namespace, new))
        inside, dialect = await _runtime.aside(connection.inside)
        raw = await self.handle.aconnect()
        usable = _usable(raw, inside, dialect, connection)
        await acheck(raw, usable)
        return await aacting(raw, usable.enqueue(new))

    # -- after the commit -------------------------------------------------------------------------------------------
    def _put_later(self, connection: Connection, drafts: Sequence[Draft[Any]], new: list[NewJob]) -> list[Job[Any]]:
        waits = self.handle.after_commit(self._enqueuing(connection, new))
        return _handles(connection, drafts, new, _expected(new), Uncommitted(self.handle.name, None, waits))

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
    parent = _runtime.parent()
    return [NewJob._make(content(draft, by, parent)) for draft in drafts]


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


def _expected(new: list[NewJob]) -> list[Enqueued]:
    """Return what a store would answer, for jobs that it is still to be given."""
    now = time.time_ns() // 1000
    later = [job.at if job.at is not None else now + round(job.delay * 1e6) for job in new]
    return [
        Enqueued(job.id, "scheduled" if at > now else "queued", now, at if at > now else None, False)
        for job, at in zip(new, later, strict=True)
    ]


def _usable(raw: Raw, inside: Inside | None, dialect: str | None, connection: Connection) -> Inside:
    """Return the acts, if this store and this connection speak of the same thing at all."""
    if inside is not None and raw.driver.dialect == dialect:
        return inside
    kind = "SQLite" if raw.driver.dialect == "sqlite" else "PostgreSQL"
    raise WrongDatabase(
        f"the transaction is one of {kind} ({raw.driver.name}), and the job store is {connection.describe()}; nothing "
        "was stored.\n  One transaction cannot hold both. Write the job down in the application's database, for the relay to bring it to the "
        "store:  within(x, outbox=True)"
    )


def _ids(new: list[NewJob]) -> str:
    return ", ".join(job.id for job in new[:10]) + (" …" if len(new) > 10 else "")
