"""What an application decides once for all its queues and workers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from . import _options, _runtime
from ._by import person
from ._codec import Codec
from ._defaults import given_defaults, plain_defaults
from ._durations import Duration, seconds
from ._finding import Counts, Jobs, count_meant, counts_of, find, one, which
from ._limits import checked_limits
from ._names import queue_name
from ._options import JobOptions, Options
from ._programs import split
from ._record import State
from ._runtime import Connection, Source
from ._store import Changed, JobFilter
from .errors import BadOption, NotLoadable

if TYPE_CHECKING:
    from ._draft import Draft
    from ._job import Job

#: What a cancel, and a requeue, would change.
_CANCELLABLE: tuple[State, ...] = ("scheduled", "blocked", "queued", "retrying", "running")
_REQUEUABLE: tuple[State, ...] = ("scheduled", "retrying", "succeeded", "failed", "cancelled")
_HOOKS = ("child_started", "child_stopping", "around_enqueue", "around_job", "after_job")


class App:
    """Store, namespace, tasks, middleware, own types and default options of one application.

    ``store`` is a URL, else found as a ``Queue`` finds it; ``namespace`` keeps applications apart in one store;
    ``tasks`` are what a worker of this App runs: modules, packages, ``module:attr``; ``commands`` the programs it may run:
    ``["ffmpeg", "/opt/rstar/bin/*"]``, a name as found on the worker's own PATH, or a path. ``middleware`` are objects with hooks
    (``packhorse.middleware``); ``types`` gives classes of your own a stored form: ``{Money: (encode, decode)}``. ``outbox``
    says where jobs of ``within(x, outbox=True)`` are written down, for the relay in the workers and ``packhorse relay``: the URL
    of the application's database, or ``env:DATABASE_URL`` to read it from the environment there. ``limits`` says how many jobs
    with ``limit="smtp"`` may run at once in the whole cluster, or how often one may start:
    ``{"smtp": 4, "api": "10/1s", "mail": "30/1m burst 10", "tenant:*": 2}``; workers of this App declare them.
    The other keywords are job options that hold unless a queue, ``@task`` or ``using`` say otherwise. Making one does no I/O.

    Raises ``BadOption`` and ``BadName``.
    """

    #: How a worker knows an App without importing this class by name.
    _packhorse_app_ = True

    def __init__(
        self,
        *,
        store: str | None = None,
        namespace: str = "default",
        tasks: Sequence[str] = (),
        commands: Sequence[str] = (),
        middleware: Sequence[object] = (),
        types: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] | None = None,
        outbox: str | None = None,
        limits: Mapping[str, int | str] | None = None,
        **defaults: Unpack[JobOptions],
    ) -> None:
        self._store = store
        self._namespace = queue_name(namespace, "App(namespace=)")
        self._tasks = _task_specs(tasks)
        self._commands = _programs(commands)
        self._middleware = _checked_middleware(middleware)
        self._types = dict(types or {})
        self._codec = Codec(self._types)
        self._outbox = _checked_outbox(outbox)
        self._limits = checked_limits(limits or {}, "App(limits=)")
        self._options = _options.check(defaults, "App", "App")
        self._around_enqueue: tuple[Callable[[Draft[Any]], AbstractContextManager[Any]], ...] = tuple(
            hook for each in self._middleware if (hook := getattr(each, "around_enqueue", None)) is not None
        )

    @property
    def store(self) -> str | None:
        """Return the URL it was given; None: found when it is needed."""
        return self._store

    @property
    def namespace(self) -> str:
        """Return the namespace it was given."""
        return self._namespace

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return what its workers import."""
        return self._tasks

    @property
    def commands(self) -> tuple[str, ...]:
        """Return the programs its workers may run as commands."""
        return self._commands

    @property
    def middleware(self) -> tuple[object, ...]:
        """Return the middleware, outermost first."""
        return self._middleware

    @property
    def types(self) -> Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
        """Return the classes that have a stored form of their own."""
        return dict(self._types)

    @property
    def codec(self) -> Codec:
        """Return what encodes arguments and results, with the App's types."""
        return self._codec

    @property
    def outbox(self) -> str | None:
        """Return where its outbox is, as it was given; None: it has none."""
        return self._outbox

    @property
    def limits(self) -> Mapping[str, str]:
        """Return the limits it declares, by name: ``{"smtp": "4", "api": "10/1s"}``."""
        return dict(self._limits)

    @property
    def options(self) -> Options:
        """Return the default options, checked."""
        return self._options

    @property
    def around_enqueue(self) -> tuple[Callable[[Draft[Any]], AbstractContextManager[Any]], ...]:
        """Return the middleware's hooks around an enqueue, outermost first."""
        return self._around_enqueue

    def plain(self) -> dict[str, Any]:
        """Return the part that is plain data and can be handed to another process as JSON."""
        return {
            "store": self._store,
            "namespace": self._namespace,
            "tasks": list(self._tasks),
            "commands": list(self._commands),
            "outbox": self._outbox,
            "limits": dict(self._limits),
            "defaults": plain_defaults(self._options),
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> App:
        """Return the App that ``plain`` is the plain part of."""
        given: Any = given_defaults(plain["defaults"])
        return cls(
            store=plain["store"], namespace=plain["namespace"], tasks=plain["tasks"], outbox=plain["outbox"],
            limits=plain["limits"], commands=plain["commands"], **given,
        )  # fmt: skip

    # -- jobs of all queues -----------------------------------------------------------------------------------------
    def job(self, job_id: str) -> Job[Any]:
        """Return a job by its id, or by the last 8 characters of it. Raises ``JobNotFound``, ``AmbiguousId``."""
        return one(self._connection, self._codec, job_id)

    def jobs(
        self,
        *,
        queue: str | None = None,
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
        """Return jobs of all queues, newest first; the conditions are those of ``Queue.jobs``, and ``queue``."""
        return find(
            self._connection, self._codec, queue=queue, state=state, task=task, tag=tag, flow=flow, meta=meta,
            text=text, since=since, limit=limit, after=after,
        )  # fmt: skip

    def queues(self) -> list[Counts]:
        """Return the queues there are, by name, each with its numbers; cheap at any size."""
        return counts_of(self._connection)

    def cancel(self, *, reason: str = "", dry: bool = False, **conditions: Any) -> int:
        """Cancel all jobs that meet the conditions (those of ``jobs``, and ``ids``); return how many.

        ``flow=`` means a whole flow. Waiting ones are cancelled at once, running ones asked to stop. ``dry`` only counts.
        Raises ``BadOption`` without conditions.
        """
        meant = self._meant("cancel", conditions)
        if dry:
            return count_meant(self._connection, meant, _CANCELLABLE)
        return self._all(lambda store: store.cancel(meant, by=person(), reason=reason))

    def requeue(self, *, delay: Duration = 0, dry: bool = False, **conditions: Any) -> int:
        """Let all ended, scheduled or retrying jobs that meet the conditions run again (after ``delay``); return how many.

        With a job, those run again that gave up since it failed. ``dry`` only counts. Raises ``BadOption`` without conditions.
        """
        meant, wait = self._meant("requeue", conditions), seconds(delay, "requeue(delay=)")
        if dry:
            return count_meant(self._connection, meant, _REQUEUABLE)
        return self._all(lambda store: store.requeue(meant, delay=wait, by=person()))

    async def ajob(self, job_id: str) -> Job[Any]:
        """Do what ``job`` does, to be awaited."""
        return await _runtime.aside(lambda: self.job(job_id))

    async def ajobs(self, **conditions: Any) -> Jobs:
        """Do what ``jobs`` does, to be awaited."""
        return await _runtime.aside(lambda: self.jobs(**conditions))

    async def aqueues(self) -> list[Counts]:
        """Do what ``queues`` does, to be awaited."""
        return await _runtime.aside(self.queues)

    async def acancel(self, *, reason: str = "", dry: bool = False, **conditions: Any) -> int:
        """Do what ``cancel`` does, to be awaited."""
        return await _runtime.aside(lambda: self.cancel(reason=reason, dry=dry, **conditions))

    async def arequeue(self, *, delay: Duration = 0, dry: bool = False, **conditions: Any) -> int:
        """Do what ``requeue`` does, to be awaited."""
        return await _runtime.aside(lambda: self.requeue(delay=delay, dry=dry, **conditions))

    # -- the command line -------------------------------------------------------------------------------------------
    def main(self, argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
        """Run the command line with this App as its APP and store; return the exit status.

        ``argv`` are the words after the program's name, by default this process's own; ``prog`` is the name shown in help.
        """
        # By name, since the command line stands above everything here.
        run = importlib.import_module("packhorse.cli").main
        return int(run(argv, prog=prog, app=self))

    def importable(self) -> str | None:
        """Return ``module:attr`` under which a child process finds this very object, or None."""
        return next((f"{name}:{attr}" for name, attr in _places(self)), None)

    def must_be_importable(self) -> str | None:
        """Return ``importable()``; raise ``NotLoadable`` if there is no such place but code that children need.

        An App of plain data needs none: it is handed to them as it is.
        """
        place = self.importable()
        if place is None and (self._middleware or self._types):
            what = "middleware" if self._middleware else "types"
            raise NotLoadable(
                f"this App has {what}=, which the worker's children must import, but no module has it as an attribute. "
                "Nothing was started.\n  Move the App into a module, e.g. app.py:  app = App(…),  and start  "
                "packhorse worker app:app"
            )
        return place

    def __repr__(self) -> str:
        """Show namespace and tasks."""
        return f"<App {self._namespace} {' '.join(self._tasks)}>".replace(" >", ">")

    # -- steps ------------------------------------------------------------------------------------------------------
    @property
    def _connection(self) -> Connection:
        return _runtime.connection(Source(None, self._store, self._namespace))

    def _meant(self, verb: str, conditions: dict[str, Any]) -> JobFilter:
        found = which(self._connection, **conditions)
        if found.empty:
            raise BadOption(
                f"App.{verb}() without a condition would mean every job; say which: state=, task=, queue=, ids= …"
            )
        return found

    def _all(self, act: Callable[[Any], Changed]) -> int:
        """Repeat a verb until nothing more matches; each call touches a bounded number of jobs."""
        count = 0
        while True:
            with self._connection as store:
                changed = act(store)
            moved = len(changed.done) + len(changed.asked)
            count += moved
            if not changed.more or not moved:
                return count


def _places(app: App) -> list[tuple[str, str]]:
    found = []
    for name, module in list(sys.modules.items()):
        if name == "__main__":
            spec = getattr(module, "__spec__", None)
            if spec is None or spec.name.endswith("__main__"):
                continue
            name = spec.name
        for attr, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                found.append((name, attr))
    return sorted(found)


def _task_specs(tasks: Sequence[str]) -> tuple[str, ...]:
    specs = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    for spec in specs:
        if not isinstance(spec, str) or not spec:
            raise BadOption(f'App(tasks=) takes names of modules such as "shop.tasks", not {spec!r}.')
    return specs


def _programs(commands: Sequence[str]) -> tuple[str, ...]:
    patterns = (commands,) if isinstance(commands, str) else tuple(commands)
    for each in patterns:
        if not isinstance(each, str) or not each.strip():
            raise BadOption(f'App(commands=) takes programs such as "ffmpeg" or "/opt/rstar/bin/*", not {each!r:.80}.')
    return split(patterns)


def _checked_outbox(outbox: str | None) -> str | None:
    if outbox is not None and (not isinstance(outbox, str) or ("://" not in outbox and not outbox.startswith("env:"))):
        raise BadOption(
            f'App(outbox=) takes a URL, or "env:DATABASE_URL" for one in the environment, not {outbox!r:.80}.'
        )
    return outbox


def _checked_middleware(middleware: Sequence[object]) -> tuple[object, ...]:
    """Refuse what has no hook at all: most often a class that nobody made an object of, or a misspelt hook."""
    every = tuple(middleware)
    for each in every:
        if isinstance(each, type):
            raise BadOption(
                f"App(middleware=) takes objects, not the class {each.__qualname__}: write {each.__qualname__}()."
            )
        if not any(callable(getattr(each, hook, None)) for hook in _HOOKS):
            raise BadOption(f"App(middleware=): {each!r:.80} has none of the hooks {', '.join(_HOOKS)}.")
    return every
