"""Real workers, and what is done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Worker:
    """One place of a ``packhorse worker``: restarted whenever it was killed."""

    def __init__(self, number: int, store: str, ledger: Path, arguments: list[str]) -> None:
        self._number = number
        self._log = (ledger / f"worker-{number}.log").open("ab")
        self._command = [sys.executable, "-m", "packhorse", "worker", "tests.proof.jobs", "--store", store, *arguments]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environ = {**os.environ, "PACKHORSE_PROOF_LEDGER": str(ledger), "PYTHONPATH": os.pathsep.join(paths)}
        self.starts = 0
        self.deaths: list[int] = []  #: exit codes of those that ended by themselves
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environ, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def look(self) -> None:
        """Restart one that has ended by itself, which it must not."""
        code = self.process.poll()
        if code is not None:
            self.deaths.append(code)
            self.start()

    def kill(self) -> None:
        """Kill the supervisor and start another at once."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
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
        try:
            return self.process.wait(40)
        finally:
            self._log.close()


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
