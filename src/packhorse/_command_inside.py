"""``packhorse.command``: a program run by a Python job, as part of it: its log, its limits, and its end."""

from __future__ import annotations

import math
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import IO, Any, Unpack

from ._command import Command, command_of, filled
from ._command_keys import InsideKeys
from ._commands.limits import memory_of
from ._commands.process import PROGRESS_FD
from ._commands.progress import log_of, progress_of
from ._commands.strays import kill_group
from ._current import current_job
from ._durations import Duration, seconds
from ._signals import Cancel, Retry, Snooze
from .errors import BadOption, CommandFailed

#: Looked at again at least so often, seconds: interrupts of a thread are only seen between two looks.
_LOOK = 0.1
#: Asked to end, it is killed after so many seconds; the job itself has five.
_REACT = 4.0
_READ = 1 << 16
_LINE = 8192
_LAST = 2000
_TOLD, _OUT, _ERR = "", "out: ", "err: "
_OF_JOBS = (
    "inputs", "outputs", "links", "existing", "overwrite", "steps", "keep_output", "keep_workspace", "output_limit", "enqueues",
    "needs", "slots",
)  # fmt: skip


def command(argv: Sequence[str], /, *, timeout: Duration | None = None, **keys: Unpack[InsideKeys]) -> int:
    """Run a program now, as part of the running job, and return its exit status: ``packhorse.command(["ffmpeg", "-i", path])``.

    What it prints goes into the job's log, line by line, ``out:`` and ``err:`` before them. It has a session and a process group
    of its own, and all of that ends when the job does: at its time limit, when it is cancelled, when the worker stops. The
    keywords are those of ``Queue.command`` that have a meaning without a workspace: ``params cwd env stdin ok exits shell umask
    nice max_memory max_cpu``; it runs in the working directory unless ``cwd`` says otherwise, with the environment of this
    process. ``timeout`` is a time limit of its own. Descriptor 3 takes lines such as ``progress 40/100``. Outside a
    job it works too, and prints.

    Raises ``CommandFailed`` for an exit status that is not in ``ok``, and when it was killed; ``Snooze``, ``Retry`` or ``Cancel``
    where ``exits`` says so; ``BadOption`` and ``BadArguments`` for what is wrong with the call.
    """
    made = _made(argv, keys)
    limit = None if timeout is None else seconds(timeout, "command(): timeout")
    run = _Run(made, os.fspath(argv[0]) if not made.shell else "sh")
    try:
        run.start()
        run.follow(limit)
    finally:
        run.end()
    return run.verdict(made)


def _made(argv: object, keys: Mapping[str, Any]) -> Command:
    for key in keys:
        if key in _OF_JOBS:
            raise BadOption(
                f"command(): '{key}' belongs to a command that is a job of its own: Queue.command(…, {key}=…). Nothing was run."
            )
    found = command_of(argv, keys, "command()")
    return filled(found, found.params, os.getcwd())


class _Run:
    """One process that runs. It is ended whenever an interrupt comes, be it in the midst of its start."""

    def __init__(self, made: Command, name: str) -> None:
        """Nothing has begun."""
        self._name = name
        self._rests: dict[str, bytes] = {}
        self._last = ""  #: the end of what it said on stderr
        self._made = made
        self._why: str | None = None
        self._selector = selectors.DefaultSelector()
        self._guard = _Guard()
        self._told: IO[bytes] | None = None
        self._begun: _Process | None = None

    def start(self) -> None:
        """Start it. Raises ``CommandFailed`` if it cannot be."""
        _must_be_there(self._made)
        told, theirs = os.pipe()
        self._told = open(told, "rb", buffering=0)  # noqa: SIM115  # closed with the others
        try:
            _start(self._made, theirs, self._takes)
        except OSError as error:
            self._begun = None
            name = self._made.steps[0][0]
            raise CommandFailed(f"{name} cannot be started: {error.strerror or error}.") from error
        finally:
            os.close(theirs)
        self._guard.watch(self._process.pid)
        for stream, mark in ((self._process.stdout, _OUT), (self._process.stderr, _ERR), (self._told, _TOLD)):
            assert stream is not None
            self._selector.register(stream, selectors.EVENT_READ, mark)

    def _takes(self, process: _Process) -> None:
        self._begun = process

    @property
    def _process(self) -> _Process:
        assert self._begun is not None
        return self._begun

    # -- while it runs ------------------------------------------------------------------------------------------------
    def follow(self, limit: float | None) -> None:
        """Take what it says until it has ended, and hold it to its limits."""
        end = None if limit is None else monotonic() + limit
        while self._process.poll() is None:
            self._look(_LOOK)
            if end is not None and monotonic() >= end:
                self._stop(f"it was stopped at its time limit of {limit:g} s")
            elif self._made.max_memory is not None and memory_of(self._process.pid) > self._made.max_memory:
                self._stop(f"it was killed for using more than {self._made.max_memory:,} bytes of memory")

    def _stop(self, why: str) -> None:
        self._why = why
        self.end()

    def _look(self, patience: float) -> bool:
        """Take what is there; False: nothing was."""
        ready = self._selector.select(patience)
        for key, _ in ready:
            data = os.read(key.fd, _READ)
            if data:
                self._take(key.data, data)
            else:
                self._selector.unregister(key.fileobj)
                self._take(key.data, b"", last=True)
        return bool(ready)

    def _take(self, mark: str, data: bytes, *, last: bool = False) -> None:
        lines = (self._rests.pop(mark, b"") + data).split(b"\n")
        rest = lines.pop()
        if last or len(rest) > _LINE:
            lines += [rest] if rest else []
        else:
            self._rests[mark] = rest
        for line in lines:
            self._say(mark, line.rpartition(b"\r")[2].decode("utf-8", "backslashreplace"))

    def _say(self, mark: str, line: str) -> None:
        if mark == _TOLD:
            self._hear(line)
            return
        if mark == _ERR:
            self._last = f"{self._last}{line}\n"[-_LAST:]
        sys.stdout.write(f"{mark}{line}\n")

    def _hear(self, line: str) -> None:
        bar, text = progress_of(line), log_of(line)
        if bar is not None:
            current_job().progress(bar["done"], bar["total"], bar["note"])
        elif text is not None:
            sys.stdout.write(f"log: {text}\n")

    # -- its end ------------------------------------------------------------------------------------------------------
    def end(self) -> None:
        """End its whole group, asking first; take what it said last. One that never began has nothing to end."""
        if self._begun is not None and self._begun.pid is not None:
            self._kill(self._begun)
        self._guard.leave()
        while self._selector.get_map() and self._look(0):
            pass
        for mark, rest in list(self._rests.items()):
            self._take(mark, b"", last=bool(rest))
        self._close()

    def _kill(self, process: _Process) -> None:
        if process.poll() is None:
            kill_group(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_REACT)
        kill_group(process.pid)
        process.wait()

    def _close(self) -> None:
        self._selector.close()
        process = self._begun
        for stream in (self._told, *(() if process is None else (process.stdout, process.stderr))):
            if stream is not None:
                stream.close()

    def verdict(self, made: Command) -> int:
        """Return its exit status, or raise what that means."""
        status = self._process.returncode
        if self._why is not None or status < 0:
            raise CommandFailed(f"{self._name}: {self._why or f'it was killed by {_signal(-status)}'}.{self._said()}")
        kind, delay = made.ending(status)
        if kind == "ok":
            return status
        if kind == "snooze":
            raise Snooze(delay or 0, f"{self._name}: exit status {status}")
        if kind == "retry":
            raise Retry(delay, f"{self._name}: exit status {status}")
        if kind == "cancel":
            raise Cancel(f"{self._name}: exit status {status}")
        raise CommandFailed(f"{self._name}: exit status {status}.{self._said()}", status)

    def _said(self) -> str:
        lines = [line for line in self._last.splitlines() if line.strip()]
        return "".join(f"\n  {line}" for line in lines[-5:])


