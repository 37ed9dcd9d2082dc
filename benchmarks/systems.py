"""What is measured: which system, with which worker, in which measurement."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

#: The programs of the environment this runs in.
HERE = Path(sys.executable).parent
WORKER = (str(HERE / "packhorse"), "worker", "benchmarks.tasks", "--log-level", "error")
CONSUMER = (str(HERE / "huey_consumer"), "benchmarks.with_huey.huey", "-q")


@dataclass(frozen=True)
class Setup:
    """One way to measure one system. ``worker`` is its command line."""

    measurement: str
    system: str
    variant: str
    worker: tuple[str, ...] = ()
    count: int = 0  #: jobs at full size


SETUPS = (
    Setup("enqueue one by one", "packhorse", "", count=10_000),
    Setup("enqueue one by one", "huey", "", count=10_000),
    Setup("enqueue in bulk", "packhorse", "", count=50_000),
    Setup("drain", "packhorse", "2 children", (*WORKER, "--processes", "2"), 60_000),
    Setup("drain", "huey", "1 thread", (*CONSUMER, "-w", "1", "-k", "thread"), 10_000),
    Setup("drain", "huey", "2 processes", (*CONSUMER, "-w", "2", "-k", "process"), 10_000),
    Setup("latency", "packhorse", "1 child", WORKER, 200),
    Setup("latency", "huey", "defaults", CONSUMER, 200),
    Setup("latency", "huey", "polling each 5 ms", (*CONSUMER, "-d", "0.005", "-m", "0.01"), 200),
    Setup("naps", "packhorse", "2 children x 16 threads", (*WORKER, "--processes", "2", "--threads", "16"), 3_000),
    Setup("naps", "huey", "32 threads", (*CONSUMER, "-w", "32", "-k", "thread"), 3_000),
    Setup("start", "packhorse", "1 child", WORKER, 1),
    Setup("start", "packhorse", "2 children", (*WORKER, "--processes", "2"), 1),
    Setup("start", "huey", "1 thread", (*CONSUMER, "-w", "1", "-k", "thread"), 1),
    Setup("start", "huey", "1 process", (*CONSUMER, "-w", "1", "-k", "process"), 1),
    Setup("start", "huey", "2 processes", (*CONSUMER, "-w", "2", "-k", "process"), 1),
)
