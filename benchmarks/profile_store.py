"""What each verb of a store costs on one connection, beside what the bare store does with a few statements.

    python -m benchmarks.profile_store [URL ...] [--store postgres ...] [--jobs 20000] [--batch 200] [--singles 2000] [-k 3]

With ``--store``, on a new file or a server started for it; without that and without a URL, on every store. A URL should
be that of a scratch database: each round works in a new namespace and leaves its ended jobs there. *here* is the CPU time of
this process, *server* that of the server's processes (where they run on this machine and may be looked at), both in
microseconds a job. The rounds take turns, ours and the bare store's; medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks.bare import BULK, Bare, open_bare
from benchmarks.servers import serving
from benchmarks.systems import STORES
from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._url import mask

BY = '{"user":"ada","host":"example","program":"/usr/bin/python3","file":"tasks.py:12"}'
HEAD = ("", "jobs/s", "bare", "share", "µs wall", "here", "server", "bare: µs wall", "here", "server")


class Cost(NamedTuple):
    """What one job cost, in seconds."""

    wall: float
    here: float
    server: float | None


class Sizes(NamedTuple):
    """How much is measured."""

    jobs: int
    batch: int
    singles: int


class Meter:
    """Adds up what the calls of one verb cost."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.seen: dict[str, list[Cost]] = defaultdict(list)

    def note(self, verb: str, count: int, call: Callable[[], object]) -> None:
        """Measure one call that treats so many jobs."""
        server, here, wall = self.bare.server_cpu(), time.process_time(), time.perf_counter()
        call()
        wall, here = time.perf_counter() - wall, time.process_time() - here
        after = self.bare.server_cpu()
        used = None if server is None or after is None else (after - server) / count
        self.seen[verb].append(Cost(wall / count, here / count, used))

    def median(self, verb: str) -> Cost | None:
        """Return the median of each part; None: not measured."""
        costs = self.seen.get(verb)
        if not costs:
            return None
        servers = [cost.server for cost in costs if cost.server is not None]
        return Cost(
            statistics.median(cost.wall for cost in costs),
            statistics.median(cost.here for cost in costs),
            statistics.median(servers) if servers else None,
        )


def new_jobs(count: int) -> list[NewJob]:
    """Return no-op jobs under ids that grow with time, as producers make them."""
    base = time.time_ns()
    ids = (uuid.UUID(int=(base + n) << 64 | int.from_bytes(os.urandom(8), "big")) for n in range(count))
    return [NewJob(str(id), "tasks:noop", "default", "[[123456],{}]", by=BY) for id in ids]


def register(store: Store) -> str:
    """Make a worker known; return its id."""
    worker = str(uuid.uuid4())
    store.register(WorkerRecord(worker, worker, "example", os.getpid(), "boot"))
    return worker


class Round:
    """One round in a namespace of its own."""

    def __init__(self, store: Store, sizes: Sizes, meter: Meter) -> None:
        self.store, self.sizes, self.meter = store, sizes, meter
        self.worker = register(store)
        self.verdicts: list[list[Verdict]] = []

    def run(self) -> None:
        """Store, claim and settle: apart from each other, then in turns as a worker does."""
        jobs, batch, singles = self.sizes
        one = [[job] for job in new_jobs(singles)]
        self.meter.note("enqueue one", singles, lambda: self.enqueue(one))
        self.fill()
        self.meter.note(f"claim {batch}", jobs + singles, self.claim_all)
        self.meter.note(f"settle {batch}", jobs + singles, self.settle_all)
        self.fill()
        self.meter.note(f"claim + settle {batch}", jobs, self.in_turns)

    def fill(self) -> None:
        batches = [new_jobs(BULK) for _ in range(0, self.sizes.jobs, BULK)]
        self.meter.note(f"enqueue {BULK}", self.sizes.jobs, lambda: self.enqueue(batches))

    def enqueue(self, batches: Sequence[Sequence[NewJob]]) -> None:
        for batch in batches:
            self.store.enqueue(batch)

    def claim(self, number: int) -> list[Verdict]:
        claim = self.store.claim(["default"], self.sizes.batch, 0, self.worker, number)
        return [Verdict(j.id, j.token, "succeeded", "succeeded", 0.001, 0.0005, True, "null") for j in claim.jobs]

    def settle(self, verdicts: Sequence[Verdict]) -> None:
        wrong = self.store.settle(self.worker, verdicts)
        if wrong:
            raise RuntimeError(f"{len(wrong)} of {len(verdicts)} verdicts were not applied, the first: {wrong[0]}")

    def claim_all(self) -> None:
        number = 1
        while verdicts := self.claim(number):
            self.verdicts.append(verdicts)
            number += 1

    def settle_all(self) -> None:
        for verdicts in self.verdicts:
            self.settle(verdicts)

    def in_turns(self) -> None:
        number = len(self.verdicts) + 1
        while verdicts := self.claim(number):
            self.settle(verdicts)
            number += 1


