"""The jobs of the benchmarks, as plain functions."""

from __future__ import annotations

import time

from benchmarks import record


def noop(number: int) -> None:
    """Do nothing."""
    record.begin(number)
    record.end(number)


def nap(number: int) -> None:
    """Wait for 10 ms, as for an answer from somewhere."""
    record.begin(number)
    time.sleep(0.01)
    record.end(number)


def hold(number: int) -> None:
    """Run on; the end of the measurement ends it. The one that only opens the store would stand before it all the while."""
    record.begin(number)
    if number != record.WARM_UP:
        time.sleep(60)
