"""The judgement of the reserved run: who held what at the same time, found from the ledger alone.

A run holds its names from the line of its beginning to that of its end. One whose process was killed has no end: it surely held
them until the last moment in which the process was seen alive, and surely not after the one in which it was seen dead. A run
that begins in between is *in doubt*, and counted; there the lock that the dead one had on a file of that name decides.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from .checking import Judgement
from .ledger import Ledger, Start
from .watching import Death, death_of

_SECOND = 1_000_000
#: The rate is kept on the store's clock and judged on the monotonic one: they may differ by so many µs, and by so large a part.
_CLOCK, _DRIFT = 5_000, 0.001


class Span(NamedTuple):
    """One run, µs monotonic."""

    job: str
    token: str
    names: tuple[str, ...]
    begin: int
    sure: int  #: it held its names until then at least
    last: int | None  #: and not after that; None: nobody saw its process die
    interrupted: bool

    @property
    def text(self) -> str:
        return f"{self.job} (run {self.token[:8]}, from {self.begin} to {self.sure})"


@dataclass(slots=True)
class Rules:
    """What was declared."""

    limits: Mapping[str, int] = field(default_factory=dict)  #: name → so many at once
    rates: Mapping[str, int] = field(default_factory=dict)  #: name → so many a second


def spans(book: Ledger, deaths: Mapping[int, Sequence[Death]]) -> list[Span]:
    """Return all runs by their beginning."""
    return sorted((_span(book, deaths, start) for start in book.starts), key=lambda span: span.begin)


def _span(book: Ledger, deaths: Mapping[int, Sequence[Death]], start: Start) -> Span:
    run, begin = (start.job, start.token), start.mono
    if run in book.left:
        return Span(*run, start.names, begin, book.left[run], book.left[run], run not in book.ends)
    death = death_of(deaths, start.pid, begin)
    sure, last = (max(begin, death.alive), death.gone) if death else (begin, None)
    return Span(*run, start.names, begin, sure, last, interrupted=True)


def judge_holds(result: Judgement, book: Ledger, deaths: Mapping[int, Sequence[Death]], rules: Rules) -> list[Span]:
    """Check everything about names, and return the runs; ``result`` is that of ``judge``."""
    runs = spans(book, deaths)
    result.counts["runs that held names"] = sum(bool(run.names) for run in runs)
    result.counts["interrupted holders"] = sum(run.interrupted and bool(run.names) for run in runs)
    result.counts["interrupted exclusive holders"] = sum(
        run.interrupted and any(name[0] == "x" for name in run.names) for run in runs
    )
    result.counts["deaths unseen"] = sum(run.last is None for run in runs)
    for job, token, name in book.clashes:
        result.wrong(f"clash: run {token[:8]} of {job} began while the kernel saw another one hold {name}")
    for name, of_name in _by_name(runs).items():
        _neighbours(result, name, of_name, rules.limits)
    for name, count in rules.rates.items():
        _rate(result, name, count, windows(result, book, runs, name))
    _order(result, book, runs)
    return runs


def _by_name(runs: Iterable[Span]) -> dict[str, list[tuple[str, Span]]]:
    """Names → (mode, run) by beginning. Unique keys are names of their own."""
    found: dict[str, list[tuple[str, Span]]] = defaultdict(list)
    for run in runs:
        for held in run.names:
            mode, name = held.split(":", 1)
            found[f"key {name}" if mode == "u" else name].append((mode, run))
    return found


# -- at the same time --------------------------------------------------------------------------------------------------
def _neighbours(result: Judgement, name: str, runs: Sequence[tuple[str, Span]], limits: Mapping[str, int]) -> None:
    """Hold each run against those that had begun before and not ended."""
    active: list[tuple[str, Span]] = []
    for mode, run in runs:
        active = [(other, each) for other, each in active if (each.last or each.sure) > run.begin]
        for other, each in active:
            if _apart(mode, other):
                _overlap(result, name, (other, each), (mode, run))
        active.append((mode, run))
        _full(result, name, [each for other, each in active if other == mode], mode, limits)


def _apart(mode: str, other: str) -> bool:
    return "x" in (mode, other) or mode == other == "u"


def _overlap(result: Judgement, name: str, first: tuple[str, Span], second: tuple[str, Span]) -> None:
    if first[1].sure > second[1].begin:
        result.wrong(
            f"overlap: {name} was held ({first[0]}) by {first[1].text} when ({second[0]}) {second[1].text} began"
        )
    else:
        result.counts["overlaps in doubt"] += 1


def _full(result: Judgement, name: str, same: Sequence[Span], mode: str, limits: Mapping[str, int]) -> None:
    begun = same[-1].begin
    surely = 1 + sum(run.sure > begun for run in same[:-1])
    if mode == "l" and surely > limits.get(name, surely):
        result.wrong(f"limit: {surely} runs held {name}, limited to {limits[name]}, when {same[-1].text} began")
    if mode == "l" and name in limits and len(same) > limits[name] >= surely:
        result.counts["overlaps in doubt"] += 1
    if mode != "l" or name in limits:
        result.counts[f"most at once, {mode}"] = max(result.counts[f"most at once, {mode}"], surely)
    result.counts["limit reached"] += mode == "l" and surely == limits.get(name) and surely > 1


# -- rates -------------------------------------------------------------------------------------------------------------
def windows(result: Judgement, book: Ledger, runs: Iterable[Span], name: str) -> list[tuple[int, int]]:
    """Return for each time that the rate let somebody go when that was: not before, not after.

    It let a job go once before its first run, after its enqueue began; and once more before each run that followed a failure,
    which gives up everything. A run that follows a crash may have gone on with what it had, and is left out.
    """
    found: list[tuple[int, int]] = []
    before: dict[str, Span] = {}
    for run in runs:
        if f"l:{name}" in run.names:
            previous = before.get(run.job)
            if previous is None:
                found.append((book.intended_at[run.job], run.begin))
            elif _gave_up(result, previous):
                found.append((previous.begin, run.begin))
            before[run.job] = run
    return found


def _gave_up(result: Judgement, run: Span) -> bool:
    return any(row.token == run.token and row.outcome == "retry" for row in result.attempts.get(run.job, ()))


def _rate(result: Judgement, name: str, count: int, found: Sequence[tuple[int, int]]) -> None:
    """Check that between any two moments no more were let go than the rate allows, of those that surely were."""
    pause, ends = _SECOND / count, list[int]()
    for release, begun in sorted(found, reverse=True):
        insort(ends, begun)
        for n, end in enumerate(ends):
            if n * pause > (end - release) * (1 + _DRIFT) + _CLOCK:
                result.wrong(
                    f"rate: {n + 1} runs held {name} within {(end - release) / _SECOND:.3f} s, {count} a second"
                )
                return
    result.counts["rate let go"] += len(found)
    result.counts["rate full"] += sum(1 for _ in _waited(found, pause))


def _waited(found: Sequence[tuple[int, int]], pause: float) -> Iterator[tuple[int, int]]:
    """Yield those that waited for the rate: they began a pause after the one before, or not much later."""
    ordered = sorted(found, key=lambda window: window[1])
    for (_, earlier), (release, begun) in pairwise(ordered):
        if release < earlier and begun - earlier < 1.5 * pause:
            yield release, begun


# -- first come, first served -------------------------------------------------------------------------------------------
def _order(result: Judgement, book: Ledger, runs: Iterable[Span]) -> None:
    """Check that places go by arrival, and that those who must not run together began in the order of their places."""
    first: dict[str, Span] = {}
    for run in runs:
        first.setdefault(run.job, run)
    placed = sorted((record.place, id) for id, record in result.jobs.items() if record.place is not None)
    _arrival(result, book, [id for _, id in placed if result.jobs[id].after is None])
    for name, line in _by_name(first[id] for _, id in placed if id in first).items():
        _served(result, name, line)


def _arrival(result: Judgement, book: Ledger, line: Sequence[str]) -> None:
    """Whose enqueue had returned before another's began stands before it."""
    soonest, whose = 1 << 62, ""
    for id in reversed(line):
        if soonest < book.intended_at.get(id, 0):
            result.wrong(f"overtaken: {whose} was stored before the enqueue of {id} began, and stands behind it")
        acked = book.acked_at.get(id, soonest)
        if acked < soonest:
            soonest, whose = acked, id
    result.counts["places by arrival"] = len(line)


def _served(result: Judgement, name: str, line: Sequence[tuple[str, Span]]) -> None:
    """Nobody begins before one in front of it that must not run beside it, unless that one had lost its turn."""
    latest: dict[str, Span] = {}
    for mode, run in line:
        for other, front in latest.items():
            if _apart(mode, other) and run.begin < front.begin:
                result.wrong(f"overtaken: {front.text} stood before {run.text} in the line of {name}, and began later")
        kept = _kept(result, run)
        result.counts["served in line" if kept else "lost their turn"] += 1
        if kept and (mode not in latest or latest[mode].begin < run.begin):
            latest[mode] = run


def _kept(result: Judgement, run: Span) -> bool:
    """Tell whether the first attempt of the job is its first run: else it was claimed before, and lost with its worker."""
    attempts = result.attempts.get(run.job) or []
    return bool(attempts) and attempts[0].token == run.token