def bare_round(bare: Bare, sizes: Sizes, meter: Meter) -> None:
    """Do the like with the bare store."""
    meter.note("enqueue one", sizes.singles, lambda: bare.one(sizes.singles))
    bare.drop()
    meter.note(f"enqueue {BULK}", sizes.jobs, lambda: bare.bulk(sizes.jobs))
    meter.note(f"claim + settle {sizes.batch}", sizes.jobs, lambda: bare.drain(sizes.batch))


def profile(url: str, sizes: Sizes, rounds: int) -> None:
    """Measure one store, and print its table."""
    bare = open_bare(url)
    ours, ceiling = Meter(bare), Meter(bare)
    open_store(url).migrate()
    for _ in range(rounds):
        bare.drop()
        bare_round(bare, sizes, ceiling)
        store = open_store(url, namespace=f"profile-{uuid.uuid4().hex[:8]}")
        Round(store, sizes, ours).run()
        store.close()
    print(f"\n{mask(url)}\n{bare.about()}; {sizes.jobs:,} jobs, medians of {rounds}\n")
    show([line(verb, ours, ceiling) for verb in ours.seen])
    bare.drop()
    bare.close()


def line(verb: str, ours: Meter, ceiling: Meter) -> tuple[str, ...]:
    """Return one line of the table."""
    cost, best = ours.median(verb), ceiling.median(verb)
    if cost is None:
        return (verb,)
    rate, top = f"{1 / cost.wall:,.0f}", f"{1 / best.wall:,.0f}" if best else "-"
    share = f"{best.wall / cost.wall:.2f}" if best else "-"
    return (verb, rate, top, share, *parts(cost), *parts(best))


def parts(cost: Cost | None) -> tuple[str, str, str]:
    if cost is None:
        return ("-", "-", "-")
    return (micros(cost.wall), micros(cost.here), micros(cost.server))


def micros(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e6:,.1f}"


def show(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table."""
    rows = [HEAD, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for first, *rest in rows:
        print(
            first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)), sep="  "
        )


@contextmanager
def places(urls: Sequence[str], stores: Sequence[str]) -> Iterator[Iterator[str]]:
    """Give the URLs asked for, and those of new stores; a server is started when it is its turn, and stopped in the end."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL never runs as root, and has to get there
        started = (stack.enter_context(serving(store, folder / store)).fresh(folder) for store in stores)
        yield chain(urls, started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="*", help="sqlite:///…, postgresql://…, redis://… (a scratch database)")
    parser.add_argument("--store", action="append", choices=STORES, help="a new one of this kind (may be repeated)")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--singles", type=int, default=2000)
    parser.add_argument("-k", type=int, default=3, help="rounds, of which the median counts (default 3)")
    given = parser.parse_args()
    with places(given.url, given.store or (() if given.url else STORES)) as urls:
        for url in urls:
            profile(url, Sizes(given.jobs, given.batch, given.singles), given.k)


if __name__ == "__main__":
    main()
