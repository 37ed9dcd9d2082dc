"""One process of a command: started with nothing inherited but what it is given, and its descriptors."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from .aside import Unfit
from .limits import Limits
from .strays import LINUX, about, die_with_parent, kill_group
from .streams import ERR, OUT, TOLD

#: The descriptor that takes a command's ``progress`` and ``log`` lines.
PROGRESS_FD = 3
NOT_STARTED = "E213"
_READ = 1 << 16


def reserve_descriptor() -> None:
    """Keep descriptor 3 occupied in this process, so that nothing of ours is ever there when a command is started."""
    null = os.open(os.devnull, os.O_RDONLY)
    if null != PROGRESS_FD:
        os.dup2(null, PROGRESS_FD, inheritable=False)
        os.close(null)


def moved_up(fd: int) -> int:
    """Return the same descriptor under a number that is not reserved."""
    if fd != PROGRESS_FD:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PROGRESS_FD + 1)
    os.close(fd)
    return moved


class Ended:
    """How a process ended and what it had used."""

    def __init__(self, status: int, usage: Any = None) -> None:
        """Take both as ``os.wait4`` gives them."""
        code = os.waitstatus_to_exitcode(status)
        self.exit: int | None = code if code >= 0 else None
        self.signal: str | None = _signal_name(-code) if code < 0 else None
        self.cpu: float = usage.ru_utime + usage.ru_stime if usage else 0.0
        #: In bytes; never less than this child itself has, since a process begins as a copy of it.
        self.peak: int = usage.ru_maxrss * (1024 if LINUX else 1) if usage else 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Process:
    """A command that runs, in a session and a process group of its own."""

    def __init__(
        self,
        argv: Sequence[str],
        program: str,
        *,
        cwd: str,
        environ: Mapping[str, str],
        stdin: str | bytes | None,
        umask: int | None,
        limits: Limits,
    ) -> None:
        """Start it; ``program`` is the file. Raises ``Unfit``, saying what is wrong, if it cannot be started."""
        self.fds: dict[int, int] = {}  #: stream → our end
        theirs: dict[int, int] = {}
        given = None
        parent = os.getpid()

        def become() -> None:
            os.dup2(theirs[TOLD], PROGRESS_FD)
            limits.impose()
            die_with_parent(parent)

        try:
            for stream in (OUT, ERR, TOLD):
                self.fds[stream], theirs[stream] = os.pipe()
                os.set_blocking(self.fds[stream], False)
            given = _input(stdin)
            self._popen = subprocess.Popen(
                argv,
                executable=program,
                cwd=cwd,
                env=environ,
                stdin=given,
                stdout=theirs[OUT],
                stderr=theirs[ERR],
                pass_fds=(PROGRESS_FD,),
                start_new_session=True,
                umask=-1 if umask is None else umask,
                preexec_fn=become,  # safe: this process has one thread
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.close()
            raise Unfit(NOT_STARTED, _why_not(error, program, cwd)) from None
        finally:
            for fd in theirs.values():
                os.close(fd)
            if given is not None and given >= 0:
                os.close(given)
        self.pid = self._popen.pid
        found = about(self.pid)
        self.began = found.began if found is not None else 0  #: in ticks since the host was started

    def read(self, stream: int) -> bytes | None:
        """Return what a stream has brought; None at its end."""
        try:
            return os.read(self.fds[stream], _READ) or None
        except BlockingIOError:
            return b""

    def signal(self, number: int) -> None:
        """Send a signal to the group. The process is not collected yet, so the number is still its."""
        kill_group(self.pid, number)

    def ended(self) -> Ended | None:
        """Collect it if it has ended, after killing what is left of its group."""
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            kill_group(self.pid)  # while its number cannot be another's
        found, status, usage = os.wait4(self.pid, os.WNOHANG)
        if not found:
            return None
        kill_group(self.pid)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return Ended(status, usage)

    def close(self) -> None:
        """Close our ends."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()

    def abandon(self) -> None:
        """Wait no more for one that cannot be killed: it hangs in the kernel."""
        self._popen.returncode = -signal.SIGKILL


def _input(given: str | bytes | None) -> int:
    """Return a descriptor to read the standard input from."""
    if given is None:
        return subprocess.DEVNULL
    data = given.encode() if isinstance(given, str) else given
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("packhorse-stdin")
    else:
        from tempfile import TemporaryFile

        with TemporaryFile() as file:
            fd = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _why_not(error: Exception, program: str, cwd: str) -> str:
    if not isinstance(error, OSError):
        return f"{program} cannot be started: {error}"
    if error.filename == cwd and cwd != program:
        return f"its working directory {cwd} cannot be entered: {error.strerror}"
    if error.errno == errno.ENOENT:
        return f"there is no program {program}, or the interpreter in its first line is missing"
    if error.errno == errno.EACCES:
        return f"{program} is not executable for the user of this worker (uid {os.geteuid()}); see its mode and owner"
    if error.errno == errno.ENOEXEC:
        return f"{program} is no program: a script needs a first line such as #!/bin/sh"
    if error.errno == errno.E2BIG:
        return f"the arguments and environment of {program} are larger than this host takes"
    return f"{program} cannot be started: {error.strerror or error}"
