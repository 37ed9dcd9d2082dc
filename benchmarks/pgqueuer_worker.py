"""One process of PgQueuer, on uvloop: ``python -m benchmarks.pgqueuer_worker [BATCH [AT_ONCE]]``, else as it comes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver

from benchmarks import record


async def noop(job: Any) -> None:
    """Do nothing."""
    number = int(job.payload)
    record.begin(number)
    record.end(number)


async def nap(job: Any) -> None:
    """Wait for 10 ms, as for an answer from somewhere."""
    number = int(job.payload)
    record.begin(number)
    await asyncio.sleep(0.01)
    record.end(number)


async def main(*sizes: str) -> None:
    """Work until killed."""
    logging.getLogger("pgqueuer").setLevel("ERROR")
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(os.environ["BENCHMARK_STORE"])))
    queuer.entrypoint("noop")(noop)
    queuer.entrypoint("nap")(nap)
    names = ("batch_size", "max_concurrent_tasks")
    await queuer.run(**dict(zip(names, map(int, sizes), strict=False)))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
