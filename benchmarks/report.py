"""Turn figures into one table a store: ours, the fastest peer's, the ratio, the goal, and what the bare store does here."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: (store, measurement, figure) → (system, variant) → the values of all repetitions
Results = dict[tuple[str, str, str], dict[tuple[str, str], list[float]]]

OURS, BARE = "packhorse", "bare"
TITLES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "redis": "Redis"}


@dataclass(frozen=True)
class Goal:
    """What ours has to be, given the fastest peer's and the bare store's."""

    words: str
    met: Callable[[float, float, float], bool]
    relative: bool = True  #: the peer's figure is part of it


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    words: str
    measurement: str
    figure: str
    goal: Goal
    less: bool = False  #: smaller is better
    digits: int = 0


@dataclass(frozen=True)
class Line:
    """A measure with its medians."""

    measure: Measure
    ours: float
    ours_range: tuple[float, float]
    peer: float | None
    peer_name: str  #: system and variant
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


ENQUEUE = Goal("1.2 x the peer, or 0.9 x bare", lambda ours, peer, bare: ours >= 1.2 * peer or ours >= 0.9 * bare)
NO_WORSE = Goal("no worse", lambda ours, peer, bare: ours <= peer)


def measures(drain: Goal, bulk: Goal) -> tuple[Measure, ...]:
    """Return the lines of a store's table."""
    return (
        Measure("drain, 2 children, jobs/s", "drain", "per second", drain),
        Measure("enqueue one by one, jobs/s", "enqueue one by one", "per second", ENQUEUE),
        Measure("enqueue in bulk, jobs/s", "enqueue in bulk", "per second", bulk),
        Measure("idle latency p50, ms", "latency", "p50 ms", below(0.8), less=True, digits=2),
        Measure("idle latency p99, ms", "latency", "p99 ms", below(2.4), less=True, digits=2),
        Measure("10 ms jobs, 32 slots, jobs/s", "naps", "per second", from_on(3_100)),
        Measure("reserved jobs, each its own name, jobs/s", "reserved, own names", "per second", from_on(1_000)),
        Measure("the same with 2 children of 4 threads, jobs/s", "reserved, 8 slots", "per second", from_on(1_000)),
        Measure("reserved jobs, 100 names, jobs/s", "reserved, 100 names", "per second", from_on(1_000)),
        Measure(
            "1,000 wait for one name: each finish, ms", "reserved, 1 name", "ms a job", below(5), less=True, digits=2
        ),
        Measure(
            "a free job behind 200 blocked, s", "free behind 200 blocked", "seconds", below(1), less=True, digits=3
        ),
        Measure("start to first job, 1 slot, s", "start, 1 slot", "seconds", NO_WORSE, less=True, digits=3),
        Measure("start to first job, 2 slots, s", "start, 2 slots", "seconds", NO_WORSE, less=True, digits=3),
        Measure("idle memory, 1 slot, MiB PSS", "start, 1 slot", "MiB", NO_WORSE, less=True, digits=1),
        Measure("idle memory, 2 slots, MiB PSS", "start, 2 slots", "MiB", NO_WORSE, less=True, digits=1),
    )


MEASURES = {
    "sqlite": measures(drain=at_least(15), bulk=from_on(100_000)),
    "postgres": measures(drain=at_least(1.5), bulk=at_least(1.5)),
    "redis": measures(drain=at_least(5), bulk=at_least(8)),
}


def gather(rows: Iterable[dict[str, object]]) -> Results:
    """Collect the repetitions of each figure from the lines of a results file."""
    results: Results = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if "figures" not in row:
            continue
        place, who = (str(row["store"]), str(row["measurement"])), (str(row["system"]), str(row["variant"]))
        for figure, value in dict(row["figures"]).items():  # type: ignore[call-overload]
            results[*place, figure][who].append(float(value))
    return results


def lines(results: Results, store: str) -> list[Line]:
    """Return the lines of a store's table for what was measured of ours."""
    every = [line(measure, results[store, measure.measurement, measure.figure]) for measure in MEASURES[store]]
    return [found for found in every if found is not None]


def line(measure: Measure, found: dict[tuple[str, str], list[float]]) -> Line | None:
    ours = [value for (system, _), values in found.items() if system == OURS for value in values]
    if not ours:
        return None
    medians = {who: statistics.median(values) for who, values in found.items()}
    peers = {who: value for who, value in medians.items() if who[0] not in (OURS, BARE)}
    best = (min if measure.less else max)(peers, key=lambda who: peers[who]) if peers else ("", "")
    return Line(
        measure,
        statistics.median(ours),
        (min(ours), max(ours)),
        peers.get(best),
        ", ".join(filter(None, best)),
        medians.get((BARE, "")),
    )


HEAD = ("measured", "packhorse", "(range)", "fastest peer", "which, and how", "ratio", "goal", "met", "bare store")
#: The columns that are text, and begin at the left.
TEXT = {0, 4, 6, 7}


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
        line.peer_name,
        "-" if line.ratio is None else f"{line.ratio:.1f}",
        line.measure.goal.words,
        {True: "yes", False: "NO", None: "-"}[line.met],
        number(line.bare),
    )


def marks(store: str) -> tuple[str, str]:
    """Return the lines of a page between which a store's table stands."""
    return f"<!-- measured on {store}: begin -->", f"<!-- measured on {store}: end -->"


def put_into(page: str, store: str, note: str, found: Iterable[Line], picture: str) -> str:
    """Return the page with what stands between the store's two marks replaced by the table and its picture."""
    begin, end = marks(store)
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the page has no lines {begin} and {end} to put the table between")
    rule = ["---" if number in TEXT else "--:" for number in range(len(HEAD))]
    rows = [HEAD, rule, *(cells(line) for line in found)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    image = f"![The same as bars: Packhorse beside the fastest peer on {TITLES[store]}]({picture})"
    return f"{before}{begin}\n{note}.\n\n{table}\n\n{image}\n{end}{after}"
