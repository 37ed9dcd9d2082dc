"""The job that is running here: ``current_job()``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ._record import Claimed

if TYPE_CHECKING:
    from ._codec import Codec
    from ._parents import Parent

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Sink(Protocol):
    """Where a running job's news goes."""

    def progress(self, run: Running, bars: dict[str, Any]) -> None:
        """Tell the progress so far, all bars."""

    def meta(self, run: Running, values: dict[str, Any]) -> None:
        """Tell values to merge into the job's meta."""

    def complete(self, run: Running, transaction: object, result: str | None, keep: float | None) -> None:
        """Make the job succeeded in a transaction of the user's own."""

    async def acomplete(self, run: Running, transaction: object, result: str | None, keep: float | None) -> None:
        """Do the same in one that is awaited."""


class Encoder(Protocol):
    """Turns a result into what is stored."""

    codec: Codec

    def encoded(self, value: object) -> tuple[str | None, float | None]:
        """Return JSON text, and for how many seconds it is kept (None: as long as the job)."""


class Running:
    """One run in this process; cheap to make, since most jobs never ask for it."""

    __slots__ = ("bars", "elsewhere", "encoder", "job", "log", "meta", "retries", "sink", "stop", "view")

    def __init__(self, job: Claimed, retries: int, sink: Sink | None, encoder: Encoder | None = None) -> None:
        """Note the job; everything else is made when it is asked for."""
        self.job = job
        self.retries = retries
        self.sink = sink
        self.encoder = encoder
        self.elsewhere = False  #: it has ended itself, in a transaction of the user's own
        self.stop = ""  #: why it should stop: "timeout", "cancelled", "shutdown"
        self.bars: dict[str, Any] | None = None
        self.meta: dict[str, Any] | None = None
        self.log: Any = None  #: the tail of its output, made at the first line
        self.view: CurrentJob | None = None


_context: ContextVar[Running | None] = ContextVar("packhorse_running", default=None)
#: In a child with one slot there is one running job in the whole process, so that threads the job starts see it too.
#: It becomes a ``Running`` when somebody looks: most jobs never do.
_only: Running | None = None
_only_parts: tuple[Claimed, int, Sink | None, Encoder] | None = None


def enter_only(parts: tuple[Claimed, int, Sink | None, Encoder] | None) -> None:
    """Set the job of a one-slot process (job, retries, sink, encoder), or None."""
    global _only, _only_parts
    _only = None
    _only_parts = parts


def leave_only() -> Running | None:
    """End the job of a one-slot process; return its ``Running`` if anybody looked."""
    global _only, _only_parts
    run, _only, _only_parts = _only, None, None
    return run


enter_context = _context.set
leave_context = _context.reset


def running() -> Running | None:
    """Return the run this thread or coroutine is part of."""
    global _only
    run = _context.get() or _only
    if run is None and _only_parts is not None:
        run = _only = Running(*_only_parts)
    return run


def looked_at() -> Running | None:
    """Return the same if anybody has looked at it."""
    return _context.get() or _only


def ended_elsewhere() -> bool:
    """Tell whether the run has ended itself, in a transaction of the user's own."""
    run = _context.get() or _only
    return run is not None and run.elsewhere


def origin() -> tuple[str | None, str | None]:
    """Return the id of the running job, the parent of what it enqueues, and its flow, which that joins."""
    run = running()
    return (run.job.id, run.job.flow) if run is not None else (None, None)


