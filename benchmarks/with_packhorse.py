"""Give jobs to Packhorse."""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks import tasks
from packhorse import Queue

TASKS = {"noop": tasks.noop, "nap": tasks.nap}
_queue = Queue("bench", store=os.environ["BENCHMARK_STORE"])


def prepare() -> None:
    """Make its tables."""
    from packhorse._stores import open_store

    store = open_store(os.environ["BENCHMARK_STORE"])
    store.migrate()
    store.close()


def one(task: str, number: int) -> None:
    """Enqueue one job."""
    _queue.enqueue(TASKS[task], number)


def many(task: str, numbers: Sequence[int]) -> None:
    """Enqueue them in bulk."""
    function = TASKS[task]
    _queue.enqueue_many(_queue.draft(function, number) for number in numbers)
