"""What a store itself can do here with a few statements and no job queue: the ceiling of every queue on it.

Each takes a URL, makes one table (or stream) of its own, and is as durable as the store is for the queues.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Callable
from typing import Any, Protocol

PAYLOAD = "[[123456],{}]"
#: Rows of one commit, where many are stored at once.
BULK = 1000


class Bare(Protocol):
    """One connection to a store, and what it can do at best."""

    batch: int  #: rows a turn of ``drain`` that did best when it was tried
    processes: int  #: that drain together best, on two cores

    def about(self) -> str:
        """Return the store's version and how durable a commit is."""

    def one(self, count: int) -> None:
        """Store rows, each in a commit of its own."""

    def bulk(self, count: int) -> None:
        """Store rows, a thousand a commit."""

    def drain(self, batch: int) -> int:
        """Claim all rows batch by batch and take away what was claimed the turn before; return how many there were."""

    def server_cpu(self) -> float | None:
        """Return the seconds of CPU the server has used; None: there is none, or it is out of sight."""

    def close(self) -> None:
        """Hang up. What was stored stays."""

    def drop(self) -> None:
        """Take away what was stored."""


_KINDS = {
    "sqlite": "sqlite",
    "postgres": "postgres",
    "postgresql": "postgres",
    "redis": "redis",
    "unix": "redis",
    "valkey": "redis",
}


def open_bare(url: str) -> Bare:
    """Return the bare store of a URL as Packhorse takes it (``sqlite:///…``, ``postgresql://…``, ``redis://…``)."""
    kind = _KINDS[url.partition("://")[0].partition("+")[0]]
    bare: Bare = importlib.import_module(f"benchmarks.bare.{kind}").BareStore(url)
    return bare


def measure(url: str, scale: float) -> dict[str, float]:
    """Return measurement → rows per second."""
    ones, many = max(100, int(10_000 * scale)), max(BULK, int(100_000 * scale))
    bare = open_bare(url)
    try:
        one = ones / _seconds(lambda: bare.one(ones))
        bare.drop()
        bulk = many / _seconds(lambda: bare.bulk(many))
        drained = many / _drain(url, bare)
        bare.drop()
    finally:
        bare.close()
    return {"enqueue one by one": one, "enqueue in bulk": bulk, "drain": drained}


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _drain(url: str, bare: Bare) -> float:
    """Return the seconds that as many processes as do best take to drain all."""
    if bare.processes == 1:
        return _seconds(lambda: bare.drain(bare.batch))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(bare.processes)
    with context.Pool(bare.processes, _hold, (barrier,)) as pool:
        times = pool.starmap(_drain_together, [(url, bare.batch)] * bare.processes, chunksize=1)
    return max(end for _, end in times) - min(start for start, _ in times)


def _hold(barrier: Any) -> None:
    """Keep the barrier, which cannot come with a call."""
    globals()["_barrier"] = barrier


def _drain_together(url: str, batch: int) -> tuple[float, float]:
    bare = open_bare(url)
    globals()["_barrier"].wait(30)
    start = time.time()
    bare.drain(batch)
    end = time.time()
    bare.close()
    return start, end
