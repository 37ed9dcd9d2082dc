"""``@task``: a function with a name and options of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from . import _identity, _options
from ._options import Options, TaskOptions, Unset
from ._signals import Cancel, Retry, Snooze

if TYPE_CHECKING:
    from ._draft import Draft
    from ._job import Job
    from ._queue import Queue

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Task(Generic[P, R_co]):
    """What ``@task`` makes of a function: still callable like it, and with ``enqueue``.

    ``name`` is what is stored with its jobs, ``options`` what ``@task`` gave. A task without ``queue=`` enqueues to the
    queue "default". ``using`` gives a copy with options for the next calls; the task itself never changes.
    """

    _packhorse_task_ = True  #: how identity and registry know a task without importing this module
    __wrapped__: Callable[P, R_co]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[P, R_co], options: TaskOptions, using: TaskOptions | None = None) -> None:
        """Check the options; nothing is stored or imported."""
        functools.update_wrapper(self, fn)
        self._given = options
        self._using: TaskOptions = using or {}
        self._line: Queue | None = None
        self.options: Options = _options.check(options, f"@task of {_called(fn)}", "task")

    @property
    def name(self) -> str:
        """Return the name given by hand, else ``module:qualname``. Raise ``NotImportable`` if it has none."""
        return _identity.task_name(self)

    @property
    def given_name(self) -> str | None:
        """Return the name given by hand; None if it goes by ``module:qualname``."""
        return None if isinstance(self.options.name, Unset) else self.options.name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return the further names it answers to."""
        return () if isinstance(self.options.aliases, Unset) else self.options.aliases

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function here and now."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        """Show what it is."""
        return f"<task {self.__module__}:{self.__qualname__}>"

    def using(self, **options: Unpack[TaskOptions]) -> Task[P, R_co]:
        """Return this task with options for the next calls, over those of ``@task``. Raises ``BadOption``."""
        _options.check(options, "using()", "call")
        return Task(self.__wrapped__, self._given, {**self._using, **options})

    @overload
    def enqueue(
        self: Task[P, Coroutine[Any, Any, R | Retry | Snooze | Cancel]], *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    def enqueue(self: Task[P, R | Retry | Snooze | Cancel], *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    def enqueue(self: Task[Any, Any], *args: Any, **kwargs: Any) -> Job[Any]:
        """Store a call of this task in its queue; see ``Queue.enqueue``."""
        return self._queue().enqueue(self, *args, **kwargs)

    @overload
    async def aenqueue(
        self: Task[P, Coroutine[Any, Any, R | Retry | Snooze | Cancel]], *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    async def aenqueue(self: Task[P, R | Retry | Snooze | Cancel], *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    async def aenqueue(self: Task[Any, Any], *args: Any, **kwargs: Any) -> Job[Any]:
        """Store a call of this task without blocking the event loop; see ``Queue.aenqueue``."""
        return await self._queue().aenqueue(self, *args, **kwargs)

    @overload
    def draft(
        self: Task[P, Coroutine[Any, Any, R | Retry | Snooze | Cancel]], *args: P.args, **kwargs: P.kwargs
    ) -> Draft[R]: ...
    @overload
    def draft(self: Task[P, R | Retry | Snooze | Cancel], *args: P.args, **kwargs: P.kwargs) -> Draft[R]: ...
    def draft(self: Task[Any, Any], *args: Any, **kwargs: Any) -> Draft[Any]:
        """Return a checked call of this task, not stored yet; see ``Queue.draft``."""
        return self._queue().draft(self, *args, **kwargs)

    def _queue(self) -> Queue:
        """Return the queue that takes its jobs, with what ``using`` gave; made once, since a Queue remembers its tasks."""
        if self._line is None:
            from ._queue import Queue  # a queue must know what a task is, so only one of the two can import the other

            where = self._using.get("queue", self._given.get("queue", "default"))
            queue = where if isinstance(where, Queue) else Queue(where if isinstance(where, str) else where.name)
            using: Any = {key: value for key, value in self._using.items() if key != "queue"}
            self._line = queue.using(**using) if using else queue
        return self._line


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Declare a function as a task: ``@task``, or ``@task(queue="mail", retry=5, name="billing.charge")``.

    Not needed to enqueue a function; it gives a name that outlives renaming, and options that every job of it has.
    Raises ``BadOption`` or ``BadName`` at import.
    """
    if fn is not None:
        return _declare(fn, TaskOptions())
    return lambda function: _declare(function, cast(TaskOptions, options))


def _declare(fn: Callable[..., Any], options: TaskOptions) -> Task[..., Any]:
    if not callable(fn):
        raise TypeError(f"@task takes a function, not {fn!r}")
    made = Task(_identity.unwrap(fn), options)
    for name in (made.given_name, *made.aliases):
        if name is not None:
            _identity.declare(name, made)
    return made


def _called(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", fn))
