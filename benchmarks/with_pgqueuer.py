"""Give jobs to PgQueuer on PostgreSQL. Its tables are logged, as it makes them; both it and we wait for each commit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

CHUNK = 1000
_queries: list[Any] = []


async def connected() -> Any:
    """Return its queries on the one connection of this process."""
    if not _queries:
        _queries.append(Queries(AsyncpgDriver(await asyncpg.connect(os.environ["BENCHMARK_STORE"]))))
    return _queries[0]


async def prepare() -> None:
    """Make its tables."""
    await (await connected()).install()


async def one(task: str, number: int) -> None:
    """Enqueue one job."""
    await (await connected()).enqueue(task, str(number).encode())


async def many(task: str, numbers: Sequence[int]) -> None:
    """Enqueue them in bulk."""
    queries = await connected()
    for first in range(0, len(numbers), CHUNK):
        payloads = [str(number).encode() for number in numbers[first : first + CHUNK]]
        await queries.enqueue([task] * len(payloads), payloads, [0] * len(payloads))
