"""What a command leaves running: found among what fell to us, since the child inherits the processes that its commands orphan."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: The variable by which a process tells whose it is, though it has left its session.
JOB_VARIABLE = "PACKHORSE_JOB_ID"

LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None) if LINUX else None


def inherit_orphans() -> None:
    """Have fall to this process what its commands leave behind."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent dies, however it dies."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(70)


class Stray(NamedTuple):
    """A process that fell to us."""

    pid: int
    session: int
    began: int  #: ticks since the host was started


def strays(ours: Collection[int]) -> list[Stray]:
    """Return the living processes that fell to us; the dead among them are collected. ``ours`` are those that we started."""
    found = []
    for pid in _children():
        if pid in ours:
            continue
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0 and (stray := about(pid)) is not None:
                found.append(stray)
    return found


def about(pid: int) -> Stray | None:
    """Return what the kernel says of a process; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return Stray(pid, int(fields[3]), int(fields[19]))


def job_of(pid: int) -> str | None:
    """Return the id of the job in a process's environment; None if there is none, or it cannot be read."""
    mark = JOB_VARIABLE.encode() + b"="
    found = (word[len(mark) :] for word in environ_of(pid) if word.startswith(mark))
    return next((word.decode("ascii", "replace") for word in found), None)


def environ_of(pid: int | str) -> list[bytes]:
    """Return the environment that a process was started with; nothing if it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def kill(pid: int) -> None:
    """Kill a process with its group, if it leads one."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    kill_group(pid)


def kill_group(leader: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to all of a group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def family(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    for child in _children(pid):
        yield from family(child)


def _children(pid: int | str = "self") -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found.extend(map(int, file.read().split()))
    except (OSError, ValueError):
        return found
    return found
