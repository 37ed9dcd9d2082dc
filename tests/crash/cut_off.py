"""A worker that loses its store while a file stands in its directory: ``python -m tests.crash.cut_off URL NAME SCALE``.

While the file ``away-NAME`` is there, every call of every connection of this worker fails. All times of beats, of finding dead
and of ``exclusive_patience`` are divided by SCALE. Each worker says that it is a host of its own: on one host its lock would
tell that it lives.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from packhorse import _logs, _rescue
from packhorse._stores import open_store
from packhorse._worker import beat_thread, upkeep
from packhorse._worker.config import Place, WorkerConfig
from packhorse._worker.run import run_worker
from packhorse.errors import StoreUnavailable

#: What costs nothing, and asks the store nothing.
LOCAL = {"close", "lock_dir", "wake", "url", "namespace", "instance", "capabilities", "freed"}


class Away:
    """A store that cannot be reached while the file is there."""

    def __init__(self, store: Any, file: str) -> None:
        self._store = store
        self._file = file

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name in LOCAL:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if os.path.exists(self._file):
                raise StoreUnavailable("the store is away (a test says so).")
            return real(*args, **kwargs)

        return call


def hurry(scale: float) -> None:
    """Let all that is counted in beats go by faster."""
    _rescue.SPACING /= scale
    _rescue.KILL /= scale
    beat_thread.BEAT_EVERY /= scale
    upkeep._RESCUE_SOON /= scale


def main(url: str, name: str, scale: str) -> int:
    hurry(float(scale))
    socket.gethostname = lambda: f"{name}.example.org"
    patience = _rescue.EXCLUSIVE_PATIENCE / float(scale)
    config = WorkerConfig(app=("tests.worker.tasks",), threads=2, name=name, grace=5.0, exclusive_patience=patience)
    _logs.configure("info", "text", None)

    def opened(create: bool) -> Any:
        return Away(open_store(url, create=create), f"away-{name}")

    return run_worker(config, lambda plain: Place(url, "default", "a test", opened), lambda: None)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
