"""Measure one setup once. Every run has a new database, a new record, and a worker of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import record
from benchmarks.systems import Setup
from packhorse import Queue

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
UNSETTLED = ("scheduled", "blocked", "queued", "running", "retrying")

Figures = dict[str, float]


@dataclass
class Run:
    """One measurement under way."""

    setup: Setup
    folder: Path
    view: memoryview[float]
    env: dict[str, str]
    seen: int = 0  #: jobs known to have ended, counted from the first number
    started: float = 0.0
    worker: subprocess.Popen[bytes] | None = field(default=None)

    def give(self, mode: str, task: str, first: int, count: int, rate: float = 0.0) -> float:
        """Enqueue in another process and return the seconds it says."""
        words = [self.setup.system, mode, task, str(first), str(count), str(rate)]
        command = [sys.executable, "-m", "benchmarks.give", *words]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise RuntimeError(f"{self.setup.system} could not enqueue:\n{done.stderr[-3000:]}")
        return float(done.stdout)

    def start(self) -> None:
        """Start the worker."""
        log = (self.folder / "worker.log").open("wb")
        self.started = time.time()
        self.worker = subprocess.Popen(
            self.setup.worker, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def wait(self, upto: int) -> None:
        """Wait until the jobs with smaller numbers have ended."""
        deadline = time.monotonic() + PATIENCE
        while not self._ended(upto):
            if time.monotonic() > deadline or (self.worker and self.worker.poll() is not None):
                raise RuntimeError(f"{self.setup}: {self.seen} of {upto} ended\n{self._log()}")
            time.sleep(0.004)

    def _ended(self, upto: int) -> bool:
        view = self.view
        while self.seen < upto and view[self.seen * record.WIDTH + 2] > 0:
            self.seen += 1
        return self.seen >= upto

    def _log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")[-3000:]

    def column(self, which: int, first: int, count: int) -> list[float]:
        """Return one number of each job."""
        return [self.view[number * record.WIDTH + which] for number in range(first, first + count)]

    def memory(self) -> tuple[float, int]:
        """Return the proportional set size of the worker's processes in MiB, and how many they are."""
        processes = self._processes()
        infos = [process.memory_full_info() for process in processes]  # where there is no PSS, USS is next best
        return sum(getattr(info, "pss", info.uss) for info in infos) / 2**20, len(processes)

    def _processes(self) -> list[psutil.Process]:
        if self.worker is None:
            return []
        process = psutil.Process(self.worker.pid)
        return [process, *process.children(recursive=True)]

    def stop(self) -> None:
        """Kill the worker and all below it: how it stops is not measured."""
        if self.worker is None:
            return
        below = self._processes() if self.worker.poll() is None else []
        for process in below:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.worker.wait()
        psutil.wait_procs(below, timeout=5)


@contextmanager
def running(setup: Setup, folder: Path) -> Iterator[Run]:
    """Give a run with a folder, a database and a record of its own, and stop its worker whatever happens."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    shared = Path("/dev/shm")
    path = (shared if shared.is_dir() else folder) / f"packhorse-benchmark-{os.getpid()}.record"
    # PYTHONDONTWRITEBYTECODE and the like would slow the start of whatever is not installed.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PACKHORSE", "PYTHON"))}
    store = folder / "jobs.db"
    env |= {"BENCHMARK_RECORD": str(path), "BENCHMARK_STORE": str(store), "PACKHORSE_URL": f"sqlite:///{store}"}
    run = Run(setup, folder, record.create(path), env)
    try:
        yield run
    finally:
        run.stop()
        path.unlink()
        shutil.rmtree(folder)


def enqueue_one_by_one(run: Run, count: int) -> Figures:
    return {"per second": count / run.give("one", "noop", 0, count)}


def enqueue_in_bulk(run: Run, count: int) -> Figures:
    return {"per second": count / run.give("bulk", "noop", 0, count)}


def drain(run: Run, count: int) -> Figures:
    """Jobs per second from the first start until every outcome is settled (until the last end, where none is kept)."""
    run.give("bulk", "noop", 0, count)
    settled = settling(run)
    run.start()
    run.wait(count)
    ended = max(settled(), *run.column(2, 0, count))
    starts = run.column(1, 0, count)
    twice = sum(run.column(3, 0, count)) - count
    return {"per second": count / (ended - min(starts)), "started twice": twice}


def settling(run: Run) -> Callable[[], float]:
    """Return what waits until the store holds no unsettled job. It is connected now: that must not count."""
    if run.setup.system != "packhorse":
        return lambda: 0.0  # a job is forgotten before it runs: there is nothing to settle
    queue = Queue("bench", store=run.env["PACKHORSE_URL"])
    queue.counts()

    def settled() -> float:
        deadline = time.monotonic() + PATIENCE
        while any(queue.counts()[state] for state in UNSETTLED):
            if time.monotonic() > deadline:
                raise RuntimeError("all jobs ran, but not all were settled")
            time.sleep(0.002)
        return time.time()

    return settled


def latency(run: Run, count: int) -> Figures:
    """From just before the call of enqueue to the start of the job, 50 a second on an idle worker, in milliseconds."""
    warm = 20
    run.start()
    run.give("one", "noop", 0, warm)
    run.wait(warm)
    time.sleep(1.5)
    run.give("pace", "noop", warm, count, rate=50)
    run.wait(warm + count)
    given, began = run.column(0, warm, count), run.column(1, warm, count)
    waited = sorted((late - early) * 1000 for early, late in zip(given, began, strict=True))
    return {"p50 ms": waited[count // 2], "p99 ms": waited[min(count - 1, int(count * 0.99))]}


def naps(run: Run, count: int) -> Figures:
    """Jobs of 10 ms per second, from the first start to the last end."""
    run.give("bulk", "nap", 0, count)
    run.start()
    run.wait(count)
    return {"per second": count / (max(run.column(2, 0, count)) - min(run.column(1, 0, count)))}


def start(run: Run, count: int) -> Figures:
    """From the start of the command to the start of a job that waits for it; then its memory, idle."""
    run.give("one", "noop", 0, count)
    run.start()
    run.wait(count)
    seconds = run.view[1] - run.started
    time.sleep(2.0)
    mib, processes = run.memory()
    return {"seconds": seconds, "MiB": mib, "processes": processes}


MEASURE: dict[str, Callable[[Run, int], Figures]] = {
    "enqueue one by one": enqueue_one_by_one,
    "enqueue in bulk": enqueue_in_bulk,
    "drain": drain,
    "latency": latency,
    "naps": naps,
    "start": start,
}
