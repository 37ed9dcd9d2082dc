"""What is measured: which system on which store, with which workers, in which measurement.

The peers are set as their own documentation, or a search of our own, says is best for the measurement; where two ways compete,
both are measured, and the better one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STORES = ("sqlite", "postgres", "redis")
WORKER = "packhorse worker benchmarks.tasks --log-level error"
HUEY = "huey_consumer benchmarks.with_huey.huey -q"
DRAMATIQ = "dramatiq benchmarks.with_dramatiq"
PGQUEUER = "python -m benchmarks.pgqueuer_worker"


@dataclass(frozen=True)
class Setup:
    """One way to measure one system on one store."""

    store: str
    measurement: str
    system: str
    variant: str = ""
    workers: tuple[str, ...] = ()  #: command lines; the first word is a program of the system's environment
    count: int = 0  #: jobs at full size
    env: Mapping[str, str] = field(default_factory=dict)


def packhorse(store: str) -> tuple[Setup, ...]:
    """Return the ways to measure Packhorse, the same on each store."""
    return (
        Setup(store, "enqueue one by one", "packhorse", count=10_000),
        Setup(store, "enqueue in bulk", "packhorse", count=50_000),
        Setup(store, "drain", "packhorse", "2 children", (f"{WORKER} --processes 2",), 60_000),
        Setup(store, "latency", "packhorse", "1 child", (WORKER,), 200),
        Setup(store, "naps", "packhorse", "2 children x 16 threads", (f"{WORKER} --processes 2 --threads 16",), 3_000),
        Setup(store, "reserved, own names", "packhorse", "2 children", (f"{WORKER} --processes 2",), 5_000),
        Setup(
            store,
            "reserved, 8 slots",
            "packhorse",
            "2 children x 4 threads",
            (f"{WORKER} --processes 2 --threads 4",),
            5_000,
        ),
        Setup(store, "reserved, 100 names", "packhorse", "2 children", (f"{WORKER} --processes 2",), 5_000),
        Setup(store, "reserved, 1 name", "packhorse", "2 children", (f"{WORKER} --processes 2",), 1_000),
        Setup(store, "free behind 200 blocked", "packhorse", "2 children", (f"{WORKER} --processes 2",), 200),
        Setup(store, "start, 1 slot", "packhorse", "1 child", (WORKER,), 1),
        Setup(store, "start, 2 slots", "packhorse", "2 children", (f"{WORKER} --processes 2",), 1),
    )


def huey_starts(store: str) -> tuple[Setup, ...]:
    return (
        Setup(store, "start, 1 slot", "huey", "1 process", (f"{HUEY} -w 1 -k process",), 1),
        Setup(store, "start, 2 slots", "huey", "2 processes", (f"{HUEY} -w 2 -k process",), 1),
    )


SQLITE = (
    Setup("sqlite", "enqueue one by one", "huey", count=10_000),
    Setup("sqlite", "drain", "huey", "1 thread", (f"{HUEY} -w 1 -k thread",), 10_000),
    Setup("sqlite", "drain", "huey", "2 processes", (f"{HUEY} -w 2 -k process",), 10_000),
    Setup("sqlite", "latency", "huey", "as it comes", (HUEY,), 200),
    Setup("sqlite", "latency", "huey", "polling each 5 ms", (f"{HUEY} -d 0.005 -m 0.01",), 200),
    Setup("sqlite", "naps", "huey", "32 threads", (f"{HUEY} -w 32 -k thread",), 3_000),
    *huey_starts("sqlite"),
)
PREFETCH = {"dramatiq_queue_prefetch": "500"}
REDIS = (
    Setup("redis", "enqueue one by one", "dramatiq", count=10_000),
    Setup("redis", "enqueue one by one", "huey", count=10_000),
    Setup("redis", "enqueue in bulk", "rq", "enqueue_many", count=10_000),
    Setup("redis", "drain", "dramatiq", "2 x 8 threads, prefetch 500", (f"{DRAMATIQ} -p 2 -t 8",), 10_000, PREFETCH),
    Setup("redis", "drain", "huey", "2 processes", (f"{HUEY} -w 2 -k process",), 10_000),
    Setup("redis", "drain", "huey", "4 processes", (f"{HUEY} -w 4 -k process",), 10_000),
    Setup("redis", "latency", "dramatiq", "as it comes", (DRAMATIQ,), 200),
    Setup("redis", "latency", "huey", "4 processes", (f"{HUEY} -w 4 -k process",), 200),
    Setup("redis", "naps", "dramatiq", "2 x 16 threads", (f"{DRAMATIQ} -p 2 -t 16",), 3_000),
    Setup("redis", "naps", "huey", "32 threads", (f"{HUEY} -w 32 -k thread",), 3_000),
    Setup("redis", "start, 1 slot", "dramatiq", "1 process, 1 thread", (f"{DRAMATIQ} -p 1 -t 1",), 1),
    Setup("redis", "start, 2 slots", "dramatiq", "2 processes, 1 thread", (f"{DRAMATIQ} -p 2 -t 1",), 1),
    *huey_starts("redis"),
)
POSTGRES = (
    Setup("postgres", "enqueue one by one", "pgqueuer", count=10_000),
    Setup("postgres", "enqueue in bulk", "pgqueuer", "1,000 a call", count=50_000),
    Setup("postgres", "drain", "pgqueuer", "2 processes, batch 1,000", (f"{PGQUEUER} 1000",) * 2, 40_000),
    Setup("postgres", "latency", "pgqueuer", "as it comes", (PGQUEUER,), 200),
    Setup("postgres", "naps", "pgqueuer", "2 processes, batch 8, 16 at once", (f"{PGQUEUER} 8 16",) * 2, 3_000),
    Setup("postgres", "start, 1 slot", "pgqueuer", "1 process", (PGQUEUER,), 1),
    Setup("postgres", "start, 2 slots", "pgqueuer", "2 processes", (PGQUEUER,) * 2, 1),
)
SETUPS = (
    *packhorse("sqlite"),
    *SQLITE,
    *packhorse("postgres"),
    *POSTGRES,
    *packhorse("redis"),
    *REDIS,
)
#: What of a peer is named beside the figures, by store.
VERSIONS = {
    "sqlite": ("huey",),
    "postgres": ("pgqueuer", "asyncpg", "uvloop"),
    "redis": ("dramatiq", "huey", "rq", "redis", "hiredis"),
}
SYSTEMS = tuple(dict.fromkeys(setup.system for setup in SETUPS))
