"""What fails beside others is run once more, alone; and nothing passes that fails alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import together

ONCE = """
import os, pathlib, pytest
@pytest.mark.xdist_group("some")
@pytest.mark.parametrize("what", ["a@b", "c"])
def test_once(what):
    mark = pathlib.Path(f"MARK-{what}")
    assert what == "c" or mark.exists() or mark.write_text("failed once") is None
"""
ALWAYS = "def test_always(): assert False\n"
BROKEN = "import nothing_of_that_name\n"


def ran(directory: Path, *lines: str) -> tuple[int, str]:
    for number, text in enumerate(lines):
        Path(directory, f"test_{number}.py").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(Path(together.__file__).parents[1])}
    command = [sys.executable, "-m", "tests.together", "-n", "1", "--dist", "loadgroup"]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout


def test_what_fails_once_passes_and_is_named(tmp_path: Path) -> None:
    code, out = ran(tmp_path, ONCE)
    assert code == 0, out
    assert out.splitlines()[-2:] == [
        "NOT SURE OF THEMSELVES: these failed beside others and passed alone.",
        "  test_0.py::test_once[a@b]",
    ]


def test_what_fails_again_is_a_failure(tmp_path: Path) -> None:
    code, out = ran(tmp_path, ONCE, ALWAYS)
    assert code == 1, out
    assert "Failed beside others; once more, alone (2)" in out
    assert "1 failed, 1 passed" in out


@pytest.mark.parametrize("many", [together.MOST + 1])
def test_many_failures_are_not_tried_again(tmp_path: Path, many: int) -> None:
    code, out = ran(tmp_path, *[ALWAYS] * many)
    assert (code, "once more" in out) == (1, False), out


def test_what_cannot_even_be_collected_is_a_failure(tmp_path: Path) -> None:
    code, out = ran(tmp_path, BROKEN)
    assert (code, "once more" in out) == (1, False) or code > 1, out


def test_all_is_well_at_once(tmp_path: Path) -> None:
    code, out = ran(tmp_path, "def test_well(): pass\n")
    assert (code, "once more" in out) == (0, False), out
