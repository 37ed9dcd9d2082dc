"""The suite must notice every seeded bug: a test that cannot fail proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .mutations import BUGS

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_suite_notices_every_seeded_bug() -> None:
    """In a process of its own, where the bugs can do no harm to other tests."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PACKHORSE_TEST_STORES": "memory", "PYTHONPATH": path}
    command = [sys.executable, "-m", "conformance.mutations"]
    ran = subprocess.run(
        command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert len(BUGS) >= 30
    assert ran.stdout.splitlines() == [f"noticed\t{bug}" for bug in BUGS]
