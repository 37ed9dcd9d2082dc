"""Start a worker."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .. import __version__
from ..errors import ConfigError
from .config import Connect, WorkerConfig

_LACKS = (
    "packhorse worker: this is not Linux, so some things are missing: a child notices its supervisor's death only when its\n"
    "  job has ended, what a dead child leaves running is not killed, and a new job is noticed by polling (up to 250 ms later)."
)


def run_worker(config: WorkerConfig, connect: Connect, prepare: Callable[[], None]) -> int:
    """Run a worker until it is told to stop; return the exit code of the process.

    ``connect`` gets the App's plain part, told by the first child or by ``config.plain``. ``prepare`` is called in a thread of
    its own while that child starts: what it imports needs not be imported later. Raises ``ConfigError`` where no worker
    can run at all.
    """
    if sys.platform == "win32":
        raise ConfigError("A worker does not run on Windows; enqueue here, and run the worker on Linux or macOS.")
    if not sys.platform.startswith("linux"):
        _say(_LACKS)
    from .supervisor import Supervisor

    return Supervisor(config, connect, prepare, __version__, _say).run()


def _say(line: str) -> None:
    """Print for people; a terminal that is gone stops nothing."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass
