"""The composition root: which store a queue means, and this process's connections to it.

Connections belong to (process, store): one each, with a lock around it, so that any thread may use it; they are left
behind by a fork. Nothing is opened, and no environment read, before the first use.
"""

from __future__ import annotations

import atexit
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from . import _settings
from ._ids import new_id
from ._record import Enqueued, NewJob
from ._settings import Settings
from ._store import Store
from .errors import EnqueueUnknown, NoStore, StoreError, StoreUnavailable

T = TypeVar("T")

#: An enqueue gives up after so many seconds.
PATIENCE = 3.0
#: Connections kept for the next one who waits.
_KEEP_IDLE = 2


class Source(NamedTuple):
    """What a queue knows of its store; the rest comes from the process, at the first use."""

    store: str | None = None  #: ``Queue(store=)``
    app_store: str | None = None  #: ``App(store=)``
    namespace: str | None = None  #: ``App(namespace=)``


class Connection:
    """One store of this process. ``with connection as store:`` gives it to one thread at a time.

    Whatever shows that the connection is broken drops it; the next use opens another.
    """

    __slots__ = ("_idle", "_lock", "_open", "_store", "run", "settings", "test")

    def __init__(self, settings: Settings, open_store: Callable[[], Store], *, test: bool = False) -> None:
        """Note how to open it. ``test``: jobs here run only when a test says so."""
        self.settings = settings
        self.test = test
        #: In a test that runs jobs as they are enqueued: called with their ids.
        self.run: Callable[[list[str]], None] | None = None
        self._open = open_store
        self._store: Store | None = None
        self._idle: list[Store] = []
        self._lock = RLock()

    def __enter__(self) -> Store:
        """Wait for the connection, at most as long as an enqueue may take, and open it if need be."""
        if not self._lock.acquire(timeout=PATIENCE):
            raise StoreUnavailable(f"{self.describe()}: this process's connection was in use for {PATIENCE:g} s.")
        if self._store is None:
            try:
                self._store = self._opened()
            except BaseException:
                self._lock.release()
                raise
        return self._store

    def _opened(self) -> Store:
        store = self._open()
        # A worker may wait long for a lock; who enqueues in a web request may not.
        if hasattr(store, "patience"):
            store.patience = PATIENCE
        return store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        if kind is not None and issubclass(kind, StoreUnavailable):
            self._drop()
        self._lock.release()

    def describe(self) -> str:
        """Return URL (secrets masked) and where it came from."""
        return f"{_settings.mask(self.settings.url)}  ({self.settings.source})"

    def has_waiter(self) -> bool:
        """Tell whether ``waiter`` would open nothing."""
        return bool(self._idle)

    @contextmanager
    def waiter(self) -> Iterator[Store | None]:
        """Give a connection of its own to who waits for a change; None where there is nothing to be had but looking again."""
        with self as store:
            useful = store.capabilities.processes and store.capabilities.hints
        if not useful:
            yield None
            return
        waiting = self._idle.pop() if self._idle else self._open()
        try:
            yield waiting
        except StoreUnavailable:
            waiting.close()
            raise
        except BaseException:
            self._keep(waiting)
            raise
        self._keep(waiting)

    def _keep(self, waiting: Store) -> None:
        if len(self._idle) < _KEEP_IDLE:
            self._idle.append(waiting)
        else:
            waiting.close()

    def close(self) -> None:
        """Close it; a later use opens it again. What another thread is using right now is left to it."""
        if not self._lock.acquire(timeout=1.0):
            return
        try:
            self._drop()
            while self._idle:
                self._idle.pop().close()
        finally:
            self._lock.release()

    def fresh(self) -> Connection:
        """Return the same with nothing open and a lock that nobody holds: for a process that was just forked."""
        other = Connection(self.settings, self._open, test=self.test)
        other.run = self.run
        return other

    def abandon(self) -> list[Store]:
        """After a fork: return what is open, untouched, since it belongs to the parent."""
        return [*self._idle, *([self._store] if self._store is not None else [])]

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


