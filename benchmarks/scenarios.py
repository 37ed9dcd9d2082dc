"""Measure one setup once. Every run has a new store, a new record, and workers of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import record
from benchmarks.servers import Place
from benchmarks.settled import settling
from benchmarks.systems import Setup

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0

Figures = dict[str, float]


@dataclass
class Run:
    """One measurement under way."""

    setup: Setup
    programs: Path  #: the folder of the system's programs
    folder: Path
    store: str  #: URL
    view: memoryview[float]
    env: dict[str, str]
    scale: float  #: 1.0: at full size, and with all the time it takes to come to rest
    seen: int = 0  #: jobs known to have ended, counted from the first number
    started: float = 0.0
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def give(self, mode: str, task: str = "noop", first: int = 0, count: int = 0, rate: float = 0.0) -> float:
        """Enqueue in another process and return the seconds it says."""
        words = [self.setup.system, mode, task, str(first), str(count), str(rate)]
        command = [str(self.programs / "python"), "-m", "benchmarks.give", *words]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise RuntimeError(f"{self.setup.system} could not {mode} on {self.setup.store}:\n{done.stderr[-3000:]}")
        return float(done.stdout)

    def start(self) -> None:
        """Start the workers."""
        with (self.folder / "worker.log").open("wb") as log:
            self.started = time.time()
            for words in map(str.split, self.setup.workers):
                command = [str(self.programs / words[0]), *words[1:]]
                self.workers.append(
                    subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True)
                )

    def wait(self, upto: int) -> None:
        """Wait until the jobs with smaller numbers have ended."""
        self._until(lambda: self._ended(upto), f"{upto} jobs")

    def _until(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if time.monotonic() > deadline or any(worker.poll() is not None for worker in self.workers):
                raise RuntimeError(f"{self.setup}: waited for {what}, {self.seen} ended\n{self._log()}")
            time.sleep(0.004)

    def wait_for(self, number: int, which: int) -> None:
        """Wait until one number of one job is there."""
        self._until(lambda: self.view[number * record.WIDTH + which] > 0, f"job {number}")

    def _ended(self, upto: int) -> bool:
        view = self.view
        while self.seen < upto and view[self.seen * record.WIDTH + 2] > 0:
            self.seen += 1
        return self.seen >= upto

    def _log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")[-3000:]

    def rest(self, seconds: float) -> None:
        """Let the workers come to rest."""
        time.sleep(seconds if self.scale == 1.0 else seconds / 5)

    def column(self, which: int, first: int, count: int) -> list[float]:
        """Return one number of each job."""
        return [self.view[number * record.WIDTH + which] for number in range(first, first + count)]

    def memory(self) -> tuple[float, int]:
        """Return the proportional set size of the workers' processes in MiB, and how many they are."""
        processes = self._processes()
        infos = [process.memory_full_info() for process in processes]  # where there is no PSS, USS is next best
        return sum(getattr(info, "pss", info.uss) for info in infos) / 2**20, len(processes)

    def _processes(self) -> list[psutil.Process]:
        heads = [psutil.Process(worker.pid) for worker in self.workers if worker.poll() is None]
        return [process for head in heads for process in (head, *head.children(recursive=True))]

    def stop(self) -> None:
        """Kill the workers and all below them: how they stop is not measured."""
        below = self._processes()
        for process in below:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        for worker in self.workers:
            worker.wait()
        deadline = time.monotonic() + 5
        while any(map(_alive, below)) and time.monotonic() < deadline:
            time.sleep(0.002)


def _alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; who has nobody to bury it has ended, too."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(setup: Setup, programs: Path, place: Place, folder: Path, scale: float) -> Iterator[Run]:
    """Give a run with a folder, a store and a record of its own, and stop its workers whatever happens."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    shared = Path("/dev/shm")
    path = (shared if shared.is_dir() else folder) / f"packhorse-benchmark-{os.getpid()}.record"
    store = place.fresh(folder)
    # PYTHONDONTWRITEBYTECODE and the like would slow the start of whatever is not installed.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PACKHORSE", "PYTHON"))}
    env |= {"BENCHMARK_RECORD": str(path), "BENCHMARK_STORE": store, "PACKHORSE_URL": store, **setup.env}
    run = Run(setup, programs, folder, store, record.create(path), env, scale)
    try:
        if setup.store != "sqlite":
            run.give("prepare")
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
    return drained(run, "noop", count)


def reserved(run: Run, count: int) -> Figures:
    """The same with jobs that reserve something, so that none is claimed ahead of a free slot."""
    return drained(run, "boxes" if run.setup.measurement == "reserved, 100 names" else "own", count)


def in_line(run: Run, count: int) -> Figures:
    """What each of many jobs costs that all want the same, so that one runs at a time, and all others wait."""
    return {"ms a job": 1000 / drained(run, "line", count)["per second"]}


def drained(run: Run, task: str, count: int) -> Figures:
    """Enqueue jobs, let them run, and return how many did in a second."""
    run.give("bulk", task, 0, count)
    with settling(run.setup.system, run.store) as settled:
        run.start()
        run.wait(count)
        ended = max(settled(), *run.column(2, 0, count))
    starts = run.column(1, 0, count)
    twice = sum(run.column(3, 0, count)) - count
    return {"per second": count / (ended - min(starts)), "started twice": twice}


def latency(run: Run, count: int) -> Figures:
    """From just before the call of enqueue to the start of the job, 50 a second on an idle worker, in milliseconds."""
    warm = 20
    run.start()
    run.give("one", "noop", 0, warm)
    run.wait(warm)
    run.rest(1.5)
    run.give("pace", "noop", warm, count, rate=50)
    run.wait(warm + count)
    given, began = run.column(0, warm, count), run.column(1, warm, count)
    waited = sorted((late - early) * 1000 for early, late in zip(given, began, strict=True))
    return {"p50 ms": waited[count // 2], "p99 ms": waited[min(count - 1, int(count * 0.99))]}


def free_behind_blocked(run: Run, count: int) -> Figures:
    """From the enqueue of a job that nothing keeps from running to its start, with many before it that wait for another."""
    run.give("one", "hold", 0, 1)
    run.start()
    run.wait_for(0, 1)
    run.give("bulk", "line", 1, count)
    run.rest(1.5)
    free = 1 + count
    run.give("pace", "own", free, 1, rate=50)
    run.wait_for(free, 2)
    return {"seconds": run.view[free * record.WIDTH + 1] - run.view[free * record.WIDTH]}


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
    run.rest(2.0)
    mib, processes = run.memory()
    return {"seconds": seconds, "MiB": mib, "processes": processes}


MEASURE: dict[str, Callable[[Run, int], Figures]] = {
    "enqueue one by one": enqueue_one_by_one,
    "enqueue in bulk": enqueue_in_bulk,
    "drain": drain,
    "latency": latency,
    "naps": naps,
    "reserved, own names": reserved,
    "reserved, 8 slots": reserved,
    "reserved, 100 names": reserved,
    "reserved, 1 name": in_line,
    "free behind 200 blocked": free_behind_blocked,
    "start, 1 slot": start,
    "start, 2 slots": start,
}
