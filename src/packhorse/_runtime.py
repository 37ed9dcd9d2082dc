"""The composition root: which store a queue means, and this process's connections to it.

Connections belong to (process, store): one each, with a lock around it, so that any thread may use it; they are left
behind by a fork. Nothing is opened, and no environment read, before the first use.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from . import _settings
from ._aside import aside as aside
from ._enqueuing import PATIENCE, described, plain, sourced
from ._enqueuing import enqueue as enqueue
from ._enqueuing import unreachable as unreachable
from ._guessing import Candidate, Finding, no_store
from ._ids import new_id
from ._inside import Inside
from ._settings import Settings
from ._store import Store
from ._url import hurried, kind_of
from .errors import BadSchema, PackhorseError, SchemaGone, StoreError, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from ._handles import Handle
    from ._handles.drivers import Raw
    from ._handles.handle import Waits
    from ._record import JobRecord

T = TypeVar("T")

#: The hooks of an App's middleware around an enqueue, outermost first; they are given the draft.
Around = Sequence[Callable[[Any], AbstractContextManager[Any]]]

_log = logging.getLogger("packhorse.store")

#: Connections kept for the next one who waits.
_KEEP_IDLE = 2
#: A place that is only guessed to be the store has so many seconds to answer.
_PROBE = 1.0


class Source(NamedTuple):
    """What a queue knows of its store; the rest comes from the process, at the first use."""

    store: str | None = None  #: ``Queue(store=)``
    app_store: str | None = None  #: ``App(store=)``
    namespace: str | None = None  #: ``App(namespace=)``


class Follower(Protocol):
    """What, in a test, waits for the ends of the transactions in which something was done for a store in memory."""

    def look(self) -> None:
        """Do what was to be done in transactions that are committed by now; forget what was rolled back."""

    def add(self, handle: Handle, raw: Raw, act: Callable[[], Any]) -> Waits:
        """Do ``act`` once the transaction is committed; the answer tells whether that may still happen."""

    async def aadd(self, handle: Handle, raw: Raw, act: Callable[[], Any]) -> Waits:
        """Do the same on a connection that is awaited."""


class Connection:
    """One store of this process. ``with connection as store:`` gives it to one thread at a time.

    Whatever shows that the connection is broken drops it; the next use opens another.
    """

    __slots__ = ("_idle", "_inside", "_lock", "_open", "_store", "failed", "follow", "run", "settings", "test")

    def __init__(self, settings: Settings, open_store: Callable[[], Store], *, test: bool = False) -> None:
        """Note how to open it. ``test``: jobs here run only when a test says so."""
        self.settings = settings
        self.test = test
        #: In a test that runs jobs as they are enqueued: called with their ids.
        self.run: Callable[[list[str]], None] | None = None
        #: In a test: what looks after transactions that jobs were enqueued in; looked at before each use.
        self.follow: Follower | None = None
        self._inside: tuple[Inside | None, str | None] | None = None
        self._open = open_store
        self._store: Store | None = None
        self._idle: list[Store] = []
        self._lock = RLock()
        self.failed: tuple[float, StoreUnavailable] | None = None  #: when it last did not answer, and how that was said

    def __enter__(self) -> Store:
        """Wait for the connection, at most as long as an enqueue may take, and open it if need be."""
        if not self._lock.acquire(timeout=PATIENCE):
            raise StoreUnavailable(f"{self.describe()}: this process's connection was in use for {PATIENCE:g} s.")
        if self._store is None:
            try:
                self._store = self._opened()
            except BaseException as error:
                if isinstance(error, StoreUnavailable):
                    self.failed = time.monotonic(), error
                self._lock.release()
                raise
        if self.follow is not None:
            self.follow.look()
        return self._store

    def inside(self) -> tuple[Inside | None, str | None]:
        """Return what the store does inside a caller's transaction, and the dialect it needs; opened at the first time."""
        if self._inside is None:
            with self as store:
                self._inside = store.inside, store.capabilities.dialect
        return self._inside

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
        if isinstance(error, StoreUnavailable):
            self.failed = time.monotonic(), error
        if isinstance(error, _BROKEN):
            self._drop()
        self._lock.release()

    def describe(self) -> str:
        """Return URL (secrets masked) and where it came from."""
        return described(self.settings)

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
        other.run, other.follow = self.run, self.follow
        return other

    def abandon(self) -> list[Store]:
        """After a fork: return what is open, untouched, since it belongs to the parent."""
        return [*self._idle, *([self._store] if self._store is not None else [])]

    def _drop(self) -> None:
        store, self._store, self._inside = self._store, None, None
        if store is not None:
            store.close()


