"""Give jobs to RQ on Redis: of the peers there, the one that has a call for many."""

from __future__ import annotations

import os
from collections.abc import Sequence

from redis import Redis
from rq import Queue

from benchmarks import tasks

CHUNK = 1000
TASKS = {"noop": tasks.noop, "nap": tasks.nap}
_queue = Queue("bench", connection=Redis.from_url(os.environ["BENCHMARK_STORE"]))


def one(task: str, number: int) -> None:
    """Enqueue one job."""
    _queue.enqueue(TASKS[task], number, result_ttl=0)


def many(task: str, numbers: Sequence[int]) -> None:
    """Enqueue them in bulk."""
    function = TASKS[task]
    for first in range(0, len(numbers), CHUNK):
        chunk = numbers[first : first + CHUNK]
        _queue.enqueue_many([Queue.prepare_data(function, (number,), result_ttl=0) for number in chunk])
