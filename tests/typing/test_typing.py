"""The interface under type checkers: right calls pass, planted wrong ones are errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CALLS = Path(__file__).with_name("calls.py")
ROOT = CALLS.parents[2]
LINES = CALLS.read_text(encoding="utf-8").splitlines()
WRONG = {number for number, line in enumerate(LINES, 1) if line.endswith("# wrong")}


def test_there_are_wrong_calls() -> None:
    assert len(WRONG) >= 15


def test_mypy_strict() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--output", "json", "--no-incremental", str(CALLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    errors = {each["line"] for each in found if each["severity"] == "error" and each["file"].endswith("calls.py")}
    assert errors == WRONG, done.stdout + done.stderr


def test_pyright() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(CALLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}
    assert errors == WRONG, "\n".join(f"{each['range']['start']['line'] + 1}: {each['message']}" for each in found)