class Override(NamedTuple):
    """Where queues without a store of their own go, whatever the environment says."""

    connection: Connection


_guard = RLock()
_by_source: dict[Source, Connection] = {}
_by_place: dict[tuple[str, str], Connection] = {}
_override: Override | None = None
_parent: Callable[[], str | None] | None = None
#: Connections of the parent process: closing them here could disturb it, so they are kept and never touched.
_left_behind: list[Store] = []


def connection(source: Source) -> Connection:
    """Return this process's connection for a queue. Raises ``NoStore`` or ``ConfigError`` if there is none to be had."""
    return _by_source.get(source) or _connect(source)


def _connect(source: Source) -> Connection:
    with _guard:
        if source.store is None and _override is not None:
            found = _override.connection
        else:
            found = at(_settings.resolve(source.store, source.app_store, namespace=source.namespace))
        _by_source[source] = found
        return found


def at(settings: Settings) -> Connection:
    """Return this process's connection to the store of these settings."""
    key = (settings.url, settings.namespace)
    with _guard:
        found = _by_place.get(key)
        if found is None:
            found = _by_place[key] = Connection(settings, lambda: open_store(settings))
        return found


@contextmanager
def use(settings: Settings) -> Iterator[Store]:
    """Give this process's connection to the caller, alone, for one piece of work."""
    with at(settings) as store:
        yield store


def open_store(settings: Settings, *, create: bool | None = None) -> Store:
    """Open a connection of the caller's own, who closes it.

    ``create`` says whether a store that is not there yet is made; by default only where it was named and not guessed.
    Raises ``NoStore`` for a guess that turns out to be no Packhorse store.
    """
    from ._stores import open_store as opened

    if create is None:
        create = not settings.guessed
    try:
        return opened(settings.url, namespace=settings.namespace, clock=None, create=create)
    except StoreUnavailable:
        raise
    except StoreError as error:
        if settings.guessed:
            raise _not_ours(settings, error) from error
        raise type(error)(f"{_short(error)}\n  {_settings.mask(settings.url)}  ({settings.source})") from error


def _not_ours(settings: Settings, error: StoreError) -> NoStore:
    path = settings.source.removeprefix("found ")
    first = _settings.Candidate(path, "not used", _short(error), f"export PACKHORSE_URL={settings.url}")
    return _settings.no_store((first, *settings.candidates), os.path.dirname(path))


