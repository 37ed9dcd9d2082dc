"""How the driver sees that a store holds no unsettled job any more. It connects before the run: that must not count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from packhorse._record import FINAL
from packhorse._stores import open_store

Look = Callable[[], bool]
PATIENCE = 120.0


@contextmanager
def packhorse(url: str) -> Iterator[Look]:
    store = open_store(url)
    store.queues(["bench"])

    def settled() -> bool:
        (queue,) = store.queues(["bench"])
        return not any(count for state, count in queue.counts.items() if state not in FINAL)

    yield settled
    store.close()


@contextmanager
def dramatiq(url: str) -> Iterator[Look]:
    import redis

    client: Any = redis.Redis.from_url(url)
    client.ping()
    yield lambda: not client.hlen("dramatiq:default.msgs")
    client.close()


@contextmanager
def pgqueuer(url: str) -> Iterator[Look]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT 1")
        yield lambda: connection.execute("SELECT 1 FROM pgqueuer LIMIT 1").fetchone() is None


LOOK: dict[str, Callable[[str], AbstractContextManager[Look]]] = {
    "packhorse": packhorse,
    "dramatiq": dramatiq,
    "pgqueuer": pgqueuer,
}


@contextmanager
def settling(system: str, url: str) -> Iterator[Callable[[], float]]:
    """Give what waits until all is settled and returns when that was seen; 0.0 for huey, which forgets a job before it runs."""
    if system not in LOOK:
        yield lambda: 0.0
        return
    with LOOK[system](url) as look:
        yield lambda: _until(look)


def _until(look: Look) -> float:
    deadline = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise RuntimeError("all jobs ran, but not all were settled")
        time.sleep(0.002)
    return time.time()
