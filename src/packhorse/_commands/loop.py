"""The life of a commands child: one thread that waits for its supervisor, its commands and the time, and never for one alone."""

from __future__ import annotations

import faulthandler
import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from .._command import Command
from .._command_task import CommandTask, read_tasks
from .._defaults import restored_defaults
from .._options import Options, Policy
from .._programs import FOR, HOST, LACKS, RUNS
from .._record import Claimed, Verdict
from .._wire import CONTROL, ORDER, PERMIT, REASONS, FrameBuffer
from ..errors import PackhorseError
from . import checks
from .aside import Answer, Aside
from .asides import Asides
from .news import News
from .places import Place, end_of_the_dead, sweep
from .process import Process, moved_up, reserve_descriptor
from .run import Run
from .steps import Steps
from .strays import inherit_orphans
from .telling import Telling
from .watch import Watch

_log = logging.getLogger("packhorse.worker")

#: What the dead have left is looked for so often (seconds).
_SWEEP_EVERY = 600.0
_READ = 1 << 18
#: Exit status of a child whose supervisor is gone.
GONE = 70


def main(fds: list[int]) -> int:
    """Be the commands child; return the exit code."""
    payload, permits, control, results, faults = map(moved_up, fds)
    reserve_descriptor()
    for fd in (payload, permits, control, results, faults):
        os.set_inheritable(fd, False)
    faulthandler.enable(faults, all_threads=False)
    faulthandler.register(signal.SIGQUIT, 2)
    inherit_orphans()
    return Commands(payload, permits, control, results).serve()


def _deaf(number: int, frame: object) -> None:
    """Do nothing. A handler, unlike SIG_IGN, is not inherited by the commands, which begin with everything as usual."""


