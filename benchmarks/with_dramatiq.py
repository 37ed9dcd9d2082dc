"""Give jobs to dramatiq on Redis."""

from __future__ import annotations

import os
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import tasks

dramatiq.set_broker(RedisBroker(url=os.environ["BENCHMARK_STORE"]))
TASKS = {"noop": dramatiq.actor(tasks.noop), "nap": dramatiq.actor(tasks.nap)}


def one(task: str, number: int) -> None:
    """Enqueue one job."""
    TASKS[task].send(number)


def many(task: str, numbers: Sequence[int]) -> None:
    """Enqueue them one by one: it has no call for many."""
    for number in numbers:
        TASKS[task].send(number)
