"""Running jobs of a memory store in place, in the thread of a test."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import _capture, _identity, _origin, _outcome, _runtime, _why
from ._app import App
from ._codec import PLAIN, Codec
from ._completing import async_handle, committed, sync_handle
from ._current import CurrentJob, Running, origin
from ._executor import Executor
from ._following import Followed
from ._ids import new_id
from ._job import Job
from ._options import NONE
from ._record import FINAL, Claimed, JobRecord, Report, Settled, Verdict, WorkerRecord
from ._registry import Runnable
from ._store import BATCH, JobFilter, Store
from .errors import BadState, JobFailed, NotImportable, PackhorseError

#: More than any test means: jobs that enqueue each other without end.
_MOST = 100_000


class _Witness:
    """Outermost middleware that remembers the exception itself, for the test to see: the verdict has it only as data."""

    seen: BaseException | None = None

    @contextmanager
    def around_job(self, job: CurrentJob) -> Iterator[None]:
        """Let everything pass."""
        try:
            yield
        except BaseException as error:
            self.seen = error
            raise


class _News:
    """Takes a run's progress and meta to the store at once."""

    def __init__(self, store: Store, worker: str, followed: Followed) -> None:
        self._store = store
        self._worker = worker
        self._followed = followed

    def progress(self, run: Running, bars: dict[str, Any]) -> None:
        """Report all bars."""
        self._store.report(self._worker, [Report(run.job.id, run.job.token, progress=json.dumps(bars))])

    def meta(self, run: Running, values: dict[str, Any]) -> None:
        """Report values to merge."""
        self._store.report(self._worker, [Report(run.job.id, run.job.token, meta=json.dumps(values))])

    def complete(self, run: Running, transaction: object, result: str | None, keep: float | None) -> None:
        """Make the job succeeded once the transaction is committed."""
        handle = sync_handle(transaction)
        self._followed.add(handle, handle.connect(), lambda: self._succeed(run, result, keep))

    async def acomplete(self, run: Running, transaction: object, result: str | None, keep: float | None) -> None:
        """Do the same in one that is awaited."""
        handle = async_handle(transaction)
        await self._followed.aadd(handle, await handle.aconnect(), lambda: self._succeed(run, result, keep))

    def _succeed(self, run: Running, result: str | None, keep: float | None) -> None:
        self._store.settle(self._worker, [_outcome.succeeded(run.job, result, keep=keep)])


