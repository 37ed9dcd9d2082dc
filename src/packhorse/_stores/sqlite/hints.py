"""Waiting until another connection has changed something.

The kernel's notice about the log is only a hint: it comes while a commit is being written, a moment before it can be
seen. So after a hint the version of the data is asked for until it moves; without inotify it is asked for now and then.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Sequence

from .connection import Connection

#: After a hint, the version is looked at so often …
_LOOK_EVERY = 0.0003
#: … and for so long.
_LOOK_FOR = 0.1
#: A hint may come of a commit that a slow disk keeps waiting: until then it is asked for now and then.
_EXPECT_FOR = 30.0
_LINGER = 1.0
#: Without hints, looks are this far apart, longer and longer.
_POLL_FIRST, _POLL_LAST = 0.005, 0.25


class Waiting(Connection):
    """The verbs that wait."""

    _pipe: tuple[int, int] | None = None
    _notices: int | None = None
    _expect_until = 0.0
    _waits = False  #: a wait is under way
    _watched = True  #: the notices are about the log that is used
    _owner = 0  #: process whose descriptors these are
    _pipe_lock = threading.Lock()

    def wait(self, timeout: float) -> bool:
        """Wait until another connection may have changed something, at most ``timeout`` seconds."""
        self._waits = True
        try:
            return self._wait(time.monotonic() + timeout)
        finally:
            self._waits = False

    def _wait(self, deadline: float) -> bool:
        self._prepare()
        assert self._pipe is not None
        woken = [self._pipe[0]]
        sources = woken if self._notices is None else [*woken, self._notices]
        pause = _POLL_FIRST
        while not self.changed():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            blind = self._notices is None or time.monotonic() < self._expect_until
            ready = _readable(sources, min(pause, left) if blind else left)
            if woken[0] in ready:
                _empty(woken[0])
                return self.changed()
            if ready:
                _empty(ready[0])
                pause = _POLL_FIRST
                self._expect_until = time.monotonic() + _EXPECT_FOR
                self._look(deadline, woken)
            else:
                pause = min(pause * 1.5, _POLL_LAST)
        return True

    def _look(self, deadline: float, woken: list[int]) -> None:
        """Ask for the version until it has moved, or somebody calls, or it takes too long."""
        until = min(deadline, time.monotonic() + _LOOK_FOR)
        version = self._seen_version
        while self._version() == version and time.monotonic() < until:
            if _readable(woken, _LOOK_EVERY):
                return

    def wake(self) -> None:
        """Make a ``wait`` under way on this object return soon. Any thread may call it."""
        self._prepare_pipe()
        assert self._pipe is not None
        try:
            os.write(self._pipe[1], b"!")
        except BlockingIOError:
            pass  # full: it will be woken anyway

    def changed(self) -> bool:
        """Tell whether another connection has changed something since this was last asked (first time: True)."""
        seen = self._version()
        news = seen != self._seen_version
        if news:
            # Another commit may have been noticed together with this one, and be seen a little later.
            self._expect_until = time.monotonic() + _LINGER
        self._seen_version = seen
        return news

    def _version(self) -> int:
        with self.gate:
            db = self._live()
            version: int = self._patiently(lambda: db.execute("PRAGMA data_version").fetchone()[0])
            return version

    def put_down(self) -> None:
        """Close the connection for a fork. The log may go with it, so who waits has to look for it again."""
        had = self._db is not None
        super().put_down()
        if had:
            self._watched = False
            if self._waits:
                self.wake()

    # -- descriptors --------------------------------------------------------------------------------------------
    def _prepare(self) -> None:
        self._prepare_pipe()
        if self._notices is not None and not self._watched:
            os.close(self._notices)
            self._notices = None
        if self._notices is None and sys.platform == "linux":
            from . import inotify  # needs ctypes, which takes longer to import than all else here

            # The log is there once the database has been read, and stays as long as any connection is open.
            self._version()
            self._watched = True
            self._notices = inotify.watch(f"{self._path}-wal")
            # A commit may have been written before the watch began, and be seen only after it.
            self._expect_until = time.monotonic() + _EXPECT_FOR

    def _prepare_pipe(self) -> None:
        if self._pipe is not None and self._owner == os.getpid():
            return
        with self._pipe_lock:
            if self._pipe is not None and self._owner == os.getpid():
                return
            self._close_sources()
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._owner = os.getpid()

    def _close_sources(self) -> None:
        pipe, self._pipe = self._pipe, None
        notices, self._notices = self._notices, None
        for end in (*(pipe or ()), *(() if notices is None else (notices,))):
            os.close(end)


def _renew_lock() -> None:
    """After a fork: a thread that is no more may have held it."""
    Waiting._pipe_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _readable(sources: Sequence[int], timeout: float) -> list[int]:
    """Wait with poll(2), which unlike select knows descriptors beyond 1023; a shorter timeout than 1 ms is kept to."""
    if timeout < 0.001:
        time.sleep(timeout)
        timeout = 0.0
    poll = select.poll()
    for source in sources:
        poll.register(source, select.POLLIN)
    return [source for source, _ in poll.poll(timeout * 1000)]


def _empty(source: int) -> None:
    try:
        while len(os.read(source, 65536)) == 65536:
            continue
    except BlockingIOError:
        return
