"""The random-kill run: ``python -m tests.proof.kill_run --store postgres --jobs 20000 --kills 200 --server-kills 20``.

Producers enqueue jobs of seven kinds while a killer sends SIGKILL to random children, whole workers and producers at random
moments (and pauses workers, declares live ones dead, loses the answers of claims), and to the server itself, which is started
again. A ledger outside the store holds what really happened; at the end every line of it is held against what the store says.
Exit status 0: all as promised. 1: a violation; each is printed. 2: the run proved too little, since the kills hit nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from packhorse._record import FINAL
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse.errors import StoreUnavailable

from . import jobs, ledger
from .checking import Judgement, Tail, judge
from .killing import Killer
from .outages import Outages
from .places import KINDS, Place, place
from .producers import Producer
from .producing import Enqueuer, plan
from .reporting import VOID, Run, report
from .worker_logs import tell
from .workers import Worker

T = TypeVar("T")
#: Mean time between two strikes (seconds).
_BETWEEN = 0.6
#: All must have ended so long after the last kill.
_PATIENCE = 180.0
#: Jobs ready before the first kill, as a part of all.
_AHEAD = 0.05
#: No kill while so many wait, as a part of all: on a busy host the workers would do nothing but start, and no kill hit a job.
_BACKLOG, _FEW = 0.1, 100


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and say by the exit status how it went."""
    return repeated(parser("kill_run", __doc__ or "").parse_args(argv), Attack)


def repeated(options: argparse.Namespace, kind: type[Attack]) -> int:
    """Run, and again as often as was asked for if it proved too little."""
    code = _once(options, kind)
    for _ in range(options.again if options.seed is None else 0):
        if code != VOID:
            break
        print("again: what proved too little was no proof", flush=True)
        code = _once(options, kind)
    return code


def _once(options: argparse.Namespace, kind: type[Attack]) -> int:
    directory = Path(tempfile.mkdtemp(prefix="packhorse-proof-"))
    directory.chmod(0o755)  # a server that runs as another user goes through it
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    where = place(options.store, directory)
    if where.server is None:
        options.server_kills = 0
    print(
        f"{options.store}   seed {seed}   {options.jobs:,} jobs, {options.kills} kills, {options.server_kills} of the server   "
        f"ledger and logs in {directory}",
        flush=True,
    )
    try:
        code = report(options, kind(options, where, seed, directory).run())
    finally:
        where.close()
    if code == 0 and not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return code


