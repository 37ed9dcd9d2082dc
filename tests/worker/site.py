"""A directory with a store and real workers on it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from packhorse import Job, Queue
from packhorse._record import FINAL, AttemptRecord, JobRecord
from packhorse._store import Store
from packhorse._stores import open_store

ROOT = Path(__file__).parents[2]
APP = "tests.worker.tasks"
#: Generous: it is only ever used up by a test that fails.
PATIENCE = 20.0
T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Return the first true answer of ``look``; fail after ``patience``."""
    began = time.monotonic()
    while True:
        answer = look()
        if answer:
            return answer
        waited = time.monotonic() - began
        if waited > patience:
            raise AssertionError(f"waited {patience:g} s in vain: {what}; last answer {answer!r}")
        # The longer it takes the less it matters when it is seen; to look often costs those who are waited for.
        time.sleep(min(0.005 + waited / 20, 0.03))


class Worker:
    """A ``packhorse worker`` process."""

    def __init__(self, log: Path, command: Sequence[str], cwd: Path, environ: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def until(self, words: str, patience: float = PATIENCE) -> str:
        """Wait until it has printed these words; return all it has printed."""

        def look() -> bool:
            return words in self.output or self.process.poll() is not None

        eventually(look, f"{words!r} in:\n{self.output}", patience)
        assert words in self.output, f"it ended with {self.process.returncode}; printed:\n{self.output}"
        return self.output

    def ready(self) -> Worker:
        """Wait until it serves."""
        self.until("serves ")
        return self

    def children(self) -> list[int]:
        """Return the pids of its living children."""
        return [pid for pid in descendants(self.pid, 1) if alive(pid)]

    def kill(self) -> None:
        """Kill the supervisor alone."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def ended(self, patience: float = PATIENCE) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker had not ended after {patience:g} s; printed:\n{self.output}") from None

    def stop(self, patience: float = PATIENCE) -> int:
        """Ask it to stop; return its exit code."""
        self.process.terminate()
        return self.ended(patience)


class Site:
    """One store, and workers on it: a file in the directory, unless it is given."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.directory = directory
        self.url = url or f"sqlite:///{directory}/jobs.db"
        self.queue = Queue("work", store=self.url)
        self.workers: list[Worker] = []
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """A connection of the test's own."""
        if self._store is None:
            self._store = open_store(self.url)
            self._store.migrate()
        return self._store

    def worker(self, *arguments: str, app: str | None = APP, **environ: str) -> Worker:
        """Start a worker."""
        specs = [] if app is None else [app]
        command = [sys.executable, "-m", "packhorse", "worker", *specs, "--store", self.url, *arguments]
        return self.launch(command, **environ)

    def launch(self, command: Sequence[str], **environ: str) -> Worker:
        """Start a process that is a worker."""
        log = self.directory / f"worker-{len(self.workers)}.log"
        worker = Worker(log, command, self.directory, {**self.environ(), **environ})
        self.workers.append(worker)
        return worker

    def environ(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PACKHORSE_")}
        paths = [str(self.directory), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**clean, "PYTHONPATH": os.pathsep.join(paths), "SITE": str(self.directory)}

    def module(self, name: str, text: str) -> str:
        """Write a module that workers can import; return its name."""
        path = self.directory / f"{name}.py"
        before = path.stat().st_mtime if path.exists() else 0.0
        path.write_text(text)
        # What was compiled is known to be old by the second, and the length, of its source.
        if path.stat().st_mtime < before + 2:
            os.utime(path, (before + 2, before + 2))
        return name

    # -- jobs -----------------------------------------------------------------------------------------------------
    def enqueue(self, task: Any, *args: Any, **options: Any) -> Job[Any]:
        return self.queue.using(**options).enqueue(task, *args)

    def job(self, job: Job[Any] | str) -> JobRecord:
        (record,) = self.store.get([job if isinstance(job, str) else job.id])
        return record

    def end(self, job: Job[Any] | str, patience: float = PATIENCE) -> JobRecord:
        """Wait for a job's end; return it as it is stored."""

        def look() -> JobRecord | None:
            record = self.job(job)
            assert not record.parked, record.reason
            return record if record.state in FINAL else None

        found = self.eventually(look, f"the end of {job}", patience)
        assert found is not None
        return found

    def eventually(self, look: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
        """Return the first true answer; a failure tells what the workers have said, and which of them are no more."""
        try:
            return eventually(look, what, patience)
        except AssertionError as error:
            said = [f"worker {worker.pid}, exit {worker.process.poll()}:\n{worker.output}" for worker in self.workers]
            raise AssertionError("\n".join([str(error), *said])) from None

    def state(self, job: Job[Any] | str, *states: str, patience: float = PATIENCE) -> str:
        """Wait until a job is in one of these states."""
        return self.eventually(
            lambda: (found := self.job(job).state) in states and found, f"{job} {' or '.join(states)}", patience
        )

    def run(self, task: Any, *args: Any, **options: Any) -> JobRecord:
        """Enqueue a job and wait for its end."""
        return self.end(self.enqueue(task, *args, **options))

    def attempts(self, job: Job[Any] | JobRecord) -> list[AttemptRecord]:
        return self.store.attempts(job.id)

    def log(self, job: Job[Any] | JobRecord) -> str:
        """Return what all attempts of a job have printed and logged."""
        return "".join(text for _, text, _ in self.store.log(job.id))

    def full(self, slots: int) -> set[int]:
        """Have so many jobs run at once, which shows that so many slots are there; return the processes that ran them."""
        names = [uuid.uuid4().hex for _ in range(slots)]
        jobs = [self.enqueue(f"{APP}:held", name) for name in names]
        pids = {int(self.marked(f"{name}-runs")) for name in names}
        for name in names:
            self.let(f"{name}-may-end")
        for job in jobs:
            self.end(job)
        return pids

    # -- marks: files by which jobs and tests talk ------------------------------------------------------------------
    def mark(self, name: str) -> Path:
        return self.directory / name

    def marked(self, name: str, patience: float = PATIENCE) -> str:
        """Wait until a job has left this mark; return what stands in it."""
        path = self.mark(name)
        self.eventually(lambda: path.exists() and path.read_text().endswith("\n"), f"the mark {name}", patience)
        return path.read_text()

    def let(self, name: str) -> None:
        """Leave a mark that a job waits for."""
        self.mark(name).write_text("go\n")

    def close(self) -> None:
        """End whatever still runs; no worker may have had a fault of its own."""
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                for pid in [*descendants(worker.pid), worker.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            worker.process.wait()
        if self._store is not None:
            self._store.close()
        faulty = [worker.output for worker in self.workers if "internal error" in worker.output]
        assert not faulty, faulty[0]


def descendants(pid: int, depth: int = 5) -> list[int]:
    """Return the children of a process, their children, and so on, innermost last."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
            found += map(int, text.split())
    except OSError:
        return found
    if depth > 1:
        for child in list(found):
            found += descendants(child, depth - 1)
    return found


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def with_argument(word: str) -> list[int]:
    """Return the living processes that have this word on their command line or in their environment."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if word.encode() in text and alive(int(name)):
                found.append(int(name))
    return found