# -- enqueue ------------------------------------------------------------------------------------------------------------
def enqueue(where: Connection, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store jobs, all or none, trying again under the same ids for about 3 s when the store does not answer.

    Raises ``StoreUnavailable`` when nothing was stored, ``EnqueueUnknown`` when the last word is missing.
    """
    started = time.monotonic()
    try:
        with where as store:
            return store.enqueue(jobs)
    except StoreUnavailable as error:
        return _enqueue_again(where, jobs, error, started + PATIENCE)


def _enqueue_again(
    where: Connection, jobs: Sequence[NewJob], error: StoreUnavailable, give_up: float
) -> list[Enqueued]:
    unknown = isinstance(error, EnqueueUnknown)
    pause = 0.02
    while time.monotonic() + pause < give_up:
        time.sleep(pause * random.uniform(0.5, 1.0))
        try:
            with where as store:
                return store.enqueue(jobs)
        except StoreUnavailable as later:
            error, unknown = later, unknown or isinstance(later, EnqueueUnknown)
        pause = min(pause * 2, 0.5)
    raise (_unknown if unknown else _not_enqueued)(where, jobs, error) from error


def _not_enqueued(where: Connection, jobs: Sequence[NewJob], error: StoreUnavailable) -> StoreUnavailable:
    what = "the job was NOT enqueued" if len(jobs) == 1 else f"these {len(jobs)} jobs were NOT enqueued"
    return StoreUnavailable(
        f"cannot reach the job store, {what}.\n  {where.describe()}  →  {_short(error)}\n  {_remedy(where)}"
    )


def _unknown(where: Connection, jobs: Sequence[NewJob], error: StoreUnavailable) -> EnqueueUnknown:
    return EnqueueUnknown(
        f"the job store did not confirm: job {jobs[0].id} may or may not be stored.\n  {where.describe()}  →  {_short(error)}\n"
        f'  Enqueue it again with  using(id="{jobs[0].id}"): the same id is never stored twice.',
        jobs[0].id,
    )


def _short(error: StoreError) -> str:
    return str(error).removesuffix(f"  [{error.code}]").rstrip()


def _remedy(where: Connection) -> str:
    url = where.settings.url
    if not url.startswith("sqlite:"):
        return "Try again; nothing of it was stored."
    path = url.removeprefix("sqlite:///").partition("?")[0]
    return f"Try:  ls -l {path}     or another file:  PACKHORSE_URL=sqlite:///jobs.db"


# -- the process --------------------------------------------------------------------------------------------------------
def adopt(url: str, namespace: str) -> None:
    """Make this the store of every queue without one of its own: in a worker's child, whatever the environment says."""
    settings = Settings(url, "the worker's store", namespace, "the worker's namespace")
    _replace(Override(Connection(settings, lambda: open_store(settings))))


@contextmanager
def parents(parent: Callable[[], str | None]) -> Iterator[None]:
    """Do the same for the duration of a ``with``."""
    global _parent
    before, _parent = _parent, parent
    try:
        yield
    finally:
        _parent = before


def adopt_parent(parent: Callable[[], str | None]) -> None:
    """Let jobs enqueued here record what ``parent()`` returns, the id of the running job, as their parent."""
    global _parent
    _parent = parent


def parent() -> str | None:
    """Return the id of the job that runs here."""
    return _parent() if _parent is not None else None


def new_memory_store(clock: Callable[[], int]) -> Store:
    """Return a fresh memory store, which nobody else has, with a clock of its own."""
    from ._stores import open_store as opened

    return opened(f"memory://{new_id()}", namespace="default", clock=clock)


@contextmanager
def override(store: Store) -> Iterator[Connection]:
    """Send every queue without a store of its own to ``store``, for the duration of a test."""
    before, settings = _override, Settings(store.url, "packhorse.testing", store.namespace, "packhorse.testing")
    mine = Connection(settings, lambda: store, test=True)
    _replace(Override(mine))
    try:
        yield mine
    finally:
        _replace(before)


def _replace(new: Override | None) -> None:
    global _override
    with _guard:
        _override = new
        _by_source.clear()


def forget() -> None:
    """Close every connection and forget which store was meant: the next use looks again."""
    with _guard:
        for each in _by_place.values():
            each.close()
        _by_place.clear()
        _by_source.clear()


def _after_fork() -> None:
    global _guard, _override
    _guard = RLock()
    every = [*_by_place.values(), *([_override.connection] if _override else [])]
    _left_behind.extend(store for each in every for store in each.abandon())
    _by_place.clear()
    _by_source.clear()
    if _override is not None:
        _override = Override(_override.connection.fresh())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(forget)


# -- threads for callers with an event loop -----------------------------------------------------------------------------
_threads: tuple[int, Any] | None = None


async def aside(call: Callable[..., T], *args: Any) -> T:
    """Run a call in a thread of ours, so that the caller's event loop is never blocked.

    The loop's own threads are not used: they belong to the program, which may have them all busy.
    """
    import asyncio
    import contextvars

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool(), context.run, call, *args)


def _pool() -> Any:
    global _threads
    if _threads is None or _threads[0] != os.getpid():
        from concurrent.futures import ThreadPoolExecutor

        _threads = (os.getpid(), ThreadPoolExecutor(4, thread_name_prefix="packhorse"))
    return _threads[1]