class Runner:
    """A worker without processes, for one test."""

    def __init__(self, store: Store, app: App | None, followed: Followed) -> None:
        """Use the App's middleware, types and defaults, if there is one. ``followed`` knows of open transactions."""
        self._followed = followed
        self._store = store
        self.codec = app.codec if app is not None else PLAIN
        self._middleware = app.middleware if app is not None else ()
        options = app.options if app is not None else NONE
        self._known: dict[str, Runnable] = {}
        self._witness = _Witness()
        self._executor = Executor(self._find, self.codec, options, (self._witness, *self._middleware), look=store.get)
        self._worker = WorkerRecord(
            new_id(), "packhorse.testing", host="test", pid=os.getpid(), boot_id="", state="live"
        )
        self._news = _News(store, self._worker.id, followed)
        self._limits = app.limits if app is not None else {}
        self._claims = 0
        self._started = False

    # -- running ----------------------------------------------------------------------------------------------------
    def run_all(self, raises: bool) -> list[str]:
        """Run what can run until nothing can; return the ids in the order they ran."""
        self.start()
        done: list[str] = []
        while claimed := self._claim(None, 1):
            if len(done) >= _MOST:
                raise PackhorseError(f"{_MOST:,} jobs ran and there are still more: do they enqueue each other?")
            done.append(claimed[0].id)
            self._run(claimed[0], raises)
        return done

    def run_one(self, job_id: str, raises: bool) -> None:
        """Run one job now. Raises ``BadState`` if it has ended, runs, or something is in its way."""
        self.start()
        self._run(self._claim_one(job_id), raises)

    def handle(self, connection: _runtime.Connection, record: JobRecord) -> Job[Any]:
        """Return a handle whose result is rebuilt as the function's annotation says."""
        found = self._find(record.task)
        return Job(connection, self.codec, found.fn if found else None, record)

    def close(self) -> None:
        """Tell the middleware that this "child" ends."""
        if self._started:
            self._hook("child_stopping")

    def start(self) -> None:
        """Begin with the first run; let go what need not wait any more."""
        if not self._started:
            self._started = True
            self._store.register(self._worker)
            self._store.set_limits(self._limits, app="packhorse.testing")
            self._hook("child_started")
        self._store.expire()
        self._fire()
        self.admit()

    def _fire(self) -> None:
        """Make the jobs of the schedules that are due, as a worker does."""
        if self._store.schedules(0).schedules is not None:  # there are any
            from ._worker.firing import Firing

            firing = Firing("test")
            while firing.look(self._store, 0.0):
                pass

    def admit(self) -> None:
        """Let go what is due and what has nothing in its way."""
        self._store.promote()
        while self._store.admit().more:
            pass

    def _hook(self, name: str) -> None:
        for each in self._middleware:
            hook = getattr(each, name, None)
            if hook is not None:
                hook(self._worker)

    # -- claiming ---------------------------------------------------------------------------------------------------
    def _claim(self, queues: list[str] | None, free: int) -> list[Claimed]:
        self._claims += 1
        return self._store.claim(queues, free, 0, self._worker.id, self._claims, turn=self._claims).jobs

    def _claim_one(self, job_id: str) -> Claimed:
        """Claim a job wherever it stands in its queue: take what is before it, and put that back."""
        record = self._waiting(job_id)
        aside: list[Claimed] = []
        try:
            while claimed := self._claim([record.queue], BATCH):
                aside += claimed
                for job in claimed:
                    if job.id == job_id:
                        aside.remove(job)
                        return job
        finally:
            self._store.settle(self._worker.id, [_outcome.released(job) for job in aside])
        raise BadState(f"job {job_id} ({record.task}) cannot run: its queue '{record.queue}' is paused.")

    def _waiting(self, job_id: str) -> JobRecord:
        for record in self._store.get([job_id]):
            if record.state in ("scheduled", "retrying"):
                # Its time has come because the test says so.
                self._store.requeue(JobFilter(ids=(job_id,)), by="test")
                self.admit()
                (record,) = self._store.get([job_id])
            if record.state == "blocked":
                why = _why.explain(self._store, record).text
                raise BadState(f"job {job_id} ({record.task}) is blocked; it cannot be run: {why}")
            if record.state != "queued":
                raise BadState(f"job {job_id} ({record.task}) is {record.state}; it cannot be run.")
            return record
        raise PackhorseError(f"no job {job_id} in this test's store.")

    # -- one run ----------------------------------------------------------------------------------------------------
    def _run(self, job: Claimed, raises: bool) -> None:
        self._witness.seen = None
        self._store.report(self._worker.id, [Report(job.id, job.token, started=0.0)])
        began = time.monotonic()
        with _logging(), _as_parent():
            verdict = self._in_a_free_thread(job)
        ran = time.monotonic() - began
        self._followed.look()
        odd = self._store.settle(self._worker.id, [verdict._replace(started=ran)])
        if verdict.elsewhere:
            verdict = self._ended_elsewhere(job, verdict, odd)
        self.admit()
        if isinstance(self._witness.seen, KeyboardInterrupt):
            raise self._witness.seen
        if raises and verdict.state in ("failed", "blocked"):
            raise self._failure(job, verdict)

    def _ended_elsewhere(self, job: Claimed, verdict: Verdict, odd: list[Settled]) -> Verdict:
        """Return how a run ended that called ``complete_in``, and let the middleware hear of it."""
        verdict = committed(verdict) if odd and odd[0].state == "succeeded" else verdict
        if verdict.state in FINAL:
            self._executor.after_elsewhere(job, verdict)
        return verdict

    def _in_a_free_thread(self, job: Claimed) -> Verdict:
        """Run here, unless an event loop runs in this thread: an ``async def`` needs a thread without one."""
        runnable = self._find(job.task)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run_and_close(job)
        if runnable is None or not runnable.is_async:
            return self._run_and_close(job)
        return _in_thread(lambda: self._run_and_close(job))

    def _run_and_close(self, job: Claimed) -> Verdict:
        try:
            return self._executor.run(job, self._news)
        finally:
            self._executor.close()

    def _failure(self, job: Claimed, verdict: Verdict) -> BaseException:
        if verdict.state == "blocked":
            return NotImportable(f"no function is known as '{job.task}', so no worker could run job {job.id}.")
        error = self._witness.seen
        if error is None:
            data = json.loads(verdict.error) if verdict.error else {}
            return JobFailed(f"job {job.id} ({job.task}) failed: {verdict.reason or data.get('message', '')}", data)
        error.add_note(f"raised by job {job.id}, {job.task}, run by packhorse.testing")
        return error

    # -- finding ----------------------------------------------------------------------------------------------------
    def _find(self, name: str) -> Runnable | None:
        """Return any function of that name: a test runs what it enqueued, whatever a worker would be given."""
        found = self._known.get(name)
        if found is None:
            target = _identity.declared(name)
            try:
                target = _identity.resolve(name) if target is None else target
            except (NotImportable, ModuleNotFoundError):
                return None
            found = self._known[name] = Runnable(name, target)  # type: ignore[arg-type]
        return found


@contextmanager
def _logging() -> Iterator[None]:
    """Keep log records with the job; prints are left to the test runner, which captures them."""
    handler = _capture.JobLogHandler(lambda run, text: None)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


@contextmanager
def _as_parent() -> Iterator[None]:
    """Let jobs that are enqueued by jobs record their parent."""
    with _origin.adopted(origin):
        yield


def _in_thread(call: Callable[[], Verdict]) -> Verdict:
    found: list[Verdict] = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: found.append(context.run(call)))
    thread.start()
    thread.join()
    return found[0]


# -- describing calls -----------------------------------------------------------------------------------------------------
def call_text(codec: Codec, task: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a call as text that is the same for equal calls, however the arguments were passed and stored."""
    if isinstance(task, str):
        return codec.encode_call(args, kwargs, task)
    fn = _identity.unwrap(task)
    try:
        bound = inspect.signature(fn).bind(*args, **kwargs)
        bound.apply_defaults()
        return codec.encode_call(bound.args, bound.kwargs, "the call", fn)
    except (TypeError, ValueError):
        # It does not fit, or a default is no data: then it is compared as it was passed.
        return codec.encode_call(args, kwargs, "the call", fn)


def described(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a call as people write it."""
    inside = [repr(each) for each in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{task}({', '.join(inside)})"
