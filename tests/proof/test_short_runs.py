"""The random-kill runs of ``make prove``, short: a sample of each on each store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.stores import chosen
from tests.proof.places import KINDS

ROOT = Path(__file__).parents[2]
STORES = [name for name in KINDS if name in chosen()]
SIZES = {
    "kill_run": "--jobs 600 --kills 12 --server-kills 2",
    "reserved_run": "--jobs 600 --kills 6 --server-kills 1 --pauses 0",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("run", SIZES)
@pytest.mark.parametrize("store", STORES)
def test_a_short_run_finds_all_as_promised(store: str, run: str) -> None:
    """In a process of its own, which kills others. One whose kills hit too little proves nothing, and is done again."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [
        sys.executable,
        "-m",
        f"tests.proof.{run}",
        "--store",
        store,
        "--quiet",
        "--again",
        "2",
        *SIZES[run].split(),
    ]
    ran = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
