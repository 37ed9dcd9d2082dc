"""Turn figures into one table: ours, the peer's, the ratio, the goal, and what SQLite itself does here."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: (measurement, system, variant, figure) → the values of all repetitions
Results = dict[tuple[str, str, str, str], list[float]]


@dataclass(frozen=True)
class Goal:
    """What ours has to be, given the peer's and SQLite's own."""

    words: str
    met: Callable[[float, float, float], bool]
    relative: bool = True  #: the peer's figure is part of it


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    words: str
    measurement: str
    figure: str
    ours: str  #: our variant
    peers: tuple[str, ...]  #: the peer's variants; the best of them counts
    goal: Goal
    less: bool = False  #: smaller is better
    digits: int = 0
    bare: str | None = None


@dataclass(frozen=True)
class Line:
    """A measure with its medians."""

    measure: Measure
    ours: float
    ours_range: tuple[float, float]
    peer: float | None
    peer_variant: str
    bare: float | None

    @property
    def ratio(self) -> float | None:
        """Return how many times better than the peer (below 1: worse)."""
        if not self.peer or not self.ours:
            return None
        return self.peer / self.ours if self.measure.less else self.ours / self.peer

    @property
    def met(self) -> bool | None:
        """Tell whether the goal is reached; None: the peer was not measured, and the goal is relative to it."""
        if self.peer is None and self.measure.goal.relative:
            return None
        return self.measure.goal.met(self.ours, self.peer or 0.0, self.bare or float("inf"))


def at_least(times: float) -> Goal:
    return Goal(f"{times:g} x the peer", lambda ours, peer, bare: ours >= times * peer)


def below(limit: float) -> Goal:
    return Goal(f"below {limit:g}", lambda ours, peer, bare: ours < limit, relative=False)


def from_on(limit: float) -> Goal:
    return Goal(f"{limit:,.0f}", lambda ours, peer, bare: ours >= limit, relative=False)


ENQUEUE = Goal("1.2 x the peer, or 0.9 x SQLite", lambda ours, peer, bare: ours >= 1.2 * peer or ours >= 0.9 * bare)
NO_WORSE = Goal("no worse", lambda ours, peer, bare: ours <= peer)
POLLING = ("defaults", "polling each 5 ms")
MEASURES = (
    Measure(
        "drain, 2 children, jobs/s",
        "drain",
        "per second",
        "2 children",
        ("1 thread", "2 processes"),
        at_least(15),
        bare="drain",
    ),
    Measure(
        "enqueue one by one, jobs/s", "enqueue one by one", "per second", "", ("",), ENQUEUE, bare="enqueue one by one"
    ),
    Measure(
        "enqueue in bulk, jobs/s", "enqueue in bulk", "per second", "", (), from_on(100_000), bare="enqueue in bulk"
    ),
    Measure("idle latency p50, ms", "latency", "p50 ms", "1 child", POLLING, below(0.8), less=True, digits=2),
    Measure("idle latency p99, ms", "latency", "p99 ms", "1 child", POLLING, below(2.4), less=True, digits=2),
    Measure(
        "10 ms jobs, 32 slots, jobs/s", "naps", "per second", "2 children x 16 threads", ("32 threads",), from_on(3_100)
    ),
    Measure(
        "start to first job, 1 slot, s", "start", "seconds", "1 child", ("1 process",), NO_WORSE, less=True, digits=3
    ),
    Measure(
        "start to first job, 2 slots, s",
        "start",
        "seconds",
        "2 children",
        ("2 processes",),
        NO_WORSE,
        less=True,
        digits=3,
    ),
    Measure("idle memory, 1 slot, MiB PSS", "start", "MiB", "1 child", ("1 process",), NO_WORSE, less=True, digits=1),
    Measure(
        "idle memory, 2 slots, MiB PSS", "start", "MiB", "2 children", ("2 processes",), NO_WORSE, less=True, digits=1
    ),
)


def gather(rows: Iterable[dict[str, object]]) -> Results:
    """Collect the repetitions of each figure from the lines of a results file."""
    results: Results = defaultdict(list)
    for row in rows:
        if "figures" not in row:
            continue
        key = (str(row["measurement"]), str(row["system"]), str(row["variant"]))
        for figure, value in dict(row["figures"]).items():  # type: ignore[call-overload]
            results[*key, figure].append(float(value))
    return results


def lines(results: Results) -> list[Line]:
    """Return the lines of the table for what was measured."""
    return [
        line(measure, results)
        for measure in MEASURES
        if (measure.measurement, "packhorse", measure.ours, measure.figure) in results
    ]


def line(measure: Measure, results: Results) -> Line:
    ours = results[measure.measurement, "packhorse", measure.ours, measure.figure]
    keys = {name: (measure.measurement, "huey", name, measure.figure) for name in measure.peers}
    peers = {name: statistics.median(results[key]) for name, key in keys.items() if key in results}
    best = (min if measure.less else max)(peers, key=lambda name: peers[name]) if peers else ""
    bare = results.get((measure.bare or "", "sqlite", "", "per second"))
    return Line(
        measure,
        statistics.median(ours),
        (min(ours), max(ours)),
        peers.get(best),
        best,
        statistics.median(bare) if bare else None,
    )


#: The columns that are text, and begin at the left.
TEXT = {0, 4, 6, 7}
#: Between these lines of a page stands what was measured.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = ("measured", "packhorse", "(range)", "huey", "its best way", "ratio", "goal", "met", "bare SQLite")


def table(found: Iterable[Line]) -> str:
    """Return the table as text."""
    rows = [HEAD, *(cells(line) for line in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n in TEXT else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def cells(line: Line) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:,.{line.measure.digits}f}"

    low, high = line.ours_range
    return (
        line.measure.words,
        number(line.ours),
        f"{number(low)}..{number(high)}",
        number(line.peer),
        line.peer_variant,
        "-" if line.ratio is None else f"{line.ratio:.1f}",
        line.measure.goal.words,
        {True: "yes", False: "NO", None: "-"}[line.met],
        number(line.bare),
    )


def put_into(page: str, note: str, found: Iterable[Line]) -> str:
    """Return the page with the table between its two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has no lines {BEGIN} and {END} to put the table between")
    rule = ["---" if number in TEXT else "--:" for number in range(len(HEAD))]
    rows = [HEAD, rule, *(cells(line) for line in found)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{before}{BEGIN}\n{note}.\n\n{table}\n{END}{after}"
