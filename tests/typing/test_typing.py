"""mypy and pyright accept the right calls and refuse each planted wrong one."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGHT, WRONG = HERE / "right.py", HERE / "wrong.py"

Check = Callable[[Path], set[int]]


def mypy(path: Path) -> set[int]:
    """Return the lines with errors."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--config-file",
        str(ROOT / "pyproject.toml"),
    ]
    done = subprocess.run([*command, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(rf"{path.name}:(\d+): error: ", done.stdout)
    assert bool(found) == bool(done.returncode), done.stdout
    return {int(line) for line in found}


def pyright(path: Path) -> set[int]:
    program = shutil.which("pyright", path=f"{Path(sys.executable).parent}:{ROOT}")
    if program is None:
        pytest.skip("pyright is not installed")
    done = subprocess.run(
        [program, "--outputjson", "--pythonpath", sys.executable, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, done.stdout
    errors = [found for found in report["generalDiagnostics"] if found["severity"] == "error"]
    return {found["range"]["start"]["line"] + 1 for found in errors}


def marked(path: Path) -> set[int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "  # wrong" in line}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("check", [mypy, pyright])
def test_right_calls_have_the_right_types(check: Check) -> None:
    assert check(RIGHT) == set()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("check", [mypy, pyright])
def test_each_planted_wrong_call_is_an_error(check: Check) -> None:
    planted = marked(WRONG)
    assert len(planted) > 30
    assert check(WRONG) == planted
