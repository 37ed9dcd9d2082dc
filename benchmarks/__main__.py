"""Measure, and print one table. Lines of figures and a plot go to ``benchmarks/results``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import bare, bars, disk, report
from benchmarks.scenarios import MEASURE, running
from benchmarks.systems import SETUPS, Setup

RESULTS = Path(__file__).parent / "results"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-k", type=int, default=5, help="repetitions, of which the median counts (default 5)")
    parser.add_argument("--quick", action="store_true", help="once, and a fiftieth of the jobs: does it work at all?")
    parser.add_argument("--only", action="append", choices=sorted(MEASURE), help="measure only this (may be repeated)")
    parser.add_argument("--system", choices=["packhorse", "huey"], help="measure only this system")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the figures, the plot, and the databases")
    parser.add_argument("--into", type=Path, help="a page of the docs to put the table into, with the plot beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit status says only that everything could be measured."""
    given = arguments(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=given.out))
    rows: list[dict[str, object]] = []
    try:
        with (given.out / f"{stamp}.jsonl").open("w", encoding="utf-8") as file:
            for row in measure(given, folder):
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
    finally:
        shutil.rmtree(folder)
    show(rows, given.out / f"{stamp}.svg", given.into)
    return 0


def measure(given: argparse.Namespace, folder: Path) -> Iterator[dict[str, object]]:
    """Yield the surroundings, then the figures of each run; the systems take turns, so that a slow minute hits all."""
    yield surroundings(folder)
    scale = 0.02 if given.quick else 1.0
    for repetition in range(1 if given.quick else given.k):
        if given.system is None:
            for measurement, value in bare.measure(f"sqlite:///{folder}/jobs.db", scale).items():
                yield row("sqlite", measurement, "", repetition, {"per second": value})
            clear(folder)
        for setup in SETUPS:
            if (given.only is None or setup.measurement in given.only) and given.system in (None, setup.system):
                yield once(setup, folder, scale, repetition)


def once(setup: Setup, folder: Path, scale: float, repetition: int) -> dict[str, object]:
    count = max(min(setup.count, 100), int(setup.count * scale))
    with running(setup, folder) as run:
        figures = MEASURE[setup.measurement](run, count)
    told = ", ".join(f"{value:,.4g} {name}" for name, value in figures.items())
    print(f"  {repetition + 1}  {setup.measurement:<20} {setup.system:<10} {setup.variant:<24} {told}", file=sys.stderr)
    return row(setup.system, setup.measurement, setup.variant, repetition, figures)


def row(system: str, measurement: str, variant: str, repetition: int, figures: dict[str, float]) -> dict[str, object]:
    return {
        "measurement": measurement,
        "system": system,
        "variant": variant,
        "repetition": repetition,
        "figures": figures,
    }


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def surroundings(folder: Path) -> dict[str, object]:
    """Return what the figures depend on. A disk that answers at once, or lies, makes every durable queue look good."""
    return {
        "packhorse": version("packhorse"),
        "huey": version("huey"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cores": len(psutil.Process().cpu_affinity() or ()) if psutil.LINUX else os.cpu_count(),
        "fdatasync_us": round(disk.fdatasync(folder / "disk") * 1e6),
    }


def show(rows: list[dict[str, object]], plot: Path, page: Path | None) -> None:
    about = rows[0]
    note = (
        f"{about['cores']} cores, Python {about['python']}, SQLite {about['sqlite']}, synchronous=FULL, "
        f"fdatasync {about['fdatasync_us']} µs, huey {about['huey']}; medians"
    )
    lines = report.lines(report.gather(rows))
    if not lines:
        return
    print(f"\n{note}\n\n{report.table(lines)}\n")
    plot.write_text(bars.draw(lines, note), encoding="utf-8")
    print(f"figures and plot: {plot.with_suffix('.jsonl')}, {plot.name}")
    if page is not None:
        page.write_text(report.put_into(page.read_text(encoding="utf-8"), note, lines), encoding="utf-8")
        shutil.copyfile(plot, page.with_suffix(".svg"))


if __name__ == "__main__":
    sys.exit(main())
