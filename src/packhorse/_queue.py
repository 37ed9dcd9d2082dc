"""The producer's side: a named queue, on which calls become jobs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar, Unpack, overload

from . import _bulk, _runtime
from ._by import caller
from ._codec import PLAIN
from ._commanding import Commanding
from ._draft import Draft, Plan, Target
from ._durations import Duration
from ._finding import Counts, Jobs, counts_of, find, one, pause_end
from ._host_queue import PREFIX, queue_here
from ._identity import flatten
from ._job import Job
from ._names import queue_name
from ._options import NONE, JobOptions, Options, check, extend
from ._runtime import Connection, Source
from ._scheduling import Scheduling
from ._signals import Cancel, Retry, Snooze

if TYPE_CHECKING:
    from ._app import App
    from ._within import Transaction

P = ParamSpec("P")
R = TypeVar("R")


class Queue(Commanding, Scheduling):
    """A named line of jobs, and the way to put jobs on it.

    ``name`` is 1 to 200 letters, digits or ``_ . : -``. ``app`` gives middleware, types, defaults and the store;
    ``store`` is a URL of its own (``sqlite:///jobs.db``), else the App's, else ``PACKHORSE_URL``, else the config file's, else a
    ``packhorse.db`` that is one already. The remaining keywords are job options that hold for every job of this object unless
    ``using`` or ``@task`` say otherwise.

    A ``Queue`` is cheap and does not change; it opens nothing and reads no environment before its first use, and may be used
    from any thread, and after a fork. Raises ``BadName`` and ``BadOption``.
    """

    __slots__ = ("_app", "_defaults", "_name", "_plans", "_source", "_targets", "_transaction", "_using")

    def __init__(
        self, name: str = "default", *, app: App | None = None, store: str | None = None, **defaults: Unpack[JobOptions]
    ) -> None:
        self._name = queue_name(name, "Queue")
        self._app = app
        self._source = Source(store) if app is None else Source(store, app.store, app.namespace)
        self._defaults = check(defaults, f"Queue({name!r})", "Queue")
        self._using: Options = NONE
        self._transaction: Transaction | None = None
        self._plans: dict[object, Plan] = {}
        #: Shared with all that ``using`` makes of this queue, which live for one call most often.
        self._targets: dict[object, Target] = {}

    @classmethod
    def here(
        cls, prefix: str = PREFIX, *, app: App | None = None, store: str | None = None, **defaults: Unpack[JobOptions]
    ) -> Self:
        """Return the queue of the host where this is called: ``Queue.here().enqueue(f)`` in a job, and that job runs on the same
        host.

        Its name is ``prefix`` and the host's name up to the first dot; ``packhorse worker -q 'host.%h'`` serves it. The rest is
        as with ``Queue``. Called where a module is imported it means the host that imports it.
        """
        return cls(queue_here(prefix, "Queue.here"), app=app, store=store, **defaults)

    @property
    def name(self) -> str:
        """Return the name."""
        return self._name

    def using(self, **options: Unpack[JobOptions]) -> Self:
        """Return the same queue with options for the jobs enqueued through it: ``q.using(delay="5m").enqueue(f)``.

        Given twice, the later one holds. Raises ``BadOption``, ``BadName`` or ``NaiveTime``.
        """
        return self._with(extend(self._using, check(options, f"{self._name}.using", "using")))

    def within(self, transaction: object, /, *, outbox: bool = False, after_commit: bool = False) -> Self:
        """Return the same queue for jobs that become visible when the caller's transaction commits, and not at all if it is
        rolled back: ``mail.within(session).enqueue(f)``.

        ``transaction`` is what the caller works with. For ``enqueue`` and ``enqueue_many``: a sqlite3 or psycopg connection, a
        SQLAlchemy ``Session`` or ``Connection``, a Django connection or its alias, Zope's ``transaction.manager``. For
        ``aenqueue`` and ``aenqueue_many``: a psycopg ``AsyncConnection``, a SQLAlchemy ``AsyncSession`` or ``AsyncConnection``.
        It must be open, not in autocommit mode, and of the job store's own database. Nothing here commits or rolls back.

        ``outbox=True``, for a store that is another database: the job is written into the table ``packhorse_outbox`` of the
        caller's database, in the same transaction, and brought to the store by ``packhorse relay``. ``after_commit=True`` is
        weaker: the job is enqueued after the commit, by the library's own hook; if the process dies in between it is not.

        Until the commit, methods of the returned ``Job`` that need the store raise ``BadState``, "not committed yet"; after a
        rollback ``JobNotFound``. Raises ``WrongHandle`` at once for what is no such handle; ``enqueue`` raises it for one that is
        closed, in autocommit mode, failed or of the other colour, and ``WrongDatabase``.
        """
        from ._within import Transaction  # whoever does not use it does not load it

        other = self._with(self._using)
        other._transaction = Transaction(transaction, outbox=outbox, after_commit=after_commit)
        return other

    def _with(self, using: Options) -> Self:
        other = object.__new__(type(self))
        other._name = self._name
        other._app = self._app
        other._source = self._source
        other._defaults = self._defaults
        other._using = using
        other._transaction = self._transaction
        other._plans = {}
        other._targets = self._targets
        return other

    # -- one job ----------------------------------------------------------------------------------------------------
    @overload
    def enqueue(
        self, fn: Callable[P, Coroutine[Any, Any, R | Retry | Snooze | Cancel]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    def enqueue(self, fn: Callable[P, R | Retry | Snooze | Cancel], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    def enqueue(self, fn: str, /, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def enqueue(self, fn: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Store one call of ``fn`` as a job and return its handle. Once it returns, the job is stored durably.

        ``fn`` is a function of a module, a ``@task``, a ``functools.partial`` of one, or its name as text (``"tasks:add"``).
        Raises, and stores nothing: ``NotImportable`` (a worker could not find ``fn`` again), ``BadArguments``,
        ``NotSerialisable``, ``PayloadTooLarge``, ``IdConflict``, and ``StoreUnavailable`` after about 3 s without an
        answer. After ``EnqueueUnknown`` it may be stored: enqueue again with its ``job_id``.
        """
        return self._store_one(self._draft(fn, args, kwargs), caller())

    @overload
    def aenqueue(
        self, fn: Callable[P, Coroutine[Any, Any, R | Retry | Snooze | Cancel]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Job[R]]: ...
    @overload
    def aenqueue(
        self, fn: Callable[P, R | Retry | Snooze | Cancel], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Job[R]]: ...
    @overload
    def aenqueue(self, fn: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Job[Any]]: ...
    def aenqueue(self, fn: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Job[Any]]:
        """Do what ``enqueue`` does, to be awaited; the event loop is never blocked.

        The call is checked and encoded at once, so that later changes to the arguments do not count.
        """
        if fn.__class__ is str and ":" not in fn:
            return self._aenqueue_named(self._draft(fn, args, kwargs, ask=False), caller())
        draft, by = self._draft(fn, args, kwargs), caller()
        if self._transaction is not None:
            return self._astore_one(draft, by)
        return _runtime.aside(self._store_one, draft, by)

    # -- many jobs --------------------------------------------------------------------------------------------------
    @overload
    def draft(
        self, fn: Callable[P, Coroutine[Any, Any, R | Retry | Snooze | Cancel]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Draft[R]: ...
    @overload
    def draft(self, fn: Callable[P, R | Retry | Snooze | Cancel], /, *args: P.args, **kwargs: P.kwargs) -> Draft[R]: ...
    @overload
    def draft(self, fn: str, /, *args: Any, **kwargs: Any) -> Draft[Any]: ...
    def draft(self, fn: Any, /, *args: Any, **kwargs: Any) -> Draft[Any]:
        """Return a call that is checked and encoded, with the options of ``using``, and not stored yet.

        Raises what ``enqueue`` raises for a wrong call.
        """
        return self._draft(fn, args, kwargs)

    def enqueue_many(self, drafts: Iterable[Draft[R]], /, *, batch: int = 1000) -> list[Job[R]]:
        """Store many drafts, ``batch`` at a time, reading them lazily; each batch is stored wholly or not at all.

        Raises ``BatchFailed`` when reading a draft or storing a batch fails: ``stored`` jobs are in, the one at ``index``
        is not, and the cause is chained.
        """
        by = caller()
        found: list[Job[R]] = []
        for group in _bulk.batches(drafts, batch, self._source):
            found += self._store_batch(group, by)
        return found

    def aenqueue_many(self, drafts: Iterable[Draft[R]], /, *, batch: int = 1000) -> Coroutine[Any, Any, list[Job[R]]]:
        """Do what ``enqueue_many`` does, to be awaited. The drafts are read by the event loop, stored beside it."""
        return self._astore_all(drafts, batch, caller())

    async def _astore_all(self, drafts: Iterable[Draft[R]], batch: int, by: str) -> list[Job[R]]:
        found: list[Job[R]] = []
        for group in _bulk.batches(drafts, batch, self._source):
            found += await self._astore_batch(group, by)
        return found

    def enqueue_iter(
        self, drafts: Iterable[Draft[Any]], /, *, keep: int | None = None, batch: int = 1000
    ) -> Iterator[str]:
        """Store any number of drafts in constant memory and yield their ids; nothing happens until it is iterated.

        With ``keep``, never more than so many unstarted jobs are in this queue: it waits when they are, and goes on at half.
        Raises ``BatchFailed`` like ``enqueue_many``.
        """
        by, room = caller(), _bulk.Room(self._name, keep, batch)
        for group in _bulk.batches(drafts, room.batch, self._source):
            for pause in room.pauses(group):
                time.sleep(pause)
                room.look(self._connection)
            for job in self._store_batch(group, by):
                yield job.id

    async def aenqueue_iter(
        self, drafts: Iterable[Draft[Any]], /, *, keep: int | None = None, batch: int = 1000
    ) -> AsyncIterator[str]:
        """Do what ``enqueue_iter`` does, for ``async for``."""
        import asyncio

        by, room = caller(), _bulk.Room(self._name, keep, batch)
        for group in _bulk.batches(drafts, room.batch, self._source):
            for pause in room.pauses(group):
                await asyncio.sleep(pause)
                await _runtime.aside(room.look, self._connection)
            for job in await self._astore_batch(group, by):
                yield job.id

    # -- looking ----------------------------------------------------------------------------------------------------
    def job(self, job_id: str) -> Job[Any]:
        """Return a job by its id, or by the last 8 characters of it. Raises ``JobNotFound``, ``AmbiguousId``."""
        return one(self._connection, self._codec, job_id)

    def jobs(
        self,
        *,
        state: str | Sequence[str] | None = None,
        task: str | Callable[..., Any] | None = None,
        tag: str | None = None,
        flow: str | None = None,
        meta: dict[str, Any] | None = None,
        text: str | None = None,
        since: datetime | Duration | None = None,
        limit: int = 50,
        after: Job[Any] | int | None = None,
    ) -> Jobs:
        """Return this queue's jobs, newest first, all conditions holding.

        ``state`` is one or several; ``flow`` the id of a flow; ``tag``, ``meta`` (each key has this value) and ``text``
        (anywhere in the job) are looked for in a bounded scan; ``since`` is an aware datetime, or a duration before now.
        ``after`` continues below a job, or at the ``next`` of the list before.
        """
        return find(
            self._connection, self._codec, queue=self._name, state=state, task=task, tag=tag, flow=flow, meta=meta,
            text=text, since=since, limit=limit, after=after,
        )  # fmt: skip

    def counts(self) -> Counts:
        """Return the number of jobs by state, and the age of the oldest runnable one; cheap at any size."""
        return counts_of(self._connection, [self._name])[0]

    async def ajob(self, job_id: str) -> Job[Any]:
        """Do what ``job`` does."""
        return await _runtime.aside(lambda: self.job(job_id))

    async def ajobs(self, **conditions: Any) -> Jobs:
        """Do what ``jobs`` does, with the same conditions."""
        return await _runtime.aside(lambda: self.jobs(**conditions))

    async def acounts(self) -> Counts:
        """Do what ``counts`` does."""
        return await _runtime.aside(self.counts)

    # -- switches ---------------------------------------------------------------------------------------------------
    def pause(self, reason: str = "", *, until: datetime | Duration | None = None) -> bool:
        """Stop workers from starting jobs of this queue; jobs are still accepted. Returns False if it was paused already: then
        who, why and until when are replaced. It goes on by itself at ``until``, an aware datetime or a duration from now."""
        from ._by import person

        with self._connection as store:
            return store.pause(self._name, by=person(), reason=reason, **pause_end(until))

    def resume(self) -> bool:
        """Undo ``pause``. Returns False if it was not paused."""
        with self._connection as store:
            return store.resume(self._name)

    async def apause(self, reason: str = "", *, until: datetime | Duration | None = None) -> bool:
        """Do what ``pause`` does."""
        return await _runtime.aside(lambda: self.pause(reason, until=until))

    async def aresume(self) -> bool:
        """Do what ``resume`` does."""
        return await _runtime.aside(self.resume)

    # -- what it is not ---------------------------------------------------------------------------------------------
    def __len__(self) -> NoReturn:
        """Refuse: a queue has no length without asking the store."""
        raise TypeError(f"a Queue has no length: Queue({self._name!r}).counts() asks the store.")

    def __bool__(self) -> NoReturn:
        """Refuse: it is never clear what an empty queue would mean."""
        raise TypeError(f"a Queue is neither true nor false: compare with None, or ask Queue({self._name!r}).counts().")

    def __iter__(self) -> NoReturn:
        """Refuse: a queue may hold millions of jobs."""
        raise TypeError(f"a Queue cannot be iterated: Queue({self._name!r}).jobs() returns the newest ones.")

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Queue {self._name}>"

    # -- steps ------------------------------------------------------------------------------------------------------
    @property
    def _connection(self) -> Connection:
        return _runtime.connection(self._source)

    @property
    def _codec(self) -> Any:
        return PLAIN if self._app is None else self._app.codec

    def _draft(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, ask: bool = True) -> Draft[Any]:
        if isinstance(fn, partial):
            fn, args, kwargs = flatten(fn, args, kwargs)
        try:
            plan = self._plans.get(fn)
        except TypeError:  # unhashable, so surely no function
            plan = None
        if plan is None or not plan.target.holds():
            if fn.__class__ is str and ":" not in fn:
                draft = self._commanded(fn, args, kwargs, ask=ask)
                if draft is not None:
                    return draft
            plan = self._plans[fn] = self._plan_of(self._target(fn))
        return Draft(plan, plan.encode(args, kwargs), args, kwargs)

    def _plan_of(self, target: Target) -> Plan:
        return Plan(
            target,
            queue=self._name,
            source=self._source,
            codec=self._codec,
            levels=(self._using, self._defaults, NONE if self._app is None else self._app.options),
            around=() if self._app is None else self._app.around_enqueue,
        )

    def _target(self, fn: Any) -> Target:
        try:
            target = self._targets.get(fn)
        except TypeError:
            target = None
        if target is None or not target.holds():
            target = Target(fn)
            self._targets[fn] = target
        return target

    def _store_one(self, draft: Draft[Any], by: str) -> Job[Any]:
        return self._store((draft,), by)[0]

    def _store_batch(self, group: _bulk.Batch, by: str) -> list[Job[Any]]:
        try:
            return self._store(group.drafts, by)
        except Exception as error:
            raise group.failed(error) from error

    def _store(self, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        around = self._app.around_enqueue if self._app is not None else ()
        if not around:
            return self._put(drafts, by)
        return _bulk.put_within(around, self._put, drafts, by)

    def _put(self, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        if self._transaction is None:
            return _bulk.put(self._connection, drafts, by)
        self._transaction.must_be(is_async=False, verb="enqueue")
        return self._transaction.put(self._connection, drafts, by)

    # -- steps, awaited ---------------------------------------------------------------------------------------------
    async def _astore_one(self, draft: Draft[Any], by: str) -> Job[Any]:
        return (await self._astore((draft,), by))[0]

    async def _astore_batch(self, group: _bulk.Batch, by: str) -> list[Job[Any]]:
        if self._transaction is None:
            return await _runtime.aside(self._store_batch, group, by)
        try:
            return await self._astore(group.drafts, by)
        except Exception as error:
            raise group.failed(error) from error

    async def _astore(self, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
        """Store inside a transaction that is awaited: on the caller's own connection, in its own loop."""
        transaction = self._transaction
        assert transaction is not None
        transaction.must_be(is_async=True, verb="aenqueue")
        around = self._app.around_enqueue if self._app is not None else ()
        return await _bulk.aput_within(around, lambda: transaction.aput(self._connection, drafts, by), drafts)