class _Guard:
    """A process that outlives ours, however ours dies, and then kills the group of the command."""

    def __init__(self) -> None:
        """There is nothing to guard yet."""
        self._write = -1
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Begin to wait."""
        read, self._write = os.pipe()
        script = 'read -r end && exit; kill -9 "-$1" 2>&-'
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", script, "sh", str(group)], stdin=read, start_new_session=True
            )
        finally:
            os.close(read)

    def leave(self) -> None:
        """End it; twice does no harm."""
        if self._write < 0:
            return
        with suppress(BrokenPipeError):
            os.write(self._write, b"\n")
        os.close(self._write)
        self._write = -1
        if self._process is not None:
            self._process.wait()


class _Process(subprocess.Popen[bytes]):
    """Told of as soon as there is one: an interrupt may come before all of its start is done."""

    def __init__(self, takes: Callable[[_Process], None], *words: Any, **keys: Any) -> None:
        """``takes`` is told of it."""
        takes(self)
        super().__init__(*words, **keys)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _must_be_there(made: Command) -> None:
    """Refuse a program that is none, in the same words however it would be started."""
    program = made.steps[0][0]
    if shutil.which(program, path=made.env.get("PATH")) is None:
        what = "it is not executable" if os.path.exists(program) else "there is no such program"
        raise CommandFailed(f"{program} cannot be started: {what}.")


def _start(made: Command, told: int, takes: Callable[[_Process], None]) -> None:
    job = current_job()
    # Shells know descriptors of one digit only, so it has to be 3. That takes code of ours between fork and exec, which a process
    # with threads must not run; there a shell does it.
    alone = threading.active_count() == 1
    line = made.steps[0] if alone else ("/bin/sh", "-c", f'exec 3>/dev/fd/{told} && exec "$@"', "sh", *made.steps[0])
    ours = {"PACKHORSE_FD": str(PROGRESS_FD), **({"PACKHORSE_JOB_ID": job.id} if job.stored else {})}
    with _taken(PROGRESS_FD), tempfile.TemporaryFile() as given:
        given.write(made.stdin.encode() if isinstance(made.stdin, str) else made.stdin or b"")
        given.seek(0)
        process = _Process(
            takes, line, cwd=made.cwd, env={**os.environ, **made.env, **ours}, stdin=given, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, pass_fds=(PROGRESS_FD if alone else told,), start_new_session=True,
            umask=-1 if made.umask is None else made.umask,
            preexec_fn=(lambda: os.dup2(told, PROGRESS_FD)) if alone else None,
        )  # fmt: skip
    _limit(process.pid, made)


@contextmanager
def _taken(fd: int) -> Iterator[None]:
    """Have a descriptor be there, whatever it is, so that what is passed on under its number is nothing of the library's."""
    try:
        os.fstat(fd)
    except OSError:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, fd, inheritable=False)
        try:
            yield
        finally:
            for each in {null, fd}:
                os.close(each)
    else:
        yield


def _limit(pid: int, made: Command) -> None:
    """Take on what the kernel holds it to; a command that has ended already is held to nothing."""
    with suppress(ProcessLookupError):
        if made.nice is not None:
            os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + made.nice))
        if made.max_cpu is not None and hasattr(resource, "prlimit"):
            most = math.ceil(made.max_cpu)
            resource.prlimit(pid, resource.RLIMIT_CPU, (most, most + 1))
