"""Runs pytest with tests beside each other; the few that fail so run once more, alone: ``python -m tests.together ARGS``.

Thousands of tests with real processes and real time, three at once on two cores: now and then one of them is not served in
time by the machine. What fails alone, too, is a failure of the run; what passes alone is named in its last lines, because it
is a fault still: of the test, or of the code.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

#: More failures than these are not by chance.
MOST = 5
_FAILED = 1
_LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def run(arguments: Sequence[str]) -> int:
    """Return the exit code."""
    code = _pytest("--cache-clear", *arguments)
    failed = _failed() if code == _FAILED else []
    if not 0 < len(failed) <= MOST:
        return code
    print(f"\nFailed beside others; once more, alone ({len(failed)}):", flush=True)
    code = _pytest("-n0", *failed)
    if code == 0:
        print("NOT SURE OF THEMSELVES: these failed beside others and passed alone.", *failed, sep="\n  ", flush=True)
    return code


def _failed() -> list[str]:
    """Return the tests that failed; their names without the group that xdist puts behind them."""
    return [re.sub(r"@[^]]*$", "", name) for name in json.loads(_LAST_FAILED.read_text())]


def _pytest(*arguments: str) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *arguments])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
