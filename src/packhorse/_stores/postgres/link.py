"""One session with the server, on which nothing is waited for longer than until its deadline."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import RawCursor
from psycopg.adapt import Buffer, Dumper
from psycopg.types.numeric import Int8

from .wire import READABLE, NoAnswer, Rows, Statement, Wire

T = TypeVar("T")
_WRITABLE = select.POLLOUT | select.POLLERR | select.POLLHUP | select.POLLNVAL
_INT8 = 20


class _Number(Dumper):
    """Numbers are bigint, whatever their size: else one statement would be prepared once for each mixture of sizes."""

    oid = _INT8

    def dump(self, obj: Any) -> Buffer:
        """Return the number as text."""
        return str(obj).encode()


class Link(psycopg.Connection[Any]):
    """A connection whose every wait has a deadline."""

    deadline = float("inf")
    _wire: Wire

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Do what is to be done until the answer is there.

        libpq's own sockets know no time limit but those of the kernel, which cannot tell a server that has stopped.
        """
        poll = select.poll()
        socket, wanted = self.pgconn.socket, 0
        deadline = self.deadline if timeout is None else min(self.deadline, time.monotonic() + timeout)
        try:
            state = next(gen)
            while True:
                if state != wanted:
                    wanted = state
                    poll.register(socket, (select.POLLIN if state & 1 else 0) | (select.POLLOUT if state & 2 else 0))
                left = deadline - time.monotonic()
                ready = poll.poll(min(max(left, 0.0), 60.0) * 1000)
                if not ready and left <= 0:
                    raise NoAnswer("no answer in time")
                state = gen.send(_direction(ready[0][1]) & wanted if ready else 0)
        except StopIteration as end:
            return end.value

    def is_disturbed(self) -> bool:
        """Tell whether something arrived while nothing was asked: a notice, a notification, or the end of the session."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return bool(poll.poll(0))

    def ask(self, statement: bytes, values: tuple[Any, ...] = ()) -> RawCursor[Any]:
        """Run one statement."""
        cursor = RawCursor(self)
        cursor.execute(statement, values)
        return cursor

    def run(self, statements: Sequence[Statement], *, prepare: bool) -> list[Rows]:
        """Run statements one after the other, all sent at once, and return the rows of each. Outside of a transaction they are
        one."""
        return self._wire.run(statements, prepare)

    def drop(self) -> None:
        """End the session without a word: it may be out of step, and the other end may be silent."""
        try:
            self.pgconn.finish()
        except (psycopg.Error, OSError):
            pass
        self.close()


def _direction(event: int) -> int:
    return (1 if event & READABLE else 0) | (2 if event & _WRITABLE else 0)


def connect(parameters: dict[str, Any], patience: float) -> Link:
    """Begin a session. Raises psycopg's errors."""
    link = Link.connect("", autocommit=True, **parameters)
    link.adapters.register_dumper(int, _Number)
    link.adapters.register_dumper(Int8, _Number)
    link._wire = Wire(link)
    link.deadline = time.monotonic() + patience
    return link