def _hear_signals() -> int:
    """Ignore what the whole group is told, hear of every process that ends; return what becomes readable then."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGQUIT}:
        ignored = signal.getsignal(number) is signal.SIG_IGN
        if (
            ignored
            or number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
            or number >= _FIRST_REAL_TIME
        ):
            signal.signal(number, _deaf)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    wake, write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return wake


#: The supervisor's own signal to its children is one of these.
_FIRST_REAL_TIME = getattr(signal, "SIGRTMIN", signal.SIGUSR2)


class Commands:
    """Runs commands until the supervisor says that no more will come, or is gone."""

    place: Place
    tasks: dict[str, CommandTask]
    app_options: Options
    allowed: tuple[str, ...]
    needs: tuple[str, ...]  #: of this host, for every command
    store_place: dict[str, str]

    def __init__(self, payload: int, permits: int, control: int, results: int) -> None:
        """Listen."""
        self.known = checks.Known()
        self.runs: dict[int, Run] = {}
        self._payload, self._control = payload, control
        self._permits = socket.socket(fileno=permits)
        self._telling = Telling(results)
        self._frames = FrameBuffer()
        self._selector = selectors.DefaultSelector()
        self._asides = Asides(self._selector)
        self._watch = Watch(self.runs, self._asides)
        self._jobs: dict[int, Claimed] = {}
        self._permitted: list[int] = []
        self._early: dict[int, str] = {}
        self._policies: set[str] = set()
        self._said: dict[str, str] = {}
        self._closing = False
        self._exit: int | None = None
        self._next_sweep = float("inf")
        self._wake = _hear_signals()
        for fd, heard in (
            (payload, self._read_frames),
            (permits, self._take_permits),
            (control, self._read_orders),
            (self._wake, self._woken),
        ):
            self._selector.register(fd, selectors.EVENT_READ, heard)

    # -- the loop -----------------------------------------------------------------------------------------------------
    def serve(self) -> int:
        """Turn until it is over."""
        try:
            while self._exit is None:
                for key, _ in self._selector.select(self._pause()):
                    key.data()
                self._turn(monotonic())
        except BrokenPipeError:
            self._abandoned()
        if hasattr(self, "place"):
            self.place.close()
        return self._exit if self._exit is not None else GONE

    def _pause(self) -> float | None:
        due = [self._asides.due, self._watch.due, self._next_sweep, *(run.due for run in self.runs.values())]
        first = min(due)
        return None if first == float("inf") else max(0.0, first - monotonic())

    def _turn(self, now: float) -> None:
        self._asides.tick(now)
        for run in list(self.runs.values()):
            if run.due <= now:
                run.tick(now)
        self._watch.look(now)
        self._watch_results()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_EVERY
            root = self.place.root
            self._asides.start(lambda: sweep(root), _swept)
        if self._closing and not self.runs and not self._telling.behind:
            self._exit = 0

    def _woken(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass
        self._watch.wake()

    def _watch_results(self) -> None:
        """Go on telling as soon as the pipe takes more."""
        fd, watched = self._telling.fd, self._telling.fd in self._selector.get_map()
        if self._telling.behind and not watched:
            self._selector.register(fd, selectors.EVENT_WRITE, self._telling.flush)
        elif watched and not self._telling.behind:
            self._selector.unregister(fd)

    # -- the supervisor -----------------------------------------------------------------------------------------------
    def _read_frames(self) -> None:
        data = os.read(self._payload, _READ)
        if not data:
            self._abandoned()
            return
        for kind, body in self._frames.feed(data):
            if self._exit is None:
                self._obey(kind, body)
        self._start()

    def _obey(self, kind: str, body: Any) -> None:
        if kind == "jobs":
            first, rows = body
            self._jobs.update((index, Claimed._make(row)) for index, row in enumerate(rows, first))
        elif kind == "withdrawn":
            for index in body:
                self._jobs.pop(index, None)
        elif kind == "init":
            self._begin(body)
        elif kind == "store":
            self._make_ready(body)
        elif kind == "resolve":
            self._resolve(body)

    def _begin(self, settings: dict[str, Any]) -> None:
        from .. import _logs

        _logs.configure(settings["log_level"], settings["log_format"], settings["log_file"])
        plain = settings["plain"] or {}
        try:
            self.tasks = read_tasks(settings["tables"], settings["tables_file"])
            self.app_options = restored_defaults(plain.get("defaults", {}))
            self.place = Place(settings["workspaces"])
            catalogue = _declared() if settings["alone"] else {}
        except PackhorseError as error:
            self._telling.tell("refused", {"code": error.code, "text": str(error)})
            self._exit = 78
            return
        self.allowed = tuple(settings["allowed"])
        self.needs = tuple(settings["needs"])
        self._quiet_after = settings["quiet_after"]
        self.keeps_output = settings["keeps_output"]
        hello = {"plain": plain, "catalogue": catalogue, "pid": os.getpid(), "after": False}
        self._telling.tell("hello", hello)

    def _make_ready(self, place: dict[str, str]) -> None:
        """Be ready, once nothing runs any more of those who were killed here together with their supervisor."""
        root, self.store_place = self.place.root, place

        def ended(answer: Answer) -> None:
            self._telling.tell("ready")
            self._next_sweep = 0.0  # only now: it wants the same locks

        self._asides.start(lambda: end_of_the_dead(root), ended, checks.PATIENCE)

    def _take_permits(self) -> None:
        try:
            data = self._permits.recv(PERMIT.size * 64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return  # they were taken back
        if not data:
            self._closing = True
            self._selector.unregister(self._permits.fileno())
            return
        self._permitted += [index for (index,) in PERMIT.iter_unpack(data) if index != ORDER]
        self._start()

    def _start(self) -> None:
        """Start what is permitted and has arrived."""
        for index in [each for each in self._permitted if each in self._jobs]:
            self._permitted.remove(index)
            run = self.runs[index] = Run(self, index, self._jobs.pop(index))
            if index in self._early:
                run.interrupt(self._early.pop(index))
            run.begin()

    def _read_orders(self) -> None:
        data = os.read(self._control, CONTROL.size * 64)
        if not data:
            self._selector.unregister(self._control)
        for index, reason in CONTROL.iter_unpack(data):
            if index in self.runs:
                self.runs[index].interrupt(REASONS[reason])
            elif index in self._jobs or index in self._permitted:
                self._early[index] = REASONS[reason]

    def _resolve(self, names: list[str]) -> None:
        """Tell which side lines can be served here: their programs may be run and are there, what they need is there."""
        allowed, tasks, needs = self.allowed, set(self.tasks), self.needs

        def look() -> list[str]:
            return [] if any(map(checks.lacking, needs)) else [name for name in names if _can(name, allowed, tasks)]

        def answered(answer: Answer) -> None:
            self._telling.tell("resolved", answer.value or [])

        self._asides.start(look, answered, checks.PATIENCE)

    def _abandoned(self) -> None:
        """Nobody is left to be told: end everything that runs, and go."""
        for run in self.runs.values():
            run.kill()
        self._watch.end_all()
        self._exit = GONE

    # -- what runs ask for --------------------------------------------------------------------------------------------
    def aside(self, work: Callable[[], Any], then: Callable[[Answer], None], patience: float | None) -> Aside:
        """Have something done in a process of its own, and go on ``then``."""
        return self._asides.start(work, then, patience)

    def news(self, run: Run, command: Command, attempt: int) -> News:
        """Return what takes a run's output, and tells of it."""

        def tell(kind: str, what: Any) -> bool:
            if kind != "log" and self._telling.behind:
                return False
            if kind == "tail":
                self._telling.tell("tail", run.index, news.log.text(), news.log.dropped)
            else:
                self._telling.tell(kind, run.index, what)
            return True

        news = News(command.output_limit, self._quiet_after, tell)
        if command.keep_output:
            kept = self.keeps_output if command.keep_output is True else float(command.keep_output)
            news.keep_files(self.place.output(run.job.id, attempt, kept))
        return news

    def listen(self, run: Steps, process: Process, stream: int) -> None:
        """Hear what a stream of a run brings."""
        fd = process.fds[stream]

        def heard() -> None:
            if not run.heard(process, stream):
                self._selector.unregister(fd)

        self._selector.register(fd, selectors.EVENT_READ, heard)

    def deafen(self, process: Process) -> None:
        """Listen to a process no more."""
        for fd in process.fds.values():
            if fd in self._selector.get_map():
                self._selector.unregister(fd)

    def kill_family(self, run: Steps) -> None:
        """Kill also what has left the group of a run's process."""
        self._watch.kill_family(run)

    def abandon(self, process: Process) -> None:
        """Wait no more for a process that cannot be killed."""
        self._watch.abandon(process)

    def tell_policy(self, job: Claimed, policy: Policy) -> None:
        """Tell the supervisor the limits, which it enforces: of a task once, of a job with options of its own each time."""
        if job.options is None and job.task in self._policies:
            return
        if job.options is None:
            self._policies.add(job.task)
        self._telling.tell("policy", job.task, job.options, policy.timeout, policy.timeout_given, policy.retry.data())

    def lacks(self, name: str, reason: str) -> str:
        """Return why a job waits in the side line of this name; it is said in the log once, and again when it changes."""
        what = name[1:]
        if name == HOST:
            text = f"no live worker's host has what is needed there ({reason})"
        elif name.startswith(LACKS):
            text = f"no live worker has what it needs, {what} ({reason})"
        else:
            text = f"no live worker runs this program: {what} ({reason})"
        if self._said.get(name) != text:
            self._said[name] = text
            _log.warning("jobs wait: %s. They run by themselves once that has changed.  [E217]", text)
        return text

    def report(self, index: int, start: int, end: int, verdict: Verdict) -> None:
        """Tell a verdict."""
        self._telling.tell("verdict", index, start, end, verdict[2:])

    def done(self, run: Run) -> None:
        """Forget a run that has come to its end."""
        self.runs.pop(run.index, None)


def _can(name: str, allowed: tuple[str, ...], tasks: set[str]) -> bool:
    name, _, whose = name.partition(FOR)
    if whose and not _can(whose, allowed, tasks):
        return False
    if name.startswith(LACKS):
        return name == HOST or not checks.lacking(name[1:])
    if name.startswith(RUNS):
        return checks.runnable(name[1:], allowed, own=whose in tasks, workspace="/")[0] is not None
    return name in tasks


def _swept(answer: Answer) -> None:
    if answer.value:
        _log.info("removed the workspaces of %d commands children that are dead", len(answer.value))


def _declared() -> dict[str, Any]:
    """Return what the config file declares beside commands, where there is no child with an application to tell it."""
    from .._child.schedules import declared_schedules

    found = declared_schedules((), None, None)
    return {"schedules": found} if found else {}
