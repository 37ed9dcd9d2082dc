"""Give jobs to huey, on SQLite as durable as ours (WAL and synchronous=FULL), or on Redis."""

from __future__ import annotations

import os
from collections.abc import Sequence

import huey as peer

from benchmarks import tasks

_url = os.environ["BENCHMARK_STORE"]
if _url.startswith("sqlite"):
    huey = peer.SqliteHuey("bench", filename=_url.removeprefix("sqlite:///"), results=False, fsync=True)
else:
    huey = peer.RedisHuey("bench", url=_url, results=False)
TASKS = {"noop": huey.task()(tasks.noop), "nap": huey.task()(tasks.nap)}


def one(task: str, number: int) -> None:
    """Enqueue one job."""
    TASKS[task](number)


def many(task: str, numbers: Sequence[int]) -> None:
    """Enqueue them one by one: it has no call for many."""
    for number in numbers:
        TASKS[task](number)
