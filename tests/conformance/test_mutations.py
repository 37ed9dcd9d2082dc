"""The suite must notice every seeded bug: a test that cannot fail proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .mutations import BUGS

HERE = Path(__file__).parent


def noticed(bug: str) -> bool:
    """Run the file of tests that must notice over the memory store, with the bug in it."""
    environment = {**os.environ, "PACKHORSE_TEST_STORES": "memory", "PACKHORSE_TEST_MUTATION": bug}
    # A bug may make a loop endless; the time limit then is what notices.
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=10", "--timeout-method=signal"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / f"test_{BUGS[bug][0]}.py")],
        env=environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "error" not in ran.stdout.splitlines()[-1], ran.stdout
    return ran.returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_suite_notices_every_seeded_bug() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(BUGS, pool.map(noticed, BUGS), strict=True))
    survivors = [bug for bug, found in results.items() if not found]
    assert survivors == [], f"not noticed: {survivors}"
    assert len(BUGS) >= 30
