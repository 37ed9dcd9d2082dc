"""Work that may block (a file system that hangs, gigabytes that are copied), done in a forked process that can be given up.

The commands child is one small process with one thread and no application in it, so a fork is safe and costs about a millisecond.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from .strays import die_with_parent

#: Where the forked process answers.
_ANSWER = 3


class Unfit(Exception):
    """The work cannot be done as asked; ``code`` is that of an error, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        """Name the code."""
        super().__init__(text)
        self.code = code


class Answer:
    """What came of it: ``value``, or ``problem``; both are None if it was ended from outside."""

    def __init__(self, value: Any = None, problem: Unfit | None = None) -> None:
        """Take the one or the other."""
        self.value = value
        self.problem = problem


class Aside:
    """One such process. ``fd`` becomes readable when there is an answer, or none to be had."""

    def __init__(self, work: Callable[[], Any]) -> None:
        """Start it. ``work`` returns JSON data, or raises ``Unfit`` or ``OSError``. Raises ``OSError`` if that cannot be."""
        self.fd, write = os.pipe()
        self._heard: list[bytes] = []
        self.give_up: Callable[[], None] = self.kill
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(self.fd)
            os.close(write)
            raise
        if self.pid == 0:
            _do(work, write, parent)
        os.close(write)
        os.set_blocking(self.fd, False)

    def hear(self) -> Answer | None:
        """Read what is there; return the answer once it is whole."""
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return None
            if not data:
                return _answer(b"".join(self._heard))
            self._heard.append(data)

    def kill(self) -> None:
        """End it; its answer comes all the same, an empty one. One that hangs in the kernel ends when that lets it go."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Listen no more."""
        os.close(self.fd)


def _answer(data: bytes) -> Answer:
    if not data:
        return Answer()
    said = json.loads(data)
    return Answer(said["value"]) if "value" in said else Answer(problem=Unfit(*said["problem"]))


def _do(work: Callable[[], Any], write: int, parent: int) -> NoReturn:
    code = 1
    try:
        _keep_only(write)
        die_with_parent(parent)
        try:
            said: dict[str, Any] = {"value": work()}
        except Unfit as unfit:
            said = {"problem": [unfit.code, str(unfit)]}
        except OSError as error:
            said = {"problem": ["E000", _told(error)]}
        data = memoryview(json.dumps(said).encode())
        while data:
            data = data[os.write(_ANSWER, data) :]
        code = 0
    finally:
        os._exit(code)  # nothing of the child's own may run here


def _keep_only(fd: int) -> None:
    """Close what belongs to the child: its pipes must end with it."""
    signal.set_wakeup_fd(-1)
    os.dup2(fd, _ANSWER)  # descriptor 3 is reserved, and nobody's
    open_ones = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ["4096"]
    os.closerange(_ANSWER + 1, max(map(int, open_ones)) + 1)


def _told(error: OSError) -> str:
    name = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{name}"
