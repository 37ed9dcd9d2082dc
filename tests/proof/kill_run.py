"""The random-kill run: ``python -m tests.proof.kill_run --jobs 10000 --kills 200``.

Producers enqueue jobs of seven kinds while a killer sends SIGKILL to random children and whole workers at random moments (and
pauses them, declares live ones dead, loses the answers of claims). A ledger outside the store holds what really happened; at the
end every line of it is held against what the store says. Exit status 0: all as promised. 1: a violation; each is printed. 2: the
run proved too little, since the kills hit nothing.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packhorse._stores import open_store

from . import jobs, ledger
from .checking import Judgement, judge
from .killing import Killer
from .producing import Producer, plan
from .workers import Worker

#: Mean time between two strikes (seconds).
_BETWEEN = 0.6
#: All must have ended so long after the last kill.
_PATIENCE = 180.0


@dataclass(slots=True)
class Run:
    """One run and what it found."""

    seed: int
    directory: Path
    killer: Killer
    judgement: Judgement
    seconds: float
    slots: int
    stale: int
    ghosts_left: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and say by the exit status how it went."""
    options = parse(argv)
    directory = Path(tempfile.mkdtemp(prefix="packhorse-proof-"))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}   {options.jobs:,} jobs, {options.kills} kills   ledger and logs in {directory}", flush=True)
    run = execute(options, seed, directory)
    code = report(options, run)
    if code == 0 and not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return code


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.kill_run", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, help="repeat the choices of an earlier run (the moments differ all the same)"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2, help="children of each worker")
    parser.add_argument("--threads", type=int, default=1, help="slots of each child")
    parser.add_argument("--store", help="URL of an empty store; default: a new SQLite file")
    parser.add_argument("--keep", action="store_true", help="keep the ledger and the logs of a good run, too")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(argv)


def execute(options: argparse.Namespace, seed: int, directory: Path) -> Run:
    """Produce and kill at the same time, wait for the last job, stop the workers, judge."""
    began = time.monotonic()
    os.environ[ledger.VARIABLE] = str(directory)
    url = options.store or f"sqlite:///{directory}/jobs.db"
    rng = random.Random(seed)
    store = open_store(url)
    arguments = ["-q", jobs.QUEUE, "--processes", str(options.processes), "--threads", str(options.threads)]
    workers = [Worker(n, url, directory, arguments) for n in range(options.workers)]
    killer = Killer(workers, store, rng)
    producer = Producer(
        url, plan(options.jobs, rng), str(directory), lambda: 0.05 + killer.kills / options.kills, rng.getrandbits(32)
    )
    try:
        producer.start()
        _kill_all(options, workers, killer, producer, rng)
        killer.finish()
        producer.join()
        _wait_for_the_end(options, store, workers)
    finally:
        codes = [worker.stop() for worker in workers]
    result = judge(store, ledger.read(directory), jobs.QUEUE, killer.condemned)
    ghosts_left = sum(1 for job in store.get(killer.ghosts) if job.state not in ("succeeded", "failed", "cancelled"))
    store.close()
    _outside(result, url, codes, workers, producer)
    _own_faults(result, directory, workers)
    slots = options.processes * options.threads
    return Run(
        seed, directory, killer, result, time.monotonic() - began, slots, _said(directory, "late outcome"), ghosts_left
    )


def _kill_all(
    options: argparse.Namespace, workers: list[Worker], killer: Killer, producer: Producer, rng: random.Random
) -> None:
    spoken = time.monotonic()
    while killer.kills < options.kills:
        time.sleep(rng.expovariate(1 / _BETWEEN))  # the random moments of a run of this kind
        for worker in workers:
            worker.look()
        killer.strike()
        if not options.quiet and time.monotonic() - spoken >= 5.0:
            spoken = time.monotonic()
            print(f"  {killer.kills:4} kills   {producer.done:6,} enqueued", flush=True)


