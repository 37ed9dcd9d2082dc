"""Start a worker."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from ..errors import ConfigError
from .config import Connect, WorkerConfig


def run_worker(config: WorkerConfig, connect: Connect) -> int:
    """Run a worker until it is told to stop; return the exit code of the process.

    ``connect`` gets the App's plain part, told by the first child or by ``config.plain``. Raises ``ConfigError`` where no worker
    can run at all.
    """
    if sys.platform == "win32":
        raise ConfigError("A worker does not run on Windows; enqueue here, and run the worker on Linux or macOS.")
    from .supervisor import Supervisor

    return Supervisor(config, connect, _version(), _say).run()


def _version() -> str:
    try:
        return version("packhorse")
    except PackageNotFoundError:
        return "unknown"


def _say(line: str) -> None:
    """Print for people; a terminal that is gone stops nothing."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass
