"""What a store can do on a connection that belongs to somebody else, inside that connection's transaction.

Free of I/O: each act is a generator that yields one statement at a time and is sent the rows it returned, so that the
same code serves a connection that blocks and one that is awaited. Nothing here begins, commits or rolls back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ._record import Enqueued, NewJob

T = TypeVar("T")

#: (SQL, parameters), which brings all rows of the answer, an empty list if there are none. On SQLite, where a connection is
#: always a ``sqlite3.Connection``, also a function of it, which brings what it returns.
Step = tuple[str, Sequence[Any]] | Callable[[Any], Any]
#: Yields one step at a time and is sent what it brings; an error of the driver is thrown into it.
Steps = Generator[Step, Any, T]


class Stored(NamedTuple):
    """What was stored in a transaction that is still open."""

    jobs: list[Enqueued]
    #: Names the transaction for ``Inside.fate``; None: the store cannot tell transactions apart.
    transaction: str | None


class Inside(Protocol):
    """The acts. SQL is in the dialect of ``Capabilities.dialect``, parameters in the style of its drivers: ``?`` for
    sqlite, ``%s`` for postgresql (psycopg and psycopg2 alike)."""

    def check(self) -> Steps[None]:
        """Raise ``WrongDatabase`` unless the connection leads to the store's own database."""

    def enqueue(self, jobs: Sequence[NewJob]) -> Steps[Stored]:
        """Do what ``Store.enqueue`` does, visible to others when the caller commits. All or none: after an error the
        caller rolls back."""

    def complete(self, job: str, token: str, result: str | None, keep: float | None) -> Steps[bool]:
        """Make a running job ``succeeded`` when the caller commits, fenced by the token; False: it is not mine any more,
        or its cancel was requested. ``keep`` as in ``Verdict``."""

    def fate(self, transaction: str) -> str:
        """Tell, on the store's own connection, what became of a transaction: "open", "committed" or "rolled back"."""
