"""Measure, and print one table a store. Lines of figures and a plot a store go to ``benchmarks/results``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import bare, bars, disk, report
from benchmarks.scenarios import MEASURE, ROOT, running
from benchmarks.servers import Place, serving
from benchmarks.systems import SETUPS, STORES, SYSTEMS, VERSIONS, Setup

RESULTS = Path(__file__).parent / "results"
PEERS = ROOT / ".venv-bench"
HERE = Path(sys.executable).parent

Row = dict[str, object]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-k", type=int, default=5, help="repetitions, of which the median counts (default 5)")
    parser.add_argument("--quick", action="store_true", help="once, and a fiftieth of the jobs: does it work at all?")
    parser.add_argument("--store", action="append", choices=STORES, help="measure only on this store (may be repeated)")
    parser.add_argument("--only", action="append", choices=sorted(MEASURE), help="measure only this (may be repeated)")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="measure only this system (may be repeated)")
    parser.add_argument("--peers", type=Path, default=PEERS, help="the environment where the peers are installed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the figures, the plots, and the databases")
    parser.add_argument("--into", type=Path, help="a page of the docs to put the tables into, with the plots beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit status says only that everything could be measured."""
    given = arguments(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    if not has_peers(given):
        print(f"no peers are installed in {given.peers}: Packhorse is measured alone (make bench)", file=sys.stderr)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for store in given.store or STORES:
        rows = []
        with (given.out / f"{stamp}-{store}.jsonl").open("w", encoding="utf-8") as file:
            for row in measure(given, store):
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
        show(store, rows, given.out / f"{stamp}-{store}.svg", given.into)
    return 0


def has_peers(given: argparse.Namespace) -> bool:
    return Path(given.peers, "bin", "python").exists()


def measure(given: argparse.Namespace, store: str) -> Iterator[Row]:
    """Yield the surroundings, then the figures of each run; the systems take turns, so that a slow minute hits all."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=given.out))
    folder.chmod(0o755)  # PostgreSQL never runs as root, and has to get there
    scale = 0.02 if given.quick else 1.0
    try:
        with serving(store, folder / "server") as place:
            yield surroundings(given, store, place, folder)
            for repetition in range(1 if given.quick else given.k):
                if given.system is None:
                    yield from bare_rows(store, place, folder, scale, repetition)
                for setup in wanted(given, store):
                    yield once(setup, given.peers, place, folder, scale, repetition)
    finally:
        shutil.rmtree(folder)


def wanted(given: argparse.Namespace, store: str) -> list[Setup]:
    """Return what is to be measured on a store, the systems beside each other."""
    systems = given.system or (SYSTEMS if has_peers(given) else ("packhorse",))
    order = list(MEASURE)
    chosen = [
        setup
        for setup in SETUPS
        if setup.store == store and setup.system in systems and setup.measurement in (given.only or order)
    ]
    return sorted(chosen, key=lambda setup: order.index(setup.measurement))


def bare_rows(store: str, place: Place, folder: Path, scale: float, repetition: int) -> Iterator[Row]:
    url = place.fresh(folder)
    for measurement, value in bare.measure(url, scale).items():
        yield told(row(Setup(store, measurement, report.BARE), repetition, {"per second": value}))


def once(setup: Setup, peers: Path, place: Place, folder: Path, scale: float, repetition: int) -> Row:
    count = max(min(setup.count, 50), int(setup.count * scale))
    programs = HERE if setup.system == report.OURS else peers / "bin"
    with running(setup, programs, place, folder, scale) as run:
        figures = MEASURE[setup.measurement](run, count)
    return told(row(setup, repetition, figures))


def row(setup: Setup, repetition: int, figures: dict[str, float]) -> Row:
    return {
        "store": setup.store,
        "measurement": setup.measurement,
        "system": setup.system,
        "variant": setup.variant,
        "repetition": repetition,
        "figures": figures,
    }


def told(row: Row) -> Row:
    """Say on the terminal what was measured."""
    figures = ", ".join(f"{value:,.4g} {name}" for name, value in dict(row["figures"]).items())  # type: ignore[call-overload]
    print(
        f"  {int(str(row['repetition'])) + 1}  {row['store']:<8} {row['measurement']:<18} {row['system']:<9}"
        f" {row['variant']:<31} {figures}",
        file=sys.stderr,
    )
    return row


def surroundings(given: argparse.Namespace, store: str, place: Place, folder: Path) -> Row:
    """Return what the figures depend on. A disk that answers at once, or lies, makes every durable queue look good."""
    opened = bare.open_bare(place.fresh(folder))
    about = opened.about()
    opened.close()
    return {
        "packhorse": version("packhorse"),
        "repetitions": 1 if given.quick else given.k,
        "python": platform.python_version(),
        "store": about,
        "peers": peer_versions(given.peers, VERSIONS[store]) if has_peers(given) else {},
        "cores": len(psutil.Process().cpu_affinity() or ()) if psutil.LINUX else os.cpu_count(),
        "fdatasync_us": round(disk.fdatasync(place.disk / "probe") * 1e6),
    }


def peer_versions(peers: Path, names: Sequence[str]) -> dict[str, str]:
    code = "import sys, importlib.metadata as m; [print(name, m.version(name)) for name in sys.argv[1:]]"
    command = [str(peers / "bin" / "python"), "-c", code, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def show(store: str, rows: list[Row], plot: Path, page: Path | None) -> None:
    lines = report.lines(report.gather(rows), store)
    if not lines:
        return
    note = described(rows[0])
    print(f"\n{report.TITLES[store]}: {note}\n\n{report.table(lines)}\n", flush=True)
    plot.write_text(bars.draw(store, lines, note), encoding="utf-8")
    print(f"figures and plot: {plot.with_suffix('.jsonl')}, {plot.name}")
    if page is not None:
        picture = page.with_name(f"{page.stem}-{store}.svg")
        text = page.read_text(encoding="utf-8")
        page.write_text(report.put_into(text, store, note, lines, picture.name), encoding="utf-8")
        shutil.copyfile(plot, picture)


def described(about: Row) -> str:
    peers = dict(about["peers"])  # type: ignore[call-overload]
    return ", ".join(
        [
            f"{about['cores']} cores, Python {about['python']}, {about['store']}, fdatasync {about['fdatasync_us']} µs",
            *(f"{name} {number}" for name, number in peers.items()),
            f"medians of {about['repetitions']}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
