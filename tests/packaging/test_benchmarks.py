"""The benchmarks run, and their table and plot say what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import bars, report
from benchmarks.systems import SETUPS, STORES

ROOT = Path(__file__).parents[2]


def rows(system: str, variant: str, *values: float, store: str = "sqlite") -> list[dict[str, object]]:
    return [
        {
            "store": store,
            "measurement": "drain",
            "system": system,
            "variant": variant,
            "figures": {"per second": value},
        }
        for value in values
    ]


def lines(*given: list[dict[str, object]], store: str = "sqlite") -> list[report.Line]:
    return report.lines(report.gather(row for some in given for row in some), store)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("benchmarks")
@pytest.mark.parametrize("store", STORES)
def test_a_quick_run_measures_everything(store: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--store", store, "--peers", str(tmp_path / "none")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for measure in report.MEASURES[store]:
        assert measure.words in done.stdout
    (figures,), (plot,) = tmp_path.glob("*.jsonl"), tmp_path.glob("*.svg")
    told = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    assert {row.get("system") for row in told} == {None, "packhorse", "bare"}
    assert ET.parse(plot).getroot().tag.endswith("svg")
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".svg"}


def test_a_profile_has_every_verb_and_its_share_of_the_bare_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/profile.db"
    sizes = ["--jobs", "1000", "--singles", "10", "--batch", "100", "-k", "1"]
    command = [sys.executable, "-m", "benchmarks.profile_store", url, *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    table = [line for line in done.stdout.splitlines() if line.startswith(("enqueue", "claim", "settle"))]
    assert len(table) == 5, done.stdout
    assert all(float(line.split()[-9].replace(",", "")) > 0 for line in table)  # jobs/s, the first of nine columns


def test_every_measure_of_a_store_is_measured_on_ours() -> None:
    for store, measures in report.MEASURES.items():
        ours = {setup.measurement for setup in SETUPS if (setup.store, setup.system) == (store, "packhorse")}
        assert {measure.measurement for measure in measures} == ours


def test_the_table_has_medians_the_best_peer_the_ratio_and_the_goal() -> None:
    (line,) = lines(
        rows("packhorse", "2 children", 80.0, 90.0, 300.0),
        rows("huey", "1 thread", 5.0),
        rows("huey", "2 processes", 4.0, 4.0),
        rows("bare", "", 200.0),
    )
    assert (line.ours, line.ours_range, line.peer, line.peer_name) == (90.0, (80.0, 300.0), 5.0, "huey, 1 thread")
    assert (line.ratio, line.met, line.bare) == (18.0, True, 200.0)
    assert "18.0" in report.table([line])


def test_the_fastest_of_several_peers_counts() -> None:
    (line,) = lines(
        rows("packhorse", "2 children", 90.0, store="redis"),
        rows("huey", "", 6.0, store="redis"),
        rows("dramatiq", "2 x 8 threads", 7.0, store="redis"),
        rows("huey", "", 80.0),
        store="redis",
    )
    assert (line.peer, line.peer_name, line.met) == (7.0, "dramatiq, 2 x 8 threads", True)


def test_a_goal_that_is_missed_is_said_to_be_missed() -> None:
    (line,) = lines(rows("packhorse", "2 children", 70.0), rows("huey", "1 thread", 5.0))
    assert not line.met
    assert "NO" in report.table([line]).split()


def test_without_a_peer_a_goal_beside_it_is_neither_met_nor_missed() -> None:
    (line,) = lines(rows("packhorse", "2 children", 70.0))
    assert line.met is None
    assert "NO" not in report.table([line]).split()


def test_the_plot_shows_both() -> None:
    found = lines(rows("packhorse", "2 children", 70.0), rows("huey", "1 thread", 5.0))
    text = "".join(ET.fromstring(bars.draw("sqlite", found, "a & b")).itertext())
    assert "70 packhorse" in text
    assert "5 huey, 1 thread" in text


def test_a_page_gets_the_table_of_each_store_between_its_marks() -> None:
    found = lines(rows("packhorse", "2 children", 70.0), rows("huey", "1 thread", 5.0))
    begin, end = report.marks("sqlite")
    other = "\n".join(report.marks("redis"))
    page = f"# Title\n\n{begin}\nold\n{end}\n\n{other}\n\nend\n"
    once = report.put_into(page, "sqlite", "2 cores", found, "a.svg")
    assert "old" not in once
    assert "| drain, 2 children, jobs/s | 70 | 70..70 | 5 | huey, 1 thread | 14.0 |" in once
    assert "](a.svg)" in once
    assert other in once
    assert report.put_into(once, "sqlite", "2 cores", found, "a.svg") == once
    with pytest.raises(ValueError, match="no lines"):
        report.put_into("# Title", "sqlite", "", found, "a.svg")
