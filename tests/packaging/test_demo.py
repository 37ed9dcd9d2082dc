"""The demo runs, leaves nothing behind but its folder, and notices what is not as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.stores import FRESH, chosen

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"
#: What other tests and tools, running at the same time, may make.
CACHES = {
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".import_linter_cache",
    "build",
    "dist",
    "__pycache__",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The demo's module that compares what became of a job with what should have."""
    monkeypatch.syspath_prepend(str(DEMO))
    import report

    yield report
    for name in ("report", "demo_tasks"):
        sys.modules.pop(name, None)


#: The store that nobody named, and every one that two processes can share.
STORES = ["a new file", *(name for name in chosen() if name != "memory")]


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_the_demo_does_what_it_says(tmp_path: Path, store: str) -> None:
    (tmp_path / "store").mkdir()
    url = "" if store == "a new file" else FRESH[store](tmp_path / "store")
    package = tmp_path / "library" / "pets"
    package.mkdir(parents=True)
    (package / "cat.py").write_text("def purr(): ...\n\nclass Cat:\n    def meow(self): ...\n", encoding="utf-8")
    (package / "broken.py").write_text("def (:\n", encoding="utf-8")
    (tmp_path / "library" / "single.py").write_text("async def run(): ...\n", encoding="utf-8")
    before = untracked()
    command = [sys.executable, "-B", str(DEMO / "run.py"), str(tmp_path / "library"), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PACKHORSE_URL": url}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 jobs: 7 succeeded, 1 failed; 3 further attempts" in done.stdout
    assert "3 files with 3 functions and 1 classes" in done.stdout
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert "command pets" in done.stdout
    sums = (tmp_path / "out" / "sums.txt").read_text().splitlines()
    assert [line.split()[-1] for line in sums] == ["package/broken.py", "package/cat.py"]
    assert made >= {"jobs.txt", "slots.svg", "worker.log"}
    assert ("jobs.db" in made) == (not url)
    assert untracked() == before


def untracked() -> set[str]:
    """What lies in the folders the demo might write to by mistake."""
    return {str(path) for folder in (DEMO, ROOT) for path in folder.iterdir() if path.name not in CACHES}


def test_the_plot_can_be_read_and_has_every_attempt(demo: Any) -> None:
    import slots

    bars = [slots.Bar(0.1, 0.9, "count", "a <b> & c", True), slots.Bar(0.5, 1.0, "special", "run_away", False)]
    tree = ET.fromstring(slots.draw(bars, "two & more"))
    titles = [element[0].text for element in tree.iter("{http://www.w3.org/2000/svg}rect") if len(element)]
    assert titles == ["a <b> & c: 0.10 to 0.90 s", "run_away: 0.50 to 1.00 s, did not succeed"]


def test_attempts_that_overlap_are_in_different_lanes(demo: Any) -> None:
    import slots

    first, second, third = (slots.Bar(start, start + 1, "count", "", True) for start in (0.0, 0.5, 1.0))
    assert slots.lanes([third, second, first]) == [[first, third], [second]]


@dataclass
class Run:
    """An attempt, as far as the demo looks."""

    outcome: str
    number: int = 1
    started_at: datetime = NOW
    ended_at: datetime = NOW + timedelta(seconds=1)
    reason: str | None = None
    error: Any = None


@dataclass
class Ended:
    """A job, as far as the demo looks."""

    state: str
    outcomes: list[str]
    value: Any = None
    args: tuple[Any, ...] = ()
    created_at: datetime = field(default=NOW)

    def refresh(self) -> Ended:
        return self

    def attempts(self) -> list[Run]:
        return [Run(outcome) for outcome in self.outcomes]

    def result(self, timeout: float) -> Any:
        return self.value

    def why(self) -> str:
        return "because"


CRASHING = {"kind": "special", "label": "die_once", "outcomes": ("crashed", "succeeded")}


@pytest.mark.parametrize(
    "job,expected,problem",
    [
        (Ended("succeeded", ["crashed", "succeeded"]), CRASHING, None),
        (Ended("succeeded", ["succeeded"]), CRASHING, "went succeeded and not crashed > succeeded"),
        (Ended("failed", ["crashed", "failed"]), CRASHING, "is failed and should be succeeded: because"),
        (Ended("queued", []), {"kind": "compress", "label": "x"}, "is queued and should be succeeded"),
        (Ended("succeeded", ["lost", "succeeded"]), {"kind": "compress", "label": "x"}, "went lost > succeeded"),
        (Ended("succeeded", ["succeeded"], {"files": 7}, (".", False)), {"kind": "count", "label": "x"}, "counted 7"),
    ],
)  # fmt: skip
def test_it_notices_what_is_not_as_it_should_be(
    demo: Any, job: Ended, expected: dict[str, Any], problem: str | None
) -> None:
    found = demo.examine(demo.Expected(job, **expected)).problems
    assert (problem is None and found == []) or (len(found) == 1 and problem in found[0])
