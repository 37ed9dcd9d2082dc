"""Real workers, and what is done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Life:
    """One process of a worker, from its start to its end (seconds since the epoch), and where it wrote its log."""

    log: Path
    began: float
    ended: float | None = None


class Worker:
    """One place of a ``packhorse worker``: restarted whenever it was killed."""

    def __init__(
        self, number: int, store: str, ledger: Path, arguments: list[str], app: str = "tests.proof.jobs"
    ) -> None:
        self._number = number
        self._ledger = ledger
        self._command = [sys.executable, "-m", "packhorse", "worker", app, "--store", store, *arguments]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environ = {**os.environ, "PACKHORSE_PROOF_LEDGER": str(ledger), "PYTHONPATH": os.pathsep.join(paths)}
        self.lives: list[Life] = []
        self.deaths: list[int] = []  #: exit codes of those that ended by themselves
        self.start()

    def start(self) -> None:
        log = self._ledger / f"worker-{self._number}-{len(self.lives)}.log"
        self.lives.append(Life(log, time.time()))
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def look(self) -> None:
        """Restart one that has ended by itself, which it must not."""
        code = self.process.poll()
        if code is not None:
            self.lives[-1].ended = time.time()
            self.deaths.append(code)
            self.start()

    def kill(self) -> None:
        """Kill the supervisor and start another at once."""
        self.look()
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.lives[-1].ended = time.time()
        self.start()

    def children(self) -> list[int]:
        """Return the pids of its children."""
        found: list[int] = []
        try:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                text = Path(f"/proc/{self.pid}/task/{thread}/children").read_text()
                found += map(int, text.split())
        except OSError:
            return found
        return found

    def stop(self) -> int:
        """Stop it as a service manager would; return its exit code."""
        self.process.terminate()
        code = self.process.wait(40)
        self.lives[-1].ended = time.time()
        return code


def send(pid: int, number: int) -> bool:
    """Signal a process; tell whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def continue_later(pid: int) -> None:
    """Wake a stopped process, unless it has been killed meanwhile."""
    send(pid, signal.SIGCONT)