def _wait_for_the_end(options: argparse.Namespace, store: object, workers: list[Worker]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        (record,) = store.queues([jobs.QUEUE])  # type: ignore[attr-defined]
        left = {
            state: n for state, n in record.counts.items() if n and state not in ("succeeded", "failed", "cancelled")
        }
        if not left:
            return
        if not options.quiet:
            print(f"  left: {left}", flush=True)
        for worker in workers:
            worker.look()
        time.sleep(0.5)


def _outside(result: Judgement, url: str, codes: list[int], workers: list[Worker], producer: Producer) -> None:
    """Check what neither ledger nor store tells."""
    if set(codes) - {0, -signal.SIGTERM}:  # -15: it had just been started, and had no handler yet
        result.wrong(f"workers ended with exit codes {codes} after SIGTERM")
    for worker in workers:
        # 70: three of its children in a row were killed while they started. It is then started anew, as a service would be.
        result.counts["workers that gave up"] += worker.deaths.count(70)
        if set(worker.deaths) - {70}:
            result.wrong(f"a worker ended by itself with exit codes {worker.deaths}")
    if producer.unknown:
        result.counts["enqueues without an answer"] = producer.unknown
    if url.startswith("sqlite:///"):
        (answer,) = sqlite3.connect(url.removeprefix("sqlite:///")).execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            result.wrong(f"integrity_check: {answer}")


def _own_faults(result: Judgement, directory: Path, workers: list[Worker]) -> None:
    """A worker may give up when its children are killed while they start, and for no other reason."""
    for words in ("Traceback (most recent call last)", "internal error"):
        if _said(directory, words):
            result.wrong(f"a worker's log says: {words}")
    gave_up = sum(worker.deaths.count(70) for worker in workers)
    if gave_up != _said(directory, "its children die while they start"):
        result.wrong(f"{gave_up} workers ended with exit code 70, and not all said why")


def _said(directory: Path, words: str) -> int:
    return sum(log.read_text(errors="replace").count(words) for log in directory.glob("worker-*.log"))


def report(options: argparse.Namespace, run: Run) -> int:
    """Print the table; return the exit status."""
    result, counts, did = run.judgement, run.judgement.counts, run.killer.did
    # A killed child may take along what its slots ran; a killed worker, or one declared dead, that times its children.
    bound = did["child"] * options.threads + (did["worker"] + did["declared dead alive"]) * run.slots
    if counts["interrupted runs"] > bound:
        result.wrong(f"{counts['interrupted runs']} runs were interrupted, and {bound} at most could be")
    if counts["extra starts"] != counts["explained"]:
        result.wrong(f"{counts['extra starts']} extra starts, {counts['explained']} explained")
    if run.ghosts_left:
        result.wrong(f"{run.ghosts_left} jobs of lost claims have not ended")
    for title, value in rows(run, bound):
        print(f"  {title:<58} {value:>12}")
    for violation in result.violations[:50]:
        print(f"  VIOLATION  {violation}")
    void = too_little(options, run)
    if result.violations:
        print(f"{len(result.violations)} violations; seed {run.seed}, ledger and logs in {run.directory}")
        return 1
    if void:
        print(f"void: {void}; seed {run.seed}")
        return 2
    print(f"no job lost, none stuck, every extra run explained; seed {run.seed}")
    return 0


def rows(run: Run, bound: int) -> list[tuple[str, str]]:
    """Return the lines of the table."""
    counts, did = run.judgement.counts, run.killer.did
    ended = {state: counts[f"state {state}"] for state in ("succeeded", "failed", "cancelled")}
    outcomes = {key[8:]: n for key, n in sorted(counts.items()) if key.startswith("attempt ")}
    return [
        ("seconds", f"{run.seconds:.0f}"),
        ("intended / acknowledged / stored", f"{counts['intended']:,} / {counts['acked']:,} / {counts['stored']:,}"),
        ("succeeded / failed / cancelled", " / ".join(f"{n:,}" for n in ended.values())),
        ("  of the failed: on_crash=fail / poison", f"{counts['on_crash=fail, failed so']} / {counts['poison']}"),
        ("killed children / workers", f"{did['child']} / {did['worker']}"),
        (
            "pauses / declared dead alive / lost claims",
            f"{did['pause']} / {did['declared dead alive']} / {did['lost claim']}",
        ),
        ("starts / jobs started", f"{counts['starts']:,} / {counts['jobs started']:,}"),
        (
            "extra starts / explained by an attempt with its reason",
            f"{counts['extra starts']:,} / {counts['explained']:,}",
        ),
        ("attempts by outcome", ", ".join(f"{name} {n:,}" for name, n in outcomes.items())),
        ("runs interrupted by a fault / possible at most", f"{counts['interrupted runs']} / {bound}"),
        ("runs that had ended, unsettled when their worker died", f"{counts['ended, not settled']}"),
        ("claimed, and their worker died before they ran", f"{counts['claimed, never ran']}"),
        ("child kills that hit a running job", f"{counts['child deaths that hit a run']}"),
        ("dead workers that had running jobs", f"{len(run.judgement.hit_workers)}"),
        ("late outcomes refused", f"{run.stale}"),
        ("workers that gave up, their children killed at start", f"{counts['workers that gave up']}"),
    ]


def too_little(options: argparse.Namespace, run: Run) -> str:
    """Say what must have happened and did not often enough, or nothing."""
    counts, did = run.judgement.counts, run.killer.did
    wanted = {
        "child kills that hit a running job": (counts["child deaths that hit a run"], did["child"] // 10),
        "worker kills that hit running jobs": (len(run.judgement.hit_workers), did["worker"] // 10),
        "lost claims": (did["lost claim"], options.kills // 40),
        "late outcomes refused": (run.stale, 1 if options.kills >= 100 else 0),
    }
    return ", ".join(f"{what}: {real} of {least}" for what, (real, least) in wanted.items() if real < least)


if __name__ == "__main__":
    sys.exit(main())
