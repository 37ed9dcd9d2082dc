"""The part of the store that all verbs stand on: one session, opened when needed, and dropped at the first sign of trouble."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from ..._store import Capabilities, Clock
from ...errors import BadSchema, BadStore, PackhorseError, SchemaGone, StoreUnavailable
from ..passwords import password_of
from . import failures, migrate, server
from .floors import Floors
from .link import Link, connect
from .location import locate
from .names import Names
from .queries import sql
from .wire import NoAnswer, Rows, Statement

T = TypeVar("T")

#: A transaction that another one was in the way of is done again so often.
_TRIES = 10
#: Sessions of a parent process: kept, so that nobody ends them from here.
_INHERITED: list[Link] = []


class Connection:
    """Connects, runs statements, and says what went wrong."""

    capabilities = Capabilities(
        scheme="postgresql", durable=True, processes=True, hints=True, early=True, dialect="postgresql"
    )
    #: A call that is not answered after so many seconds ends with StoreUnavailable. Who must not wait so long sets less.
    patience = 15.0

    def __init__(
        self, url: str, namespace: str = "default", clock: Clock | None = None, *, create: bool = True
    ) -> None:
        self._text = url
        self._location = locate(url)
        self._schema = self._location.schema
        self.url = self._location.url.shown
        self.namespace = self._location.namespace or namespace
        self.instance = ""
        self._ns = 0
        self._clock = clock
        self._names = Names(self)
        self._link: Link | None = None
        self._pid = os.getpid()
        self._closed = False
        self._busy = False
        self._prepare = not self._location.pooler
        self._notified = False
        self._floors = Floors()
        self._open_jobs: dict[str, int] = {}  #: token of a claim made here → its jobs that were not settled here yet
        self._ended: list[str] = []  #: tokens of claims of which all jobs were settled here
        self._sent = False  #: whether an enqueue was on its way to the server
        self._mine = 0  #: how much of what has changed was done here
        self.freed = False
        self._may_create = create  # of no use here: nothing but migrate() ever makes a table
        self._attempted(lambda link: None)

    # -- opening ------------------------------------------------------------------------------------------------
    def _open(self) -> Link:
        parameters = dict(self._location.parameters)
        password = password_of(self._location.url)
        if password is not None:
            parameters["password"] = password
        if not self._location.pooler:
            parameters["options"] = f"{server.OPTIONS} {parameters.get('options', '')}".strip()
        link = connect(parameters, self.patience)
        if not self._prepare:
            link.prepare_threshold = None  # BEGIN and COMMIT too: the driver prepares what it sees often
        try:
            link.add_notify_handler(self._heard)
            promise = server.inspect(link, self.url)
            self.capabilities = self.capabilities._replace(promise=promise, hints=True)
            self._identify(link)
        except BaseException:
            link.drop()
            raise
        self._link = link
        return link

    def _identify(self, link: Link) -> None:
        """Learn which data this is, if there are tables at all; refuse others than those that were there before."""
        found = migrate.look(link, self._schema)
        if self.instance and found.instance != self.instance:
            raise self._gone(found)
        if found.version == len(migrate.STEPS):
            self._ns = self._names.namespace(link, self.namespace)
            self.instance = found.instance

    def _gone(self, found: migrate.Found) -> SchemaGone:
        what = "have been replaced by others" if found.version else "are gone"
        return SchemaGone(
            f"The tables of the job store {self.url} (schema {self._schema}) {what}: was a dump restored, or a schema dropped? "
            "Nothing was stored, and nothing was made anew. Restart workers and programs once it is as you want it; an empty "
            "schema is filled by: packhorse db migrate"
        )

    def _live(self) -> Link:
        """Return the session, begun anew where it was lost or came over a fork."""
        if self._closed:
            raise StoreUnavailable(f"This connection to the job store {self.url} has been closed. Open another.")
        if self._pid != os.getpid():
            self._forked()
        link = self._link
        if link is not None and link.is_disturbed() and not self._heard_out(link):
            self._drop()
            link = None
        return link or self._open()

    def _heard_out(self, link: Link) -> bool:
        """Take in what arrived unasked; False: the session has ended."""
        try:
            link.pgconn.consume_input()
            while notice := link.pgconn.notifies():
                self._heard_from(notice.be_pid)
        except psycopg.Error:
            return False
        return link.pgconn.status == psycopg.pq.ConnStatus.OK and not link.is_disturbed()

    def _heard(self, notice: psycopg.Notify) -> None:
        self._heard_from(notice.pid)

    def _heard_from(self, pid: int) -> None:
        if self._link is None or pid != self._link.pgconn.backend_pid:
            self._notified = True

    def _forked(self) -> None:
        """Leave the parent's session to the parent."""
        if self._link is not None:
            _INHERITED.append(self._link)
        self._link, self._pid, self._busy = None, os.getpid(), False

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.drop()

    def close(self) -> None:
        """Give the connection back. Closing twice is fine."""
        self._closed = True
        link, self._link = self._link, None
        if link is not None and self._pid == os.getpid():
            link.close()

    # -- running ------------------------------------------------------------------------------------------------
    def _read(self, verb: str, name: str, *values: Any) -> list[Any]:
        """Run one statement and return its rows."""

        def act(link: Link) -> list[Any]:
            self._require(link)
            return self._rows(link, verb, name, *values)

        return self._attempted(act)

    def _write(self, step: Callable[..., T], *args: Any, names: Callable[[Link], object] | None = None) -> T:
        """Run ``step(link, now, *args)`` in one transaction, after ``names``, which sees that what it needs has a number."""

        def act(link: Link) -> T:
            self._require(link)
            if names is not None:
                names(link)
            return self._transact(link, step, args)

        return self._attempted(act)

    def _require(self, link: Link) -> None:
        """Raise ``BadSchema`` where there are no tables, or others than this version's."""
        if not self.instance:
            self._identify(link)
            migrate.require(migrate.look(link, self._schema), self.url)

    def _transact(self, link: Link, step: Callable[..., T], args: tuple[Any, ...]) -> T:
        answer = step(link, self._begin(link), *args)
        self._finished(link)
        return answer

    def _begin(self, link: Link) -> int:
        """Begin a transaction; return the time."""
        now = () if self._clock is not None else ((sql(self._schema, "small", "now"), ()),)
        rows = link.run([*self._beginning(), *now], prepare=self._prepare)
        return self._clock() if self._clock is not None else int(rows[-1][0][0])

    def _beginning(self) -> list[Statement]:
        """Return the statements that begin a transaction: in a session that is not ours, with the settings of ours."""
        parts = server.begin_in_any(self.patience) if self._location.pooler else (b"BEGIN",)
        return [(part, ()) for part in parts]

    def _rows(self, link: Link, verb: str, name: str, *values: Any) -> list[Any]:
        """Run one statement, by itself or in the transaction under way, and return its rows."""
        statement = sql(self._schema, verb, name)
        if self._location.pooler and link.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            begin = self._beginning()
            return link.run([*begin, (statement, values), (b"COMMIT", ())], prepare=False)[len(begin)]
        return link.run([(statement, values)], prepare=self._prepare)[0]

    def _together(self, link: Link, *statements: tuple[str, str, tuple[Any, ...]]) -> list[Rows]:
        """Run statements one after the other in a transaction of their own, all sent at once; return the rows of each."""
        asked = [(sql(self._schema, verb, name), values) for verb, name, values in statements]
        if not self._location.pooler:
            return link.run(asked, prepare=self._prepare)
        begin = self._beginning()
        return link.run([*begin, *asked, (b"COMMIT", ())], prepare=False)[len(begin) : -1]

    def _begun(self, link: Link, *statements: tuple[str, str, tuple[Any, ...]]) -> list[Rows]:
        """Begin a transaction with statements, all sent at once; return the rows of each."""
        begin = self._beginning()
        asked = [(sql(self._schema, verb, name), values) for verb, name, values in statements]
        return link.run([*begin, *asked], prepare=self._prepare)[len(begin) :]

    def _finished(self, link: Link, *statements: tuple[str, str, tuple[Any, ...]]) -> list[Rows]:
        """End the transaction under way with statements, all sent at once; return the rows of each."""
        asked = [(sql(self._schema, verb, name), values) for verb, name, values in statements]
        return link.run([*asked, (b"COMMIT", ())], prepare=self._prepare)[:-1]

    def _all(self, link: Link, *statements: tuple[str, str, tuple[Any, ...]]) -> list[Rows]:
        """Run statements one after the other in the transaction under way, all sent at once; return the rows of each."""
        asked = [(sql(self._schema, verb, name), values) for verb, name, values in statements]
        return link.run(asked, prepare=self._prepare)

    def _attempted(self, act: Callable[[Link], T]) -> T:
        """Run an act on the session, again where another transaction was in the way."""
        if self._busy and self._pid == os.getpid():
            raise StoreUnavailable(
                f"The job store {self.url} is at work in this very thread. Was it called by a signal handler? "
                "Nothing was stored by this call."
            )
        self._busy = True
        try:
            for number in range(_TRIES):
                try:
                    return self._once(act)
                except failures.CONFLICTS as error:
                    if number == _TRIES - 1:
                        raise failures.translated(error, self.url) from error
                    time.sleep(random.uniform(0.001, 0.002) * 2 ** min(number, 6))
                except failures.STRAYED:
                    self._prepare = False
            raise AssertionError("unreachable")
        finally:
            self._busy = False

    def _twice(self, act: Callable[[Link], T]) -> T:
        """Run an act that may be repeated, once more where the session turns out to have ended."""
        try:
            return self._attempted(act)
        except StoreUnavailable as error:
            if self._link is not None or self._closed or isinstance(error.__cause__, NoAnswer):
                raise
            return self._attempted(act)

    def _once(self, act: Callable[[Link], T]) -> T:
        link: Link | None = None
        try:
            link = self._live()
            link.deadline = time.monotonic() + self.patience
            return act(link)
        except BaseException as error:
            self._clean_up(link, error)
            if isinstance(error, psycopg.Error):
                self._raise(error, opened=link is not None)
            raise

    def _clean_up(self, link: Link | None, error: BaseException) -> None:
        """Leave the session as it was, or leave it."""
        if link is None:
            return
        broken = link.closed or (isinstance(error, psycopg.Error) and failures.is_lost(error))
        status = None if broken else link.pgconn.transaction_status
        if broken or status == psycopg.pq.TransactionStatus.ACTIVE:
            self._drop()
        elif status != psycopg.pq.TransactionStatus.IDLE:
            try:
                link.deadline = time.monotonic() + min(self.patience, 5.0)
                link.ask(b"ROLLBACK")
            except psycopg.Error:
                self._drop()

    def _raise(self, error: psycopg.Error, *, opened: bool) -> None:
        """Raise what an error of the driver means, unless it is one of those that are dealt with here."""
        if isinstance(error, (*failures.CONFLICTS, *failures.STRAYED)):
            return
        if opened and isinstance(error, failures.MISSING):
            raise self._missing(error) from error
        if not opened or failures.is_the_stores(error):
            raise failures.translated(error, self.url) from error

    def _missing(self, error: psycopg.Error) -> PackhorseError:
        """Return what it means that a table is not there."""
        known, self.instance = self.instance, ""
        self._drop()
        try:
            found = migrate.look(self._open(), self._schema)
        except psycopg.Error as other:
            return failures.translated(other, self.url)
        except PackhorseError as other:
            return other
        finally:
            self._drop()
            self.instance = known
        if known and found.instance != known:
            return self._gone(found)
        if found.version:
            return BadSchema(
                f"The job store {self.url} lacks a part of its schema ({failures.said(error)}). Was a table dropped? Look at: "
                "packhorse db status"
            )
        return self._gone(found) if known else BadStore(failures.said(error))

    # -- small verbs --------------------------------------------------------------------------------------------
    def _time(self) -> int | None:
        """Return the time to go by, None for the server's own."""
        return None if self._clock is None else self._clock()

    def _now(self, link: Link) -> int:
        if self._clock is not None:
            return self._clock()
        return int(self._rows(link, "small", "now")[0][0])

    def now(self) -> int:
        """Return the store's time, µs: the server's, or that of the clock given."""
        return self._attempted(self._now)

    def migrate(self) -> list[str]:
        """Bring the schema up to this version; return the names of the steps taken."""

        def step(link: Link) -> list[str]:
            found = migrate.look(link, self._schema)
            if found.version > len(migrate.STEPS):
                migrate.require(found, self.url)
            link.deadline = float("inf")  # a step may take long on large tables, or wait for who takes it just now
            taken = migrate.bring_up(link, self._schema, self.url)
            self._identify(link)
            return taken

        return self._attempted(step)

    def lock_dir(self) -> None:
        """Return None: a server has no place for lock files that every worker could reach."""
        return