class CurrentJob:
    """The running job as its own code sees it; outside a job an inert stand-in with ``stored=False``.

    ``attempt`` counts runs from 1 (snoozes and releases do not count), ``attempts_left`` the retries that remain after this
    one. ``should_stop`` turns true when the job was cancelled, its time is over or the worker must go. ``fence`` grows
    with every run of the job: give it to an outside resource that can refuse older ones. ``meta`` is read-only;
    ``update_meta`` writes. Lines of ``logger`` are kept with the job.
    """

    __slots__ = ("_run",)

    def __init__(self, run: Running | None = None) -> None:
        self._run = run

    @property
    def stored(self) -> bool:
        """Tell whether this is a stored job, and not the stand-in."""
        return self._run is not None

    @property
    def id(self) -> str:
        """Return the job's id; empty outside a job."""
        return self._run.job.id if self._run else ""

    @property
    def task(self) -> str:
        """Return the name of the job's task; empty outside a job."""
        return self._run.job.task if self._run else ""

    @property
    def queue(self) -> str:
        """Return the name of the job's queue; empty outside a job."""
        return self._run.job.queue if self._run else ""

    @property
    def flow(self) -> str | None:
        """Return the id of the flow the job belongs to, which what it enqueues joins."""
        return self._run.job.flow if self._run else None

    @property
    def attempt(self) -> int:
        """Return the number of this run, from 1."""
        if self._run is None:
            return 1
        job = self._run.job
        return 1 + job.failures + job.crashes + job.losses

    @property
    def attempts_left(self) -> int:
        """Return how many retries remain should this run fail."""
        return max(0, self._run.retries - self._run.job.failures) if self._run else 0

    @property
    def last_error(self) -> Mapping[str, Any] | None:
        """Return the error of the attempt before, as data (``type``, ``message``, ``traceback`` …), or None."""
        if self._run is None or self._run.job.error is None:
            return None
        error: Mapping[str, Any] = json.loads(self._run.job.error)
        return error

    @property
    def should_stop(self) -> bool:
        """Tell whether the job has been asked to end."""
        return bool(self._run and self._run.stop)

    @property
    def fence(self) -> int:
        """Return a number larger than in every earlier run of this job."""
        return self._run.job.fence if self._run else 0

    @property
    def meta(self) -> Mapping[str, Any]:
        """Return the job's meta, with what this run has added."""
        return MappingProxyType(self._meta()) if self._run else _NOTHING

    @property
    def logger(self) -> logging.Logger:
        """Return the task's logger; its lines are kept with the job."""
        name = self._run.job.task.replace(":", ".") if self._run else "none"
        return logging.getLogger(f"packhorse.task.{name}")

    def update_meta(self, **values: Any) -> None:
        """Merge JSON values into the job's meta. They survive the attempt: a checkpoint for the next one.

        Raises ``NotSerialisable`` for a value that is not plain JSON data.
        """
        from ._codec import Codec

        Codec().encode_value(values, "update_meta")
        if self._run is None:
            return
        self._meta().update(values)
        if self._run.sink is not None:
            self._run.sink.meta(self._run, values)

    def progress(self, done: float, total: float = 1.0, note: str = "", *, name: str = "") -> None:
        """Tell how far the job is: ``progress(0.4)``, ``progress(40, 100, "page 12")``; ``name`` for several bars."""
        if self._run is None:
            return
        if self._run.bars is None:
            self._run.bars = {}
        self._run.bars[name] = {"done": float(done), "total": float(total), "note": str(note)[:500]}
        if self._run.sink is not None:
            self._run.sink.progress(self._run, self._run.bars)

    def parents(self) -> Iterator[Parent]:
        """Yield the jobs this one has waited for, each as (job, outcome, result), while the store is read page by page.

        First those named in ``after``, in that order, then the members of the flow it waited for, newest first. ``outcome`` is
        "succeeded", "failed" or "cancelled"; ``result`` what the job returned, None if there is none. What was deleted
        meanwhile is left out. Outside a job there are none.
        """
        if self._run is None:
            return iter(())
        # By name, since what looks at jobs stands above what runs them.
        found: Iterator[Parent] = import_module("packhorse._parents").parents_of(self._run)
        return found

    def complete_in(self, transaction: object, result: Any = None) -> None:
        """Make this job ``succeeded`` with ``result`` at the very moment that the caller's transaction commits.

        ``transaction`` is what ``Queue.within`` takes, of the job store's own database. Call it last, commit, and return: what is
        returned does not count any more. If the transaction is not committed, the run counts as failed, "the transaction was not
        committed", and is retried as the task says. Outside a job it does nothing.

        Raises ``WrongHandle``, ``WrongDatabase``, ``NotSerialisable`` for the result, and ``BadState`` if the job was cancelled
        or given to another run meanwhile: then roll back.
        """
        run = self._run
        if run is not None and run.sink is not None and run.encoder is not None:
            text, keep = run.encoder.encoded(result)
            run.sink.complete(run, transaction, text, keep)
            run.elsewhere = True

    async def acomplete_in(self, transaction: object, result: Any = None) -> None:
        """Do what ``complete_in`` does, with a handle that is awaited."""
        run = self._run
        if run is not None and run.sink is not None and run.encoder is not None:
            text, keep = run.encoder.encoded(result)
            await run.sink.acomplete(run, transaction, text, keep)
            run.elsewhere = True

    def _meta(self) -> dict[str, Any]:
        run = self._run
        assert run is not None
        if run.meta is None:
            run.meta = json.loads(run.job.meta) if run.job.meta else {}
        return run.meta

    def __repr__(self) -> str:
        """Name the job."""
        return f"<CurrentJob {self.id or 'none'}>"


_OUTSIDE = CurrentJob()


def current_job() -> CurrentJob:
    """Return the job that is running here, or an inert stand-in (``stored=False``) outside a job."""
    run = running()
    if run is None:
        return _OUTSIDE
    if run.view is None:
        run.view = CurrentJob(run)
    return run.view
