from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packhorse._stores.memory import SettableClock
from tests.conformance.making import T0
from tests.worker.site import Site

ROOT = Path(__file__).parents[2]

#: Runs a module of ours or the command with these words, to its end.
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def clock() -> SettableClock:
    """The time of stores that a test fills."""
    return SettableClock(frozen=T0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own; its workers are killed at the end."""
    found = Site(tmp_path)
    yield found
    found.close()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(*words: str, module: str = "packhorse", **environ: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PACKHORSE")}
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=tmp_path,
            env={**clean, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **environ},
            capture_output=True,
            text=True,
            timeout=90,
            stdin=subprocess.DEVNULL,
        )

    return run