#: After these a connection is not used again: the next one finds what has become of the store.
_BROKEN = (StoreUnavailable, StoreRefused, SchemaGone)


class Override(NamedTuple):
    """Where queues without a store of their own go, whatever the environment says."""

    connection: Connection


_guard = RLock()
_by_source: dict[Source, Connection] = {}
_by_place: dict[tuple[str, str], Connection] = {}
_override: Override | None = None
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
            found = at(resolve(source.store, source.app_store, namespace=source.namespace))
        _by_source[source] = found
        return found


def resolve(store: str | None = None, app_store: str | None = None, *, namespace: str | None = None) -> Settings:
    """Find the store and the namespace, as ``_settings.resolve`` does; where several might be meant, look which is ours."""
    found = _settings.resolve(store, app_store, namespace=namespace, probe=probe)
    if found.guessed:
        _log.info("using the job store %s", described(found))
    return found


def probe(place: Settings) -> Finding:
    """Look whether a Packhorse store stands at a place that might be meant. Nothing is made, and the wait is short."""
    from ._stores import open_store as opened

    try:
        store = opened(hurried(place.url, _PROBE), namespace=place.namespace, create=False)
    except BadSchema as error:
        return Finding(error.found > 0, plain(error))
    except PackhorseError as error:
        return Finding(False, f"cannot be used: {plain(error)}")
    try:
        store.workers()  # tables that are not there are missed here at the latest
    except PackhorseError as error:
        return Finding(False, plain(error))
    finally:
        store.close()
    return Finding(True, "is a job store")


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
        store = opened(settings.url, namespace=settings.namespace, clock=None, create=create)
        if settings.guessed and not store.instance:
            _refused_empty(store)
        return store
    except StoreUnavailable as error:
        if settings.guessed and kind_of(settings.url) == "SQLite":
            raise _not_ours(settings, error) from error
        raise
    except StoreError as error:
        if settings.guessed:
            raise _not_ours(settings, error) from error
        raise sourced(error, settings) from error


def prepare(settings: Settings) -> None:
    """Import what this store needs, before it is opened; what is wrong with it is for ``open_store`` to say."""
    from ._stores import prepare as imported

    with suppress(PackhorseError, ImportError):
        imported(settings.url)


def _refused_empty(store: Store) -> None:
    """Have a database without our tables say what it lacks."""
    try:
        store.workers()
    except StoreError:
        store.close()
        raise


def _not_ours(settings: Settings, error: StoreError) -> PackhorseError:
    """Return what to say of a guess that cannot be used: it is no store of ours, or it is and something is wrong with it."""
    if isinstance(error, BadSchema) and error.found:
        return sourced(error, settings)
    places = [place._replace(remark=plain(error)) if _is(place, settings) else place for place in settings.candidates]
    return no_store(places, os.getcwd())


def _is(place: Candidate, settings: Settings) -> bool:
    return settings.source.endswith(place.source)


# -- the process --------------------------------------------------------------------------------------------------------
def adopt(url: str, namespace: str) -> None:
    """Make this the store of every queue without one of its own: in a worker's child, whatever the environment says."""
    settings = Settings(url, "the worker's store", namespace, "the worker's namespace")
    _replace(Override(Connection(settings, lambda: open_store(settings))))


def here() -> Connection:
    """Return the connection to the store of the job that runs here."""
    assert _override is not None
    return _override.connection


def records(ids: Sequence[str]) -> Sequence[JobRecord]:
    """Return jobs of that store; those that are not stored are left out."""
    with here() as store:
        return store.get(ids)


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
