"""Storing and ending jobs inside a transaction of the caller's own, on its connection to the store's database.

No statement here locks a row that another enqueue or a claim needs, and none is expected to fail: in PostgreSQL an error ends the
caller's transaction.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from typing import Any, TypeVar

from ..._closed import refusal
from ..._inside import Steps, Stored
from ..._record import Enqueued, NewJob
from ..._store import Clock
from ...errors import WrongDatabase
from .connection import Connection
from .known import answered, known_jobs, new_among
from .link import Link
from .queries import sql
from .states import NAMES, micros
from .storing import Storing, is_ruled, ranked

T = TypeVar("T")

_PARAMETER = re.compile(r"\$(\d+)")
_FATES = {"in progress": "open", "committed": "committed", "aborted": "rolled back"}
#: In these a statement sees the database as it was when the transaction began.
_SNAPSHOTS = ("repeatable read", "serializable")


class Inside:
    """The acts."""

    def __init__(self, url: str, namespace: str, clock: Clock | None) -> None:
        self._open = partial(Connection, url, namespace, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[int, int]] = {}
        self._ns = 0
        self._instance = ""
        self._place: tuple[Any, ...] = ()

    def _asked(self, act: Callable[[Connection, Link], T]) -> T:
        """Ask something of the store on a connection opened for it: there is rarely anything to ask."""
        with self._lock, closing(self._open()) as store:
            return store._attempted(lambda link: self._learned(store, link, act))

    def _learned(self, store: Connection, link: Link, act: Callable[[Connection, Link], T]) -> T:
        store._require(link)
        self._ns, self._instance, self._shown = store._ns, store.instance, store.url
        self._schema, self.namespace = store._schema, store.namespace
        return act(store, link)

    def _known(self) -> None:
        """Learn the number of the namespace, and who the tables are."""
        if not self._instance:
            self._asked(lambda store, link: None)

    # -- is it the same database? ---------------------------------------------------------------------------------
    def check(self) -> Steps[None]:
        """Compare server, database and the identity of the tables."""
        self._known()
        ((oid, started, name, readable),) = yield self._step("where", self._schema)
        if (oid, started) != self._place:
            self._place = self._asked(
                lambda store, link: tuple(store._rows(link, "inside", "where", self._schema)[0][:2])
            )
        if (oid, started) != self._place:
            raise self._wrong(name, "that is another database")
        if not readable:
            raise self._wrong(
                name, f"its role may not use the schema {self._schema} (docs/guides/postgresql.md has the GRANTs)"
            )
        rows = yield self._step("instance")
        if [tuple(row) for row in rows] != [(self._instance,)]:
            raise self._wrong(name, "the tables there are others")

    def _wrong(self, name: str, why: str) -> WrongDatabase:
        return WrongDatabase(
            f"this connection leads to the database {name}, and the job store is {self._shown}: {why}; nothing was stored.\n"
            '  Keep the jobs in the application\'s own database (store="postgresql://…"), or write them down there for the relay:'
            "  within(x, outbox=True)"
        )

    # -- enqueue ------------------------------------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob]) -> Steps[Stored]:
        """Do what ``Store.enqueue`` does, visible to others when the caller commits."""
        if not jobs:
            return Stored([], None)
        self._known()
        kinds = self._numbers(jobs)
        isolation = yield from self._refuse_if_closed()
        if any(map(is_ruled, jobs)):
            return (yield from self._store(jobs, kinds, isolation))
        ids = [job.id for job in jobs]
        known = known_jobs((yield self._step("known", self._ns, ids, verb="enqueue")))
        first = new_among(jobs, known)
        rows = (yield self._insert(first, kinds)) if first else []
        if len(rows) < len(first):  # somebody else stored one of them at the same moment
            known = known_jobs((yield self._step("known", self._ns, ids, verb="enqueue")))
            stored = {row[0] for row in rows}
            known = {id: job for id, job in known.items() if id not in stored}
            new_among(jobs, known)
        new = [Enqueued(id, NAMES[state], created, scheduled, False) for id, state, created, scheduled, _ in rows]
        transaction = f"{rows[0][4]}:{rows[0][0]}" if rows else None
        return Stored(answered(jobs, known, new), transaction)

    def _numbers(self, jobs: Sequence[NewJob]) -> dict[str, tuple[int, int]]:
        """Return the numbers of the jobs' kinds. A new one is made on the store's own connection, at once and for good: in the
        caller's transaction it would hold up everybody else who needs it."""
        new = {(job.queue, job.task) for job in jobs} - self._kinds.keys()
        if new:
            self._kinds |= self._asked(
                lambda store, link: {names: store._names.kind(link, store._ns, *names) for names in sorted(new)}
            )
        return {job.id: self._kinds[job.queue, job.task] for job in jobs}

    def _store(self, jobs: Sequence[NewJob], kinds: dict[str, tuple[int, int]], isolation: str) -> Steps[Stored]:
        """Store jobs of which some have to do with others."""
        now = self._time()
        if now is None:
            ((now,),) = yield self._step("now", verb="small")
        storing = Storing(self._ns, now, jobs, kinds, lent=True, old=isolation in _SNAPSHOTS)
        act = storing.run()
        rows: Any = None
        try:
            while True:
                name, *values = act.send(rows)
                try:
                    rows = yield (name, ()) if isinstance(name, str) else self._step(name[1], *values, verb=name[0])
                except Exception as error:
                    rows = act.throw(error)
        except StopIteration as end:
            return Stored(end.value, storing.transaction)

    def _refuse_if_closed(self) -> Steps[str]:
        ((closed, isolation),) = yield self._step("open", self._ns)
        if closed is None and isolation in _SNAPSHOTS:
            ((closed,),) = yield self._step("hold", self._ns)
        if closed is not None:
            raise refusal(self._shown, self.namespace, closed)
        return str(isolation)

    def _insert(self, jobs: Sequence[NewJob], kinds: dict[str, tuple[int, int]]) -> tuple[str, Sequence[Any]]:
        rows = [_row(place, job, kinds[job.id]) for place, job in enumerate(jobs)]
        return self._step(ranked("insert", jobs), self._time(), self._ns, json.dumps(rows))

    # -- complete -----------------------------------------------------------------------------------------------
    def complete(self, job: str, token: str, result: str | None, keep: float | None) -> Steps[bool]:
        """Make a running job ``succeeded`` when the caller commits, fenced by the token."""
        self._known()
        values = (self._time(), self._ns, job, token, result, None if keep is None else micros(keep))
        ((count,),) = yield self._step("complete", *values)
        if count:
            yield self._step("aftermath", self._ns, job, verb="ties")
        return bool(count)

    # -- fate ---------------------------------------------------------------------------------------------------
    def fate(self, transaction: str) -> str:
        """Tell, on the store's own connection, what became of a transaction: "open", "committed" or "rolled back"."""
        number, _, job = transaction.partition(":")

        def act(store: Connection, link: Link) -> str:
            status = store._rows(link, "inside", "fate", number)[0][0]
            if status is not None:
                return _FATES[status]
            # So old that the server has forgotten it: its job tells.
            return "committed" if store._rows(link, "inside", "stored", store._ns, job)[0][0] else "rolled back"

        return self._asked(act)

    def _time(self) -> int | None:
        return None if self._clock is None else self._clock()

    def _step(self, name: str, *values: Any, verb: str = "inside") -> tuple[str, Sequence[Any]]:
        text, order = _in_percents(self._schema, verb, name)
        return text, tuple(values[place] for place in order)


@cache
def _in_percents(schema: str, verb: str, name: str) -> tuple[str, tuple[int, ...]]:
    """Return a statement with its parameters as ``%s``, and which value stands at each."""
    text = sql(schema, verb, name).decode().replace("%", "%%")
    return _PARAMETER.sub("%s", text), tuple(int(number) - 1 for number in _PARAMETER.findall(text))


def _row(place: int, job: NewJob, kind: tuple[int, int]) -> dict[str, Any]:
    return {
        "place": place,
        "id": job.id,
        "kind": kind[0],
        "line": kind[1],
        "priority": job.priority,
        "at": job.at,
        "delay": micros(job.delay),
        "expires_at": job.expires_at,
        "expires": None if job.expires is None else micros(job.expires),
        "crash_fails": job.crash_fails,
        "parent": job.parent,
        "made_by": job.by,
        "options": job.options,
        "tags": job.tags,
        "meta": job.meta,
        "payload": job.payload,
    }
