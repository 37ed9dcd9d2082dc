"""The benchmarks run, and their table and plot say what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import bars, report

ROOT = Path(__file__).parents[2]


def rows(system: str, variant: str, *values: float) -> list[dict[str, object]]:
    return [
        {"measurement": "drain", "system": system, "variant": variant, "figures": {"per second": value}}
        for value in values
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("benchmarks")
def test_a_quick_run_measures_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    for measure in report.MEASURES:
        assert measure.words in done.stdout
    (figures,), (plot,) = tmp_path.glob("*.jsonl"), tmp_path.glob("*.svg")
    assert len([json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]) > len(report.MEASURES)
    assert ET.parse(plot).getroot().tag.endswith("svg")
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".svg"}


def test_the_table_has_medians_the_best_peer_the_ratio_and_the_goal() -> None:
    given = [
        *rows("packhorse", "2 children", 80.0, 90.0, 300.0),
        *rows("huey", "1 thread", 5.0),
        *rows("huey", "2 processes", 4.0, 4.0),
        *rows("sqlite", "", 200.0),
    ]
    (line,) = report.lines(report.gather(given))
    assert (line.ours, line.ours_range, line.peer, line.peer_variant) == (90.0, (80.0, 300.0), 5.0, "1 thread")
    assert (line.ratio, line.met, line.bare) == (18.0, True, 200.0)
    assert "18.0" in report.table([line])


def test_a_goal_that_is_missed_is_said_to_be_missed() -> None:
    (line,) = report.lines(report.gather([*rows("packhorse", "2 children", 70.0), *rows("huey", "1 thread", 5.0)]))
    assert not line.met
    assert "NO" in report.table([line]).split()


def test_the_plot_shows_both() -> None:
    (line,) = report.lines(report.gather([*rows("packhorse", "2 children", 70.0), *rows("huey", "1 thread", 5.0)]))
    text = "".join(ET.fromstring(bars.draw([line], "a & b")).itertext())
    assert "70 packhorse" in text
    assert "5 huey, 1 thread" in text


def test_a_page_gets_the_table_between_its_marks() -> None:
    found = report.lines(report.gather([*rows("packhorse", "2 children", 70.0), *rows("huey", "1 thread", 5.0)]))
    page = f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nend\n"
    once = report.put_into(page, "2 cores", found)
    assert "old" not in once
    assert "| drain, 2 children, jobs/s | 70 | 70..70 | 5 | 1 thread | 14.0 |" in once
    assert report.put_into(once, "2 cores", found) == once
    with pytest.raises(ValueError, match="no lines"):
        report.put_into("# Title", "", found)
