"""Statements sent all at once, and their answers, by libpq's own calls.

A cursor a statement, as the driver has it, flushes and polls for each of them, which costs five times as much, and wakes the
server for each.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from .link import Link

READABLE = select.POLLIN | select.POLLERR | select.POLLHUP | select.POLLNVAL
#: A statement as it is sent, and its values.
Statement = tuple[bytes, tuple[Any, ...]]
Rows = list[tuple[Any, ...]]
_WELL = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class NoAnswer(psycopg.OperationalError):
    """The server did not answer before the deadline."""


class Wire:
    """What is sent over one session."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._adapter: Any = Transformer(link)
        self._prepared: dict[bytes, bytes] = {}  #: statements, and what the server calls them
        self._named = 0

    def run(self, statements: Sequence[Statement], prepare: bool) -> list[Rows]:
        """Run statements; see ``Link``. Values are sent as texts, whose types the server knows from the statement: so there is
        one plan of it, whatever is NULL."""
        pgconn = self._link.pgconn
        texts = [self._adapter.dump_sequence(values, [PyFormat.TEXT] * len(values)) for _, values in statements]
        pgconn.enter_pipeline_mode()
        steps: list[bytes | None] = []  #: of each answer to come: the statement if it was prepared, None if it was run
        for (statement, _), values in zip(statements, texts, strict=True):
            if prepare:
                if statement not in self._prepared:
                    self._prepare(statement)
                    steps.append(statement)
                pgconn.send_query_prepared(self._prepared[statement], values)
            else:
                pgconn.send_query_params(statement, values)
            steps.append(None)
        pgconn.pipeline_sync()
        results = self._results()
        pgconn.exit_pipeline_mode()
        self._pass_on_notices()
        return self._rows_of(steps, results)

    def _prepare(self, statement: bytes) -> None:
        self._named += 1
        name = self._prepared[statement] = b"packhorse_%d" % self._named
        self._link.pgconn.send_prepare(name, statement)

    def _results(self) -> list[PGresult]:
        """Return what came back, but for what marks the ends."""
        pgconn = self._link.pgconn
        found: list[PGresult] = []
        while pgconn.flush():
            if self._ready(select.POLLIN | select.POLLOUT) & READABLE:
                pgconn.consume_input()
        while True:
            while pgconn.is_busy():
                self._ready(select.POLLIN)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return found
            if result is not None:
                found.append(result)

    def _ready(self, wanted: int) -> int:
        """Wait for the socket; return what it is ready for."""
        poll = select.poll()
        poll.register(self._link.pgconn.socket, wanted)
        while True:
            left = self._link.deadline - time.monotonic()
            ready = poll.poll(min(max(left, 0.0), 60.0) * 1000)
            if ready:
                return ready[0][1]
            if left <= 0:
                raise NoAnswer("no answer in time")

    def _pass_on_notices(self) -> None:
        pgconn = self._link.pgconn
        while notice := pgconn.notifies():
            if pgconn.notify_handler is not None:
                pgconn.notify_handler(notice)

    def _rows_of(self, steps: Sequence[bytes | None], results: Sequence[PGresult]) -> list[Rows]:
        """Return the rows of what was run. Raises the first error among the results."""
        rows: list[Rows] = []
        first: psycopg.Error | None = None
        for statement, result in zip(steps, results, strict=True):
            if result.status not in _WELL:
                first = first or errors.error_from_result(result, self._link.info.encoding)
                if statement is not None:
                    del self._prepared[statement]
            elif statement is None:
                self._adapter.set_pgresult(result)
                rows.append(self._adapter.load_rows(0, result.ntuples, tuple))
        if first is not None:
            raise first
        return rows
