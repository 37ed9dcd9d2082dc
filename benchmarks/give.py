"""The producer, a process of its own: ``python -m benchmarks.give SYSTEM MODE [TASK FIRST COUNT [RATE]]``.

Modes: ``prepare`` the store, ``one`` by one, in ``bulk``, or at a ``pace`` of RATE a second, noting when before each call.
Prints the seconds it took. A producer is a module with ``one`` and ``many``, and ``prepare`` where it has to; where these are
coroutines, all goes on one loop.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import time
from collections.abc import Sequence
from types import ModuleType

from benchmarks import record


def main(system: str, mode: str, task: str = "noop", first: str = "0", count: str = "0", rate: str = "0") -> float:
    """Enqueue, and return how long it took."""
    producer = importlib.import_module(f"benchmarks.with_{system}")
    numbers = range(int(first), int(first) + int(count))
    if inspect.iscoroutinefunction(producer.one):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(on_a_loop(producer, mode, task, numbers, float(rate)))
    return plainly(producer, mode, task, numbers, float(rate))


def plainly(producer: ModuleType, mode: str, task: str, numbers: Sequence[int], rate: float) -> float:
    if mode == "prepare":
        if hasattr(producer, "prepare"):
            producer.prepare()
        return 0.0
    producer.one(task, record.WARM_UP)  # opens the store
    start = time.perf_counter()
    if mode == "bulk":
        producer.many(task, numbers)
    elif mode == "one":
        for number in numbers:
            producer.one(task, number)
    else:
        for step, number in enumerate(numbers):
            time.sleep(max(0.0, start + step / rate - time.perf_counter()))
            record.mark(number)
            producer.one(task, number)
    return time.perf_counter() - start


async def on_a_loop(producer: ModuleType, mode: str, task: str, numbers: Sequence[int], rate: float) -> float:
    if mode == "prepare":
        await producer.prepare()
        return 0.0
    await producer.one(task, record.WARM_UP)  # opens the store
    start = time.perf_counter()
    if mode == "bulk":
        await producer.many(task, numbers)
    elif mode == "one":
        for number in numbers:
            await producer.one(task, number)
    else:
        for step, number in enumerate(numbers):
            await asyncio.sleep(max(0.0, start + step / rate - time.perf_counter()))
            record.mark(number)
            await producer.one(task, number)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
