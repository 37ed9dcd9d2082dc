"""A private server, a store on it, and real workers: everything may be killed, paused and started again."""

from __future__ import annotations

import importlib
import itertools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from packhorse import Job, Queue
from packhorse._record import JobRecord
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse.errors import StoreUnavailable
from tests.worker.site import PATIENCE, Site, Worker, eventually
from tests.worker.watch import busy

T = TypeVar("T")
#: What a worker says when the store goes away, and when it is back.
AWAY, BACK = "(quiet until it changes", "the store is back after"
#: A worker is back so long after its server is (seconds); the rest is for a machine that is busy with other things.
WITHIN, SLACK = 5.0, 2.0
KINDS = ("postgres", "redis")
_databases = itertools.count(1)


def new_server(kind: str, directory: Path) -> Any:
    """Return a server that keeps what it acknowledged, not started."""
    server = importlib.import_module(f"tests.servers.{kind}").Server
    return server(directory, appendonly="yes", appendfsync="always") if kind == "redis" else server(directory)


def new_store_url(kind: str, server: Any) -> str:
    """Return the URL of a store of its own on a running server."""
    url = str(server.url)
    if kind == "redis":
        return f"{url.rstrip('/').removesuffix('/0')}/{next(_databases) % 16}"
    return f"{url}{'&' if '?' in url else '?'}schema=t{uuid.uuid4().hex}"


class Ran(NamedTuple):
    """How a program ended, and all it printed."""

    code: int
    text: str


class Outpost(Site):
    """One store on a server that can be taken away."""

    def __init__(self, directory: Path, kind: str, server: Any, url: str) -> None:
        super().__init__(directory)
        self.kind = kind
        self.server = server
        self.use(url)

    def use(self, url: str) -> None:
        """Mean another URL from now on: the same store by another way."""
        self.url = url
        self.queue = Queue("work", store=url)

    def make(self) -> None:
        """Make the tables, where there are any."""
        store = open_store(self.url)
        store.migrate()
        store.close()

    @property
    def store(self) -> Store:
        """A connection of the test's own, which goes to the server itself."""
        if self._store is None:
            self._store = open_store(self.direct)
        return self._store

    @property
    def direct(self) -> str:
        """The URL without whatever stands in between."""
        return self.url

    def job(self, job: Job[Any] | str) -> JobRecord:
        """Return a job as it is stored, as soon as the store answers."""
        (record,) = self.persist(lambda: self.store.get([job if isinstance(job, str) else job.id]))
        return record

    def persist(self, call: Callable[[], T]) -> T:
        """Call until the store answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return call()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)


class Through(Outpost):
    """The same through a proxy; what the test itself looks at goes past it."""

    direct_url = ""

    @property
    def direct(self) -> str:
        return self.direct_url


def away(worker: Worker, times: int = 1) -> None:
    """Wait until a worker has said so often that its store is away; it says it once for each time."""
    eventually(lambda: worker.output.count(AWAY) >= times, f"{times} × away in:\n{worker.output}")
    assert worker.output.count(AWAY) == times, worker.output


def back(worker: Worker, since: float, times: int = 1) -> None:
    """Wait until a worker has said that its store is back, soon enough after ``since`` (monotonic)."""
    eventually(lambda: worker.output.count(BACK) >= times, f"{times} × back in:\n{worker.output}")
    assert time.monotonic() - since < busy(WITHIN + SLACK), worker.output
    assert worker.output.count(BACK) == times, worker.output
