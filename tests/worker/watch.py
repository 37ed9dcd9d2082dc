"""Time as it matters to a bound. What is bounded is what the worker does, not what else goes on on the machine."""

from __future__ import annotations

import os
import threading
import time

_TICK = 0.02
_counted = 0.0
_lock = threading.Lock()
_thread: threading.Thread | None = None


def running_time() -> float:
    """Return seconds in which the machine ran, since some moment: those in which it stood still for all are not counted.

    A thread that wakes each 20 ms counts no more than twice that for each time. To be subtracted from a later answer.
    """
    global _thread
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_count, daemon=True)
            _thread.start()
    return _counted


def _count() -> None:
    global _counted
    before = time.monotonic()
    while True:
        time.sleep(_TICK)
        now = time.monotonic()
        _counted += min(now - before, 2 * _TICK)
        before = now


def busy(seconds: float) -> float:
    """Return how long that takes on a machine which is busy with other things as well."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
