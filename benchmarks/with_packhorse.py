"""Give jobs to Packhorse."""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks import tasks
from packhorse import Queue

#: What is enqueued, and what each job reserves: something of its own, one of a hundred things, or what all of them want.
TASKS = {
    "noop": (tasks.noop, None),
    "nap": (tasks.nap, None),
    "own": (tasks.noop, "own:{number}"),
    "boxes": (tasks.noop, "box:{box}"),
    "line": (tasks.noop, "line"),
    "hold": (tasks.hold, "line"),
}
BOXES = 100
_queue = Queue("bench", store=os.environ["BENCHMARK_STORE"])


def prepare() -> None:
    """Make its tables."""
    from packhorse._stores import open_store

    store = open_store(os.environ["BENCHMARK_STORE"])
    store.migrate()
    store.close()


def one(task: str, number: int) -> None:
    """Enqueue one job."""
    function, name = TASKS[task]
    _reserving(name, number).enqueue(function, number)


def many(task: str, numbers: Sequence[int]) -> None:
    """Enqueue them in bulk."""
    function, name = TASKS[task]
    _queue.enqueue_many(_reserving(name, number).draft(function, number) for number in numbers)


def _reserving(name: str | None, number: int) -> Queue:
    if name is None:
        return _queue
    return _queue.using(reserves=name.format(number=number, box=number % BOXES))
