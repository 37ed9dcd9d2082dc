"""A worker whose store dies, or loses its answer, at one chosen call: ``python -m tests.crash.entry URL METHOD NTH HOW``.

HOW is ``killed-before`` (the process dies before the call is sent), ``killed-after`` (after it was done, before the answer is
known), ``away`` (the call is not sent, the store unavailable), ``answer-lost`` (done, but the caller is told that the store was
unavailable), or ``count`` (nothing happens; the calls are counted into the file CALLS). Nothing in the worker knows of this.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from packhorse import _logs
from packhorse._stores import open_store
from packhorse._worker.config import Place, WorkerConfig
from packhorse._worker.run import run_worker
from packhorse.errors import StoreUnavailable

#: Calls that change nothing and tell nothing of importance.
PASSED = {
    "close",
    "now",
    "lock_dir",
    "wait",
    "wake",
    "changed",
    "url",
    "namespace",
    "instance",
    "capabilities",
    "freed",
}


class Trap:
    """Counts the calls of all connections of this process, and springs once."""

    def __init__(self, method: str, nth: int, how: str) -> None:
        self.calls: Counter[str] = Counter()
        self._target = (method, nth)
        self._how = how
        self._lock = threading.Lock()

    def here(self, method: str) -> str:
        """Return what happens at this call."""
        with self._lock:
            self.calls[method] += 1
            if self._how == "count":
                Path("calls.part").write_text(json.dumps(self.calls))
                os.replace("calls.part", "CALLS")
                return ""
            return self._how if (method, self.calls[method]) == self._target else ""


class Failing:
    """A store with a trap."""

    def __init__(self, store: Any, trap: Trap) -> None:
        self._store = store
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name in PASSED:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            how = self._trap.here(name)
            if how == "killed-before":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "away":
                raise StoreUnavailable("the store is away (a test says so).")
            answer = real(*args, **kwargs)
            if how == "killed-after":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "answer-lost":
                raise StoreUnavailable("the answer was lost (a test says so).")
            return answer

        return call


def main(url: str, method: str, nth: str, how: str) -> int:
    trap = Trap(method, int(nth), how)
    config = WorkerConfig(app=("tests.worker.tasks",), processes=2, burst=True, name="%i-%p", grace=5.0)
    _logs.configure("info", "text", None)

    def opened(create: bool) -> Any:
        return Failing(open_store(url, create=create), trap)

    return run_worker(config, lambda plain: Place(url, "default", "a test", opened), lambda: None)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
