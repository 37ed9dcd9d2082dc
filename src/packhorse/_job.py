"""The handle on one stored job: attributes are a snapshot and never touch the store, methods do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from . import _runtime
from ._by import person
from ._codec import Codec
from ._durations import Duration, seconds
from ._rebuild import result_annotation
from ._record import FINAL, Enqueued, JobRecord, NewJob
from ._reference import Reference
from ._runtime import Connection
from ._store import JobFilter
from ._told import Attempt, attempt_of, data_of, ending, moment, moment_or_none, number_of
from ._waiting import Deadline
from .errors import BadState, JobNotFound, ResultGone, StoreUnavailable

if TYPE_CHECKING:
    from ._within import Uncommitted

R_co = TypeVar("R_co", covariant=True)

#: What is not over by then is worth opening a connection that is told of changes.
_SOON = 0.03
#: On such a connection: seconds between two looks at least, and of one wait at most.
_HINTED, _HINT_WAIT = 0.0005, 0.1


class Job(Generic[R_co]):
    """One stored job, as it was when this snapshot was taken. ``refresh()`` takes a new one, in place.

    ``existing`` is true when ``enqueue`` found this very job stored already (same id), or another that holds its unique key:
    then the handle is on that one. Every method has a twin for
    ``async`` code: ``arefresh``, ``aresult`` …; they never block the event loop. All of them raise ``JobNotFound`` once the job
    is deleted or pruned, and ``StoreUnavailable`` when the store does not answer.
    """

    #: How options know a job without importing this class.
    _packhorse_job_ = True

    # Values and plain tuples only: the garbage collector looks at every other object again and again.
    __slots__ = (
        "_codec", "_connection", "_created", "_existing", "_fn", "_id", "_new", "_record", "_scheduled", "_state", "_uncommitted"
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        codec: Codec,
        fn: Callable[..., Any] | None,
        facts: Enqueued | JobRecord,
        new: tuple[Any, ...] | None = None,
        uncommitted: Uncommitted | None = None,
    ) -> None:
        """``new`` has the values of the ``NewJob`` that ``facts`` answer; a record needs none. ``uncommitted``: it was stored in
        a transaction of the caller's."""
        self._uncommitted = uncommitted
        self._connection = connection
        self._codec = codec
        self._fn = fn
        self._new = new
        if new is not None:
            self._id, self._state, self._created, self._scheduled, self._existing = facts  # type: ignore[misc]
            self._record: JobRecord | None = None
        else:
            self._existing = False
            self._found(facts)  # type: ignore[arg-type]

    # -- the snapshot -----------------------------------------------------------------------------------------------
    @property
    def _content(self) -> NewJob | JobRecord:
        """What was enqueued; from the store's record as soon as there is one."""
        return self._record if self._record is not None else NewJob._make(self._new or ())

    @property
    def id(self) -> str:
        """Return the id, a UUID as text."""
        return self._id

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return self._content.task

    @property
    def queue(self) -> str:
        """Return the name of the queue."""
        return self._content.queue

    @property
    def state(self) -> str:
        """Return scheduled, blocked, queued, running, retrying, succeeded, failed or cancelled."""
        return self._state

    @property
    def args(self) -> tuple[Any, ...]:
        """Return the positional arguments as stored: models are plain data here."""
        return tuple(self._call()[0])

    @property
    def kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments as stored: models are plain data here."""
        return dict(self._call()[1])

    @property
    def meta(self) -> Mapping[str, Any]:
        """Return the meta; a copy."""
        return data_of(self._content.meta) or {}

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags."""
        return tuple(data_of(self._content.tags) or ())

    @property
    def priority(self) -> int:
        """Return the priority, -100 to 100; higher runs first."""
        return self._content.priority

    @property
    def parent(self) -> str | None:
        """Return the id of the job that enqueued this one."""
        return self._content.parent

    @property
    def flow(self) -> str | None:
        """Return the id of the flow it belongs to, if any."""
        return self._content.flow

    @property
    def as_argument(self) -> R_co:
        """Return what stands for its result among the arguments of another call: ``q.enqueue(add, job.as_argument, 1)``.

        That job waits for this one, as with ``after``, and gets the result just before it runs; if the result is not stored any
        more, it fails with ``ResultGone``.
        """
        return cast(R_co, Reference(self._id))

    @property
    def by(self) -> Mapping[str, Any]:
        """Return who enqueued it: ``user``, ``login``, ``host``, ``program``, ``pid``, ``file`` and ``line``, as far as known."""
        return data_of(self._content.by) or {}

    @property
    def existing(self) -> bool:
        """Tell whether ``enqueue`` found it stored already, under its id or its unique key."""
        return self._existing

    @property
    def created_at(self) -> datetime:
        """Return when it was stored."""
        return moment(self._created)

    @property
    def scheduled_at(self) -> datetime | None:
        """Return the future time it was (last) asked to run at, if any."""
        return moment_or_none(self._scheduled)

    @property
    def started_at(self) -> datetime | None:
        """Return when its latest attempt started."""
        return moment_or_none(self._record.started_at) if self._record else None

    @property
    def finished_at(self) -> datetime | None:
        """Return when it ended."""
        return moment_or_none(self._record.finished_at) if self._record else None

    @property
    def attempt(self) -> int:
        """Return the number of the present run, or of the next or last one; snoozes and releases do not count."""
        return number_of(self._record) if self._record else 1

    @property
    def reason(self) -> str | None:
        """Return why it is in this state, where there is something to say."""
        return self._record.reason if self._record else None

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Return the error of the last attempt that had one: ``type``, ``message``, ``traceback`` …"""
        return data_of(self._record.error) if self._record else None

    @property
    def progress(self) -> Mapping[str, Any]:
        """Return the progress it has told: name → ``done``, ``total``, ``note``; the unnamed one is ``""``."""
        return (data_of(self._record.progress) if self._record else None) or {}

    def _call(self) -> tuple[list[Any], dict[str, Any]]:
        return self._codec.decode_call(self._content.payload)

    def __eq__(self, other: object) -> bool:
        """Two handles on the same job are equal, whatever their snapshots say."""
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)

    def __repr__(self) -> str:
        """Show task, id and the state at the time of the snapshot."""
        return f"<Job {self.task} {self.id} {self.state}{', not committed yet' if self._uncommitted else ''}>"

    # -- looking ----------------------------------------------------------------------------------------------------
    def refresh(self) -> Self:
        """Take a new snapshot, in place, and return this handle. Raises ``JobNotFound``."""
        with self._connection as store:
            found = store.get([self.id])
        return self._take(found)

    def result(self, timeout: Duration | None = 60) -> R_co:
        """Wait for the end of the job and return what its function returned.

        ``timeout`` is seconds, ``"5m"`` or ``timedelta``; None waits for ever. Raises ``JobFailed`` (its ``.error`` is data),
        ``JobCancelled``, ``JobTimeout`` (the job goes on), ``ResultGone`` when the value is not stored (any more). A store that
        is away meanwhile is waited for too; ``StoreUnavailable`` comes only when the time is over and it still is.
        """
        deadline = Deadline(self, timeout, "result(timeout=)")
        while True:
            try:
                if not self._connection.has_waiter():
                    self._poll(deadline, _SOON)
                if not deadline.ended():
                    self._wait_on(deadline)
                return self._value()
            except StoreUnavailable as error:
                time.sleep(deadline.missed(error))

    def why(self) -> str:
        """Return in words what the job waits for, or why it ended as it did."""
        from . import _why

        with self._connection as store:
            try:
                self._take(store.get([self.id]))
            except BadState as error:
                return str(error).removesuffix(f"  [{error.code}]")  # not committed yet: all there is to say
            assert self._record is not None
            return _why.explain(store, self._record).text

    def attempts(self) -> list[Attempt]:
        """Return its ended runs, oldest first."""
        with self._connection as store:
            self._take(store.get([self.id]))
            return [attempt_of(each) for each in store.attempts(self.id)]

    def log(self) -> str:
        """Return what its attempts logged and printed, oldest first; of each the newest 64 KiB are kept."""
        with self._connection as store:
            self._take(store.get([self.id]))
            parts = store.log(self.id)
        return "".join(
            (f"[… {dropped:,} characters dropped …]\n" if dropped else "") + text for _, text, dropped in parts
        )

    # -- acting -----------------------------------------------------------------------------------------------------
    def cancel(self, reason: str = "") -> bool:
        """Cancel it: at once if it waits; if it runs, its worker is asked to stop it.

        Returns False if it had ended already.
        """
        self._must_be_stored()
        with self._connection as store:
            changed = store.cancel(JobFilter(ids=(self.id,)), by=person(), reason=reason)
            self._take(store.get([self.id]))
        return bool(changed.done or changed.asked)

    def requeue(self, delay: Duration = 0) -> Self:
        """Let an ended job run again, or a scheduled or retrying one now (or after ``delay``), and return this handle.

        Raises ``BadState`` while it is queued, blocked or running, and if another job holds its unique key by now.
        """
        wait = seconds(delay, "requeue(delay=)")
        self._must_be_stored()
        with self._connection as store:
            changed = store.requeue(JobFilter(ids=(self.id,)), delay=wait, by=person())
            self._take(store.get([self.id]))
        if not changed.done:
            held = self.state in FINAL  # then only its unique key can be in the way
            why = f"{self.state}, and another job holds its unique key by now" if held else self.state
            raise BadState(f"job {self.id} ({self.task}) is {why}: not to be requeued; nothing was changed.")
        return self

    # -- the twins --------------------------------------------------------------------------------------------------
    async def arefresh(self) -> Self:
        """Do what ``refresh`` does."""
        return await _runtime.aside(self.refresh)

    async def aresult(self, timeout: Duration | None = 60) -> R_co:
        """Do what ``result`` does; waiting costs no thread."""
        import asyncio

        deadline = Deadline(self, timeout, "aresult(timeout=)")
        while True:
            try:
                for pause in deadline.looks():
                    await asyncio.sleep(pause)
                    await self.arefresh()
                return self._value()
            except StoreUnavailable as error:
                await asyncio.sleep(deadline.missed(error))

    async def awhy(self) -> str:
        """Do what ``why`` does."""
        return await _runtime.aside(self.why)

    async def aattempts(self) -> list[Attempt]:
        """Do what ``attempts`` does."""
        return await _runtime.aside(self.attempts)

    async def alog(self) -> str:
        """Do what ``log`` does."""
        return await _runtime.aside(self.log)

    async def acancel(self, reason: str = "") -> bool:
        """Do what ``cancel`` does."""
        return await _runtime.aside(lambda: self.cancel(reason))

    async def arequeue(self, delay: Duration = 0) -> Self:
        """Do what ``requeue`` does."""
        return await _runtime.aside(lambda: self.requeue(delay))

    # -- steps ------------------------------------------------------------------------------------------------------
    def _take(self, found: Sequence[JobRecord]) -> Self:
        if not found and self._uncommitted is not None:
            found = self._look_again(self._uncommitted)
        if not found:
            raise not_found(self.id, self._connection)
        self._found(found[0])
        return self

    def _must_be_stored(self) -> None:
        """Look before a change: on SQLite that would wait for the very transaction in which the job is still to be stored."""
        if self._uncommitted is not None:
            self.refresh()

    def _look_again(self, uncommitted: Uncommitted) -> Sequence[JobRecord]:
        """Tell a job that is not committed yet from one that was rolled back."""
        remark = uncommitted.remark(self._connection)
        with self._connection as store:
            found = store.get([self.id])  # it may have been committed since the first look
        if remark is not None and not found:
            raise BadState(f"job {self.id} ({self.task}) {remark}")
        return found

    def _found(self, record: JobRecord) -> None:
        self._record = record
        self._uncommitted = None
        self._id, self._state = record.id, record.state
        self._created, self._scheduled = record.created_at, record.scheduled_at
        self._new = None

    def _wait_on(self, deadline: Deadline) -> None:
        """Wait for the end of what takes longer, on a connection that is told of changes."""
        with self._connection.waiter() as store:
            if store is None:
                self._poll(deadline)
                return
            store.changed()
            self._take(store.get([self.id]))
            for _ in deadline.looks():
                store.wait(deadline.left(_HINT_WAIT))
                self._take(store.get([self.id]))
                if not deadline.ended():
                    # A busy store hints all the time; this bounds what that costs.
                    time.sleep(deadline.left(_HINTED))

    def _poll(self, deadline: Deadline, until: float = math.inf) -> None:
        for pause in deadline.looks(until):
            time.sleep(pause)
            self.refresh()

    def _value(self) -> R_co:
        record = self._record if self._record is not None else self.refresh()._record
        assert record is not None
        if record.state != "succeeded":
            raise ending(record)
        if record.result is None:
            why = record.reason or "succeeded, but its result is not stored, or not any more."
            raise ResultGone(f"job {record.id} ({record.task}) {why}")
        annotation = Any if self._fn is None else result_annotation(self._fn)
        return self._codec.decode_value(record.result, annotation)  # type: ignore[no-any-return]


def not_found(job_id: str, connection: Connection) -> JobNotFound:
    """Return the error for an id that is not stored."""
    return JobNotFound(
        f"no job {job_id!r} in {connection.describe()}: never stored there, or deleted, or pruned after its end.\n"
        "  To see what is there:  packhorse jobs list"
    )
