"""The producer, a process of its own: ``python -m benchmarks.give SYSTEM MODE TASK FIRST COUNT [RATE]``.

Modes: ``one`` by one, in ``bulk``, or at a ``pace`` of RATE a second, noting when before each call.
Prints the seconds it took.
"""

from __future__ import annotations

import importlib
import sys
import time

from benchmarks import record


def main(system: str, mode: str, task: str, first: str, count: str, rate: str = "0") -> float:
    """Enqueue, and return how long it took."""
    producer = importlib.import_module(f"benchmarks.with_{system}")
    numbers = range(int(first), int(first) + int(count))
    producer.one(task, record.WARM_UP)  # opens the store
    start = time.perf_counter()
    if mode == "bulk":
        producer.many(task, numbers)
    elif mode == "one":
        for number in numbers:
            producer.one(task, number)
    else:
        for step, number in enumerate(numbers):
            time.sleep(max(0.0, start + step / float(rate) - time.perf_counter()))
            record.mark(number)
            producer.one(task, number)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