def parser(name: str, doc: str) -> argparse.ArgumentParser:
    """Return the options that all runs of this kind have."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.proof.{name}", description=doc.split("\n\n")[1])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200, help="of children and workers")
    parser.add_argument("--server-kills", type=int, default=20, help="where the store is on a server of the run's own")
    parser.add_argument(
        "--seed", type=int, help="repeat the choices of an earlier run (the moments differ all the same)"
    )
    parser.add_argument(
        "--again",
        type=int,
        default=0,
        help="so often more, if the kills hit too little (a short run may miss by chance)",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2, help="children of each worker")
    parser.add_argument("--threads", type=int, default=1, help="slots of each child")
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument(
        "--store",
        default=os.environ.get("PACKHORSE_PROOF_STORE", "sqlite"),
        help=f"{', '.join(KINDS)}, or the URL of an empty store; default: PACKHORSE_PROOF_STORE, or sqlite",
    )
    parser.add_argument("--log-level", default="info", help="of the workers")
    parser.add_argument("--keep", action="store_true", help="keep the ledger and the logs of a good run, too")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


class Attack:
    """One run: produce and kill at the same time, wait for the last job, stop the workers, judge."""

    #: What the workers run, and the module whose ``made`` makes the jobs.
    app, maker = "tests.proof.jobs", "tests.proof.producing"

    def __init__(self, options: argparse.Namespace, where: Place, seed: int, directory: Path) -> None:
        self._options = options
        self._where = where
        self._seed = seed
        self._directory = directory
        self._began = time.monotonic()
        os.environ[ledger.VARIABLE] = str(directory)
        rng = random.Random(seed)
        self._store = _migrated(where.url)
        self._workers = [Worker(n, where.url, directory, self._arguments(), self.app) for n in range(options.workers)]
        self._producers = self._split(self._plan(options.jobs, rng), rng)
        self._killer = self._make_killer(rng)
        self._outages = self._plan_outages(rng)
        self._rng = rng

    def _plan(self, count: int, rng: random.Random) -> list[str]:
        return plan(count, rng)

    def _make_killer(self, rng: random.Random) -> Killer:
        return Killer(self._workers, self._producers, self._store, rng)

    def _arguments(self) -> list[str]:
        options = self._options
        slots = ["--processes", str(options.processes), "--threads", str(options.threads)]
        return ["-q", jobs.QUEUE, *slots, "--log-format", "json", "--log-level", options.log_level]

    def _split(self, kinds: list[str], rng: random.Random) -> list[Producer]:
        count = self._options.producers
        return [
            Producer(
                n, self._where.url, kinds[n::count], self._directory, self._allowed, rng.getrandbits(32), self.maker
            )
            for n in range(count)
        ]

    def _plan_outages(self, rng: random.Random) -> Outages | None:
        if self._where.server is None or not self._options.server_kills:
            return None
        enqueuer = Enqueuer(self._where.url, str(self._directory), rng.getrandbits(32))
        return Outages(self._where.server, self._options.server_kills, self._due, enqueuer, random.Random(rng.random()))

    def _due(self) -> float:
        return 0.0 if self._killer.pausing else self._come()

    def _come(self) -> float:
        return self._killer.kills / self._options.kills if self._options.kills else 1.0

    def _allowed(self) -> float:
        return _AHEAD + self._come()

    def run(self) -> Run:
        try:
            self._attack()
            self._wait_for_the_end()
            self._afterwards()
        finally:
            for each in (*self._producers, *filter(None, [self._outages])):
                each.stop()
            codes = [worker.stop() for worker in self._workers]
        return self._judged(codes)

    def _attack(self) -> None:
        attackers = (*self._producers, *filter(None, [self._outages]))
        for thread in attackers:
            thread.start()
        self._kill_all()
        self._killer.finish()
        for thread in attackers:
            thread.join()

    def _kill_all(self) -> None:
        options, killer, spoken = self._options, self._killer, time.monotonic()
        while killer.kills < options.kills:
            time.sleep(self._rng.expovariate(1 / _BETWEEN))  # the random moments of a run of this kind
            self._let_them_work()
            for worker in self._workers:
                worker.look()
            killer.strike()
            if not options.quiet and time.monotonic() - spoken >= 5.0:
                spoken = time.monotonic()
                print(f"  {killer.kills:4} kills{self._of_the_server()}   {self._enqueued():6,} enqueued", flush=True)

    def _let_them_work(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._waiting() > _BACKLOG * self._options.jobs + _FEW:
            for worker in self._workers:
                worker.look()
            time.sleep(0.1)

    def _waiting(self) -> int:
        try:
            found = self._store.queues([jobs.QUEUE])
            return sum(record.counts.get(state, 0) for record in found for state in ("queued", "blocked"))
        except StoreUnavailable:
            return 0  # a kill while the server is away is as good as any

    def _of_the_server(self) -> str:
        return f", {self._outages.kills} of the server" if self._outages else ""

    def _enqueued(self) -> int:
        return sum(producer.done for producer in self._producers)

    def _wait_for_the_end(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            records = patiently(lambda: self._store.queues([jobs.QUEUE]))
            left = {state: n for record in records for state, n in record.counts.items() if n and state not in FINAL}
            if not left:
                return
            if not self._options.quiet:
                print(f"  left: {left}", flush=True)
            for worker in self._workers:
                worker.look()
            time.sleep(0.5)

    def _afterwards(self) -> None:
        """All jobs have ended, and the workers are still there."""

    # -- judging ------------------------------------------------------------------------------------------------------
    def _judged(self, codes: list[int]) -> Run:
        outages = self._outages.record if self._outages else []
        tail = Tail(
            [(int((o.began - self._where.tail) * 1e6), int(o.ready * 1e6)) for o in outages if self._where.tail]
        )
        book = ledger.read(self._directory)
        result = judge(self._store, book, jobs.QUEUE, self._killer.condemned, tail)
        ghosts = [job for job in self._store.get(self._killer.ghosts) if job.state not in FINAL]
        self._store.close()
        told = tell([life for worker in self._workers for life in worker.lives], outages, self._killer.stopped)
        result.violations += told.wrong
        self._outside(result, codes)
        self._own_faults(result)
        slots = self._options.processes * self._options.threads
        return self._completed(
            book,
            Run(
                seed=self._seed,
                directory=self._directory,
                killer=self._killer,
                judgement=result,
                seconds=time.monotonic() - self._began,
                slots=slots,
                stale=self._said("late outcome"),
                ghosts_left=len(ghosts),
                outages=outages,
                told=told,
                claims=sorted({start.fence for start in book.starts}),
            ),
        )

    def _completed(self, book: ledger.Ledger, run: Run) -> Run:
        """Judge what only a run of this kind has."""
        return run

    def _outside(self, result: Judgement, codes: list[int]) -> None:
        """Check what neither ledger nor store tells."""
        if set(codes) - {0, -signal.SIGTERM}:  # -15: it had just been started, and had no handler yet
            result.wrong(f"workers ended with exit codes {codes} after SIGTERM")
        for worker in self._workers:
            # 70: three of its children in a row were killed while they started. It is then started anew, as by a service.
            result.counts["workers that gave up"] += worker.deaths.count(70)
            if set(worker.deaths) - {70}:
                result.wrong(f"a worker ended by itself with exit codes {worker.deaths}")
        for producer in self._producers:
            self._killer.did["producer"] += producer.kills
            result.counts.update({f"repeated, {why}": n for why, n in producer.troubles.items()})
            if producer.deaths:
                result.wrong(f"a producer ended by itself with exit codes {producer.deaths}: see its log")
        if self._outages is not None and self._outages.error is not None:
            result.wrong(f"the server could not be killed and started again: {self._outages.error!r}")
        if self._where.url.startswith("sqlite:///"):
            self._integrity(result)

    def _integrity(self, result: Judgement) -> None:
        path = self._where.url.removeprefix("sqlite:///")
        (answer,) = sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            result.wrong(f"integrity_check: {answer}")

    def _own_faults(self, result: Judgement) -> None:
        """A worker may give up when its children are killed while they start, and for no other reason."""
        for words in ("Traceback (most recent call last)", "internal error"):
            if self._said(words):
                result.wrong(f"a worker's log says: {words}")
        gave_up = sum(worker.deaths.count(70) for worker in self._workers)
        if gave_up > self._said("its children die while they start"):
            result.wrong(f"{gave_up} workers ended with exit code 70, and not all said why")

    def _said(self, words: str) -> int:
        return sum(log.read_text(errors="replace").count(words) for log in self._directory.glob("worker-*.log"))


def _migrated(url: str) -> Store:
    store = open_store(url)
    store.migrate()
    return store


def patiently(look: Callable[[], T]) -> T:
    """Look again where the connection was broken by a kill, as anybody would."""
    for _ in range(5):
        try:
            return look()
        except StoreUnavailable:
            time.sleep(0.1)
    return look()


if __name__ == "__main__":
    sys.exit(main())
