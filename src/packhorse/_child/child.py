"""The life of a child: import the application, say hello, run what is permitted, go."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _capture, _completing, _current, _origin, _runtime
from .._current import Running
from .._defaults import restored_defaults
from .._executor import Executor
from .._options import Options, Policy
from .._record import LOG_LIMIT, Claimed, Verdict
from .._runtime import Source
from .._wire import FrameReader, line, write_all
from ..errors import PackhorseError
from .interrupts import SIGNAL
from .slots import CLOSED, Single, Threads

if TYPE_CHECKING:
    from .coroutines import Coroutines

_log = logging.getLogger("packhorse.worker")

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: A job that has printed more than is kept tells its newest lines this often (seconds).
_FLOOD_PAUSE = 0.5
#: So many characters always fit into a line that a pipe takes whole.
_FORK_PIECE = 300
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, SIGNAL)


def _deaf(number: int, frame: object) -> None:
    """Do nothing. Unlike SIG_IGN this is not inherited by the programs that a job starts, which must be stoppable."""


def _hear_again() -> None:
    """Undo that in a process which a job forks."""
    for number in _STOPS:
        if signal.getsignal(number) is _deaf:
            signal.signal(number, signal.SIG_DFL)


def main(fds: list[int]) -> int:
    """Be a child; return the exit code."""
    payload, permits, control, results, faults = fds
    # Until the application is imported a stop of the whole group must not leave a half-started child behind with a
    # traceback; the supervisor ends its children itself.
    # The interrupting signal too: a one-slot child handles it, the others listen to their control pipe.
    for number in _STOPS:
        signal.signal(number, _deaf)
    os.register_at_fork(after_in_child=_hear_again)
    reader = FrameReader(payload)
    kind, settings = reader.read()
    assert kind == "init", kind
    _tie_to(settings["supervisor"])
    faulthandler.enable(faults, all_threads=False)
    faulthandler.register(signal.SIGQUIT, 2, all_threads=True)
    for fd in fds:
        os.set_inheritable(fd, False)  # what a job starts must not keep our pipes open
    child = Child(reader, results, settings)
    try:
        child.load()
    except PackhorseError as error:
        write_all(results, line("refused", {"code": error.code, "text": str(error)}))
        return 78
    except (Exception, SystemExit) as error:
        text = f"importing the application failed: {type(error).__name__}: {error}"
        write_all(results, line("refused", {"code": "E113", "text": text}))
        return 78
    try:
        return child.serve(socket.socket(fileno=permits), control)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EPIPE):
            raise
        # The job closed descriptors that are not its own: the supervisor sees a child that died under it. Or the supervisor was
        # killed a moment ago, and we are about to be.
        os._exit(CLOSED)


class Worker(NamedTuple):
    """What the middleware is told of the worker it serves in."""

    name: str
    id: str


class Child:
    """One process that runs jobs."""

    def __init__(self, reader: FrameReader, results: int, settings: dict[str, Any]) -> None:
        """Note what the supervisor wants."""
        self._reader = reader
        self._results = results
        self._settings = settings
        self._jobs: dict[int, Claimed] = {}
        self._policies: set[str] = set()  #: tasks whose limits are told
        self._orders_due = 0
        self._orders_read = 0
        self._floods: dict[str, float] = {}
        self.index = -1  #: of the job that runs, in a one-slot child
        self.executor: Executor
        self._slots: Single | Threads | Coroutines

    # -- start ------------------------------------------------------------------------------------------------------
    def load(self) -> None:
        """Import the application and tell what it is."""
        from .. import _logs, _registry
        from .._codec import Codec
        from .schedules import declared_schedules

        settings = self._settings
        sys.path[:] = settings["sys_path"]
        _capture.install(self._heard)
        loaded = _registry.load(settings["app"])
        _logs.set_context(_log_context)
        logs = (settings["log_level"], settings["log_format"], settings["log_file"])
        _capture.configure_logs(lambda: _logs.configure(*logs), self._heard)
        self._app = loaded.app
        self._registry = loaded.registry
        self._codec = Codec(getattr(loaded.app, "types", None))
        plain = settings["plain"] if settings["plain"] is not None else _plain(loaded.app)
        self._middleware: list[Any] = list(getattr(loaded.app, "middleware", ()))
        schedules = declared_schedules(settings["app"], loaded.app, loaded.registry)
        hello = {
            "plain": plain,
            "catalogue": {**loaded.registry.catalogue(), "schedules": schedules},
            "pid": os.getpid(),
            "after": any(hasattr(m, "after_job") for m in self._middleware),
        }
        write_all(self._results, line("hello", hello))

    def serve(self, permits: socket.socket, control: int) -> int:
        """Run jobs until the supervisor closes the permits; return the exit code."""
        kind, store = self._reader.read()
        assert kind == "store", kind
        _runtime.adopt(store["url"], store["namespace"])
        _origin.adopt(_current.origin)
        self._worker = Worker(store["worker"], store["id"])
        self._slots = self._make_slots(control)
        self.executor = Executor(
            self._registry.find,
            self._codec,
            self._app_options(),
            self._middleware,
            single=isinstance(self._slots, Single),
            gate=self._slots.gate,
            look=_runtime.records,
        )
        self._hook("child_started")
        write_all(self._results, line("ready"))
        self._slots.serve(permits, self._results)
        self._hook("child_stopping")
        return 0

    def _make_slots(self, control: int) -> Single | Threads | Coroutines:
        if self._settings["coroutines"]:
            from .coroutines import Coroutines

            return Coroutines(self, control, self._settings["coroutines"])
        if self._settings["threads"] > 1:
            return Threads(self, control, self._settings["threads"])
        return Single(self, control)

    def _app_options(self) -> Options:
        options = getattr(self._app, "options", None)
        if isinstance(options, Options):
            return options
        # An App made in a script did not travel, but its plain part did.
        return restored_defaults((self._settings["plain"] or {}).get("defaults", {}))

    def _hook(self, name: str) -> None:
        for each in self._middleware:
            if hasattr(each, name):
                getattr(each, name)(self._worker)

    # -- jobs -------------------------------------------------------------------------------------------------------
    def job(self, index: int) -> Claimed:
        """Return the job of a permit, reading as far as needed."""
        while index not in self._jobs:
            self._read()
        return self._jobs.pop(index)

    def obey(self) -> None:
        """Read up to the next order. Frames of jobs whose permits were taken back may stand before it."""
        self._orders_due += 1
        while self._orders_read < self._orders_due:
            self._read()

    def _read(self) -> None:
        kind, body = self._reader.read()
        self._orders_read += kind != "jobs"
        if kind == "jobs":
            first, rows = body
            for index, row in enumerate(rows, first):
                self._jobs[index] = row if type(row) is Claimed else Claimed._make(row)
        elif kind == "withdrawn":
            for index in body:
                self._jobs.pop(index, None)
        elif kind == "resolve":
            known = [task for task in body if self._registry.find(task) is not None]
            self._tell(line("resolved", known))
        elif kind == "after":
            job, verdict, by = body
            self.executor.after_elsewhere(Claimed._make(job), Verdict._make(verdict), by)
            self._tell(line("after", job[0], job[1]))

    def on_policy(self, job: Claimed, policy: Policy) -> None:
        """Tell the supervisor the limits of a task it has not met, and each time those of a job with options of its own, which
        it does not keep for ever: it must enforce them."""
        if job.options is None:
            if job.task in self._policies:
                return
            self._policies.add(job.task)
        self._tell(line("policy", job.task, job.options, policy.timeout, policy.timeout_given, policy.retry.data()))

    # -- news of a running job ----------------------------------------------------------------------------------------
    def progress(self, run: Running, bars: dict[str, Any]) -> None:
        """Tell the progress."""
        self._tell(line("progress", self._slots.index(run.job.id), bars))

    def meta(self, run: Running, values: dict[str, Any]) -> None:
        """Tell meta values."""
        self._tell(line("meta", self._slots.index(run.job.id), values))

    def complete(self, run: Running, transaction: object, result: str | None, keep: float | None) -> None:
        """Make the job succeeded in a transaction of the user's own, if that is one of the worker's store."""
        _completing.complete(_acts(), transaction, run.job, result, keep)

    async def acomplete(self, run: Running, transaction: object, result: str | None, keep: float | None) -> None:
        """Do the same in one that is awaited."""
        await _completing.acomplete(await _runtime.aside(_acts), transaction, run.job, result, keep, _runtime.aside)

    def _heard(self, run: Running, text: str) -> None:
        """Pass a job's output on at once, so that a crash does not take it along; a flood only now and then."""
        if run.sink is not self:
            return
        index = self._slots.index(run.job.id)
        if self._slots.gate.forked:
            self._heard_in_fork(run, index, text)
        elif run.log.seen <= LOG_LIMIT:
            self._tell(line("log", index, text))
        else:
            self._heard_flood(run, index)

    def _heard_in_fork(self, run: Running, index: int, text: str) -> None:
        # Processes share the pipe: only lines that it takes whole stay whole.
        if run.log.seen <= LOG_LIMIT:
            for start in range(0, len(text), _FORK_PIECE):
                self._tell(line("log", index, text[start : start + _FORK_PIECE]))

    def _heard_flood(self, run: Running, index: int) -> None:
        now = time.monotonic()
        if now - self._floods.get(run.job.id, 0.0) >= _FLOOD_PAUSE:
            if len(self._floods) > 1000:
                self._floods.clear()
            self._floods[run.job.id] = now
            self._tell(line("tail", index, run.log.text(), run.log.dropped))

    def _tell(self, text: bytes) -> None:
        if self._slots.gate.forked and len(text) > select.PIPE_BUF:
            return
        self._slots.tell(self._results, text)


def _acts() -> _completing.Acts:
    where = _runtime.connection(Source())
    return *where.inside(), where.describe()


def _plain(app: object | None) -> dict[str, Any]:
    plain: Mapping[str, Any] = app.plain() if app is not None else {}  # type: ignore[attr-defined]
    return json.loads(json.dumps(plain))  # type: ignore[no-any-return]


def _log_context() -> dict[str, Any] | None:
    run = _current.running()
    if run is None:
        return None
    job = run.job
    attempt = 1 + job.failures + job.crashes + job.losses
    return {"job_id": job.id, "task": job.task, "queue": job.queue, "attempt": attempt}


def _tie_to(supervisor: int) -> None:
    """Die with the supervisor, and inherit what the jobs leave behind; where there is no prctl, the pipes' end must do."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(70)
