"""Tests of code that enqueues: a store in memory, and jobs that run in place when the test says so.

::

    def test_signup(client):
        with packhorse.testing.memory() as store:
            client.post("/signup", data={"mail": "ada@example.org"})
            store.assert_enqueued(send_mail, "ada@example.org", queue="mail")
            store.run()
        assert outbox == ["ada@example.org"]

Arguments and results go through the codec as they do in a worker, so that what could not be stored fails here too. With
pytest the fixture ``jobs`` is this object; ``JobsMixin`` gives it to ``unittest``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _runtime
from ._durations import Duration, seconds
from ._following import Followed
from ._identity import task_name
from ._inplace import Runner, call_text, described
from ._job import Job
from ._option_checks import micros
from ._store import JobFilter

if TYPE_CHECKING:
    from ._app import App

__all__ = ["JobsMixin", "Kit", "memory"]

R = TypeVar("R")


class Kit:
    """The store of one test, and the hand that runs its jobs. Made by ``memory()``."""

    def __init__(self, app: App | None = None, *, eager: bool = False, raises: bool = True) -> None:
        """See ``memory``."""
        self._ahead = 0
        self._store = _runtime.new_memory_store(self._clock)
        self._raises = raises
        self._eager = eager
        #: With ``eager``: enqueued and not run yet, since something was in the way.
        self._unrun: list[str] = []
        self._followed = Followed()
        self._runner = Runner(self._store, app, self._followed)
        self._connection: _runtime.Connection | None = None

    @contextmanager
    def active(self) -> Iterator[Kit]:
        """Take the place of every queue's store for the duration of the ``with``."""
        with _runtime.override(self._store) as connection:
            self._connection = connection
            connection.follow = self._followed
            if self._eager:
                connection.run = self._run_new
            try:
                yield self
            finally:
                self._runner.close()

    # -- running ----------------------------------------------------------------------------------------------------
    @overload
    def run(self) -> list[Job[Any]]: ...
    @overload
    def run(self, job: Job[R]) -> Job[R]: ...
    def run(self, job: Job[Any] | None = None) -> list[Job[Any]] | Job[Any]:
        """Run all jobs that can run now, and those they enqueue, in this thread; return them in the order they ran.

        Schedules that are due make their jobs first. What waits for a parent, a flow, a name or a limit (``app`` declares them)
        is let go as by a worker. With a job, run this one, whatever its time, and return it; ``BadState`` if something else is
        in its way. If one ends ``failed``, its own exception is raised, unless ``memory(raises=False)``; what had not run by
        then still waits. Time limits are not enforced.
        """
        self._followed.look()
        if job is not None:
            self._runner.run_one(job.id, self._raises)
            return job.refresh()
        return [self._handle(job_id) for job_id in self._runner.run_all(self._raises)]

    def travel(self, time: Duration | datetime) -> None:
        """Move the store's clock on, by a duration or to an aware datetime in its future; nothing is run by it."""
        if isinstance(time, datetime):
            ahead = (micros(time, "travel()") - self._clock()) / 1_000_000
        else:
            ahead = seconds(time, "travel()")
        if ahead < 0:
            raise ValueError("travel() goes forward only")
        self._ahead += round(ahead * 1_000_000)

    @property
    def now(self) -> datetime:
        """Return the store's time."""
        return datetime.fromtimestamp(self._clock() / 1_000_000, UTC)

    # -- looking ----------------------------------------------------------------------------------------------------
    @property
    def jobs(self) -> list[Job[Any]]:
        """Return all jobs, in the order they were enqueued."""
        self._followed.look()
        page = self._store.find(JobFilter(), 1_000_000)
        return [self._runner.handle(self._where, record) for record in reversed(page.jobs)]

    def assert_enqueued(
        self, task: Callable[..., Any] | str, *args: Any, queue: str | None = None, **kwargs: Any
    ) -> Job[Any]:
        """Assert that such a job was enqueued, run or not, and return the newest one.

        With arguments they must be the ones it was called with, however they were passed; without any, every call counts.
        """
        __tracebackhide__ = True  # pytest then points at the line of the test
        name = task if isinstance(task, str) else task_name(task)
        wanted = self._call(task, args, kwargs) if args or kwargs else None
        every = self.jobs
        for job in every[::-1]:
            there = job.task == name and queue in (None, job.queue)
            if there and wanted in (None, self._call(task, job.args, job.kwargs)):
                return job
        asked = name if wanted is None else described(name, args, kwargs)
        others = "\n".join(f"  {described(job.task, job.args, job.kwargs)} in '{job.queue}'" for job in every)
        place = f" in queue '{queue}'" if queue else ""
        raise AssertionError(f"no job {asked} was enqueued{place}; there are:\n{others or '  none'}")

    # -- steps ------------------------------------------------------------------------------------------------------
    @property
    def _where(self) -> _runtime.Connection:
        if self._connection is None:
            raise RuntimeError("the testing store is used inside  with packhorse.testing.memory() as store:")
        return self._connection

    def _clock(self) -> int:
        return time.time_ns() // 1000 + self._ahead

    def _call(self, task: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return call_text(self._runner.codec, task, args, kwargs)

    def _handle(self, job_id: str) -> Job[Any]:
        return self._runner.handle(self._where, self._store.get([job_id])[0])

    def _run_new(self, ids: list[str]) -> None:
        """Run what was just enqueued, and what it lets go that had to wait when it was enqueued."""
        self._unrun += ids
        while (job_id := self._next()) is not None:
            self._runner.run_one(job_id, self._raises)

    def _next(self) -> str | None:
        self._runner.start()
        states = {record.id: record.state for record in self._store.get(self._unrun)}
        self._unrun = [each for each in self._unrun if states.get(each) in ("queued", "blocked")]
        found = next((each for each in self._unrun if states[each] == "queued"), None)
        if found is not None:
            self._unrun.remove(found)
        return found


@contextmanager
def memory(app: App | None = None, eager: bool = False, raises: bool = True) -> Generator[Kit, None, None]:
    """Give every ``Queue`` without an explicit store of its own one fresh memory store, in this process.

    ``app`` is the application whose middleware, types and defaults hold for the runs. ``eager`` runs a job as it is enqueued,
    if it is due. ``raises``: a job that ends ``failed`` raises its own exception in the test; False leaves it to the test to
    look.
    """
    with Kit(app, eager=eager, raises=raises).active() as kit:
        yield kit


class JobsMixin:
    """For ``unittest``: ``class TestSignup(JobsMixin, TestCase)`` has a fresh ``self.jobs`` in every test.

    The class attributes ``packhorse_app``, ``packhorse_eager`` and ``packhorse_raises`` are the arguments of ``memory``.
    """

    packhorse_app: App | None = None
    packhorse_eager: bool = False
    packhorse_raises: bool = True
    jobs: Kit

    def setUp(self) -> None:
        """Begin with an empty store."""
        super().setUp()  # type: ignore[misc]
        context = memory(self.packhorse_app, self.packhorse_eager, self.packhorse_raises)
        self.jobs = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)  # type: ignore[attr-defined]
