"""Middleware: an application's own code around an enqueue, around a job, and at the ends of a child process.

Give objects to ``App(middleware=[…])``. An object may have any of the hooks below, and needs no base class; they are
written down here as protocols for documentation and type checkers. The first object is the outermost.

::

    class SessionPerJob:
        def __init__(self, make): self.make = make

        @contextmanager
        def around_job(self, job):
            with self.make() as session, using_session(session):
                yield

    app = App(tasks=["shop.tasks"], middleware=[SessionPerJob(sessionmaker(engine))])
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._current import CurrentJob
    from ._draft import Draft

__all__ = ["AfterJob", "AroundEnqueue", "AroundJob", "ChildStarted", "ChildStopping", "Outcome", "Worker"]


class Worker(Protocol):
    """What the hooks of a child process are told of their worker."""

    @property
    def name(self) -> str:
        """The worker's name."""

    @property
    def id(self) -> str:
        """The worker's id, new at each start."""


class Outcome(Protocol):
    """How a job ended, as ``after_job`` is told."""

    @property
    def kind(self) -> Literal["succeeded", "failed", "cancelled"]:
        """The final state."""

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The error as data (``type``, ``message``, ``traceback`` …), as in ``JobFailed.error``; None if there was none."""

    @property
    def attempt(self) -> int:
        """The number of the run that ended it."""

    @property
    def by(self) -> str:
        """Who ended it: ``job`` (its own code) or ``worker`` (its process died)."""

    @property
    def reason(self) -> str | None:
        """Why, in words, where there is more to say than the error."""


@runtime_checkable
class ChildStarted(Protocol):
    """Runs once in each child process, after the application was imported and before its first job."""

    def child_started(self, worker: Any) -> None:
        """Open what all jobs of this process share. An exception makes the child fail to start."""


@runtime_checkable
class ChildStopping(Protocol):
    """Runs in a child process after its last job. A child that is killed does not come here."""

    def child_stopping(self, worker: Any) -> None:
        """Close what ``child_started`` opened."""


@runtime_checkable
class AroundEnqueue(Protocol):
    """Surrounds every enqueue through a queue of the App, in the process that enqueues."""

    def around_enqueue(self, draft: Draft[Any]) -> AbstractContextManager[Any]:
        """Return a context manager: entered before the job is stored, left once it is stored.

        Before the ``yield`` the draft can be read (``task queue args kwargs meta tags``) and added to (``draft.add(meta=,
        tags=)``), and an exception refuses the enqueue: nothing is stored. What ``enqueue`` raises passes through it and may be
        replaced, but not swallowed. An exception after the ``yield`` reaches the caller although the job is stored.
        """


@runtime_checkable
class AroundJob(Protocol):
    """Surrounds every run of a job, in the child, in the thread (or on the loop) that runs it."""

    def around_job(self, job: CurrentJob) -> AbstractContextManager[Any]:
        """Return a context manager around the function. The job's exception passes through it and may be replaced.

        An exception of its own counts as the job's: it fails, and is tried again as its ``retry`` says.
        """


@runtime_checkable
class AfterJob(Protocol):
    """Told of every ending of a *job*: not of an attempt that will be followed by another."""

    def after_job(self, job: CurrentJob, outcome: Outcome) -> None:
        """Runs after the end is decided; also for a job whose child was killed, then in another child. At least once.

        What it raises is logged and changes nothing.
        """
