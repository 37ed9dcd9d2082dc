"""The producers' processes as the run sees them: fed as far as the killing has come, and started anew when they were killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .workers import ROOT

#: At most so many jobs are enqueued at once.
_BATCH = 20
#: An enqueue takes about so long (seconds).
_IN_THE_MIDST = 0.01


class Producer(threading.Thread):
    """Hands its kinds, part by part, to a process that enqueues them."""

    def __init__(
        self,
        number: int,
        store: str,
        kinds: list[str],
        directory: Path,
        allowed: Callable[[], float],
        seed: int,
        maker: str = "tests.proof.producing",
    ) -> None:
        super().__init__(name=f"producer {number}", daemon=True)
        self.done = 0
        self.troubles: Counter[str] = Counter()  #: enqueues that were repeated, by what the store had said
        self.deaths: list[int] = []  #: exit codes of processes that nobody had killed
        self._command = [sys.executable, "-m", "tests.proof.producing", store, str(directory)]
        self._maker = maker
        self._log = (directory / f"producer-{number}.log").open("ab")
        self._kinds = kinds
        self._allowed = allowed
        self._rng = random.Random(seed)
        self._pause = threading.Event()
        self._condemned = threading.Event()
        self.kills = 0
        self._begin()

    def _begin(self) -> None:
        self._killed = False
        self._process = subprocess.Popen(
            [*self._command, str(self._rng.getrandbits(32)), self._maker], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip

    def run(self) -> None:
        while self.done < len(self._kinds) and not self._pause.is_set():
            may = int(len(self._kinds) * self._allowed()) - self.done
            if may <= 0:
                self._pause.wait(0.02)
                continue
            part = self._kinds[self.done : self.done + min(may, self._rng.randint(1, _BATCH))]
            if self._enqueued(part):
                self.done += len(part)
            elif len(self.deaths) > 3:
                break
        self._end()

    def _enqueued(self, part: list[str]) -> bool:
        """Have them enqueued; False if the process died over it: it may have stored them or not, others are enqueued."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(OSError):  # it is dead: then there is no answer either
            print(*part, file=self._process.stdin, flush=True)
        if self._condemned.is_set():
            self._kill()
        answer = self._process.stdout.readline()
        if not answer or self._killed:
            self._again()
        if not answer:
            return False
        unavailable, unknown = map(int, answer.split())
        self.troubles.update(unavailable=unavailable, unknown=unknown)
        return True

    def _kill(self) -> None:
        self._condemned.clear()
        self._pause.wait(self._rng.uniform(0, _IN_THE_MIDST))
        os.kill(self._process.pid, signal.SIGKILL)
        self.kills += 1
        self._killed = True

    def _again(self) -> None:
        code = self._process.wait()
        if not self._killed:
            self.deaths.append(code)
        self._hang_up()
        self._begin()

    def kill(self) -> None:
        """Have the process killed while it enqueues the next part: else it would mostly be found idle."""
        self._condemned.set()

    def stop(self) -> None:
        """Give up: the run has failed."""
        self._pause.set()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._process.communicate()

    def _end(self) -> None:
        self._hang_up()
        self._log.close()
