"""The table at the end of a run, what it says about the kills and the server, and whether it proved enough."""

from __future__ import annotations

import argparse
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checking import Judgement
from .killing import Killer
from .outages import Outage
from .worker_logs import Told

#: Jobs are claimed again so long after the server's return, at the latest (seconds).
BACK_WITHIN = 5.0
#: Exit status of a run that proved too little.
VOID = 2


@dataclass(slots=True)
class Run:
    """One run and what it found."""

    seed: int
    directory: Path
    killer: Killer
    judgement: Judgement
    seconds: float
    slots: int
    stale: int
    ghosts_left: int
    outages: Sequence[Outage]
    told: Told
    claims: Sequence[int]  #: times of claims whose jobs were started, µs, ascending
    rows: Sequence[tuple[str, str]] = ()  #: further ones of the table
    #: what must have happened → how often it did, and how often at least
    wanted: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    verdict: str = "no job lost, none stuck, every extra run explained"

    @property
    def server_kills(self) -> int:
        return sum(outage.killed for outage in self.outages)

    def resumed(self) -> Iterator[tuple[Outage, float]]:
        """Yield the seconds from the server's return to the next claim, unless the server was gone again before that."""
        ends = [*(after.began for after in self.outages[1:]), float("inf")]
        for outage, end in zip(self.outages, ends, strict=False):
            place = bisect_right(self.claims, int(outage.ready * 1e6))
            at = self.claims[place] / 1e6 if place < len(self.claims) else float("inf")
            if at < end:
                yield outage, at - outage.ready

    def disturbed(self, outage: Outage) -> bool:
        """Tell whether a worker was killed or paused around the server's return."""
        return any(start < outage.ready + BACK_WITHIN and end > outage.ready for start, end in self.killer.troubled)


def report(options: argparse.Namespace, run: Run) -> int:
    """Print the table; return the exit status."""
    result = run.judgement
    bound = _possible(options, run)
    _hold_to_bounds(run, bound)
    for title, value in (*_rows(run, bound), *_server_rows(run), *run.rows):
        print(f"  {title:<58} {value:>12}")
    for violation in result.violations[:50]:
        print(f"  VIOLATION  {violation}")
    void = _too_little(options, run)
    if result.violations:
        print(f"{len(result.violations)} violations; seed {run.seed}, ledger and logs in {run.directory}")
        return 1
    if void:
        print(f"void: {void}; seed {run.seed}")
        return VOID
    print(f"{options.store}: {run.verdict}; seed {run.seed}")
    return 0


def _possible(options: argparse.Namespace, run: Run) -> int:
    """A killed child may take along what its slots ran; a killed worker, or one declared dead, that times its children."""
    did = run.killer.did
    return int(did["child"] * options.threads + (did["worker"] + did["declared dead alive"]) * run.slots)


def _hold_to_bounds(run: Run, bound: int) -> None:
    result, counts = run.judgement, run.judgement.counts
    if counts["interrupted runs"] > bound:
        result.wrong(f"{counts['interrupted runs']} runs were interrupted, and {bound} at most could be")
    if counts["extra starts"] != counts["explained"]:
        result.wrong(f"{counts['extra starts']} extra starts, {counts['explained']} explained")
    if run.ghosts_left:
        result.wrong(f"{run.ghosts_left} jobs of lost claims have not ended")
    for outage, seconds in run.resumed():
        if seconds > BACK_WITHIN * outage.slower and not run.disturbed(outage):
            result.wrong(f"claims began {seconds:.1f} s after the server was back, not within {BACK_WITHIN:g} s")


def _rows(run: Run, bound: int) -> list[tuple[str, str]]:
    counts, did = run.judgement.counts, run.killer.did
    ended = {state: counts[f"state {state}"] for state in ("succeeded", "failed", "cancelled")}
    outcomes = {key[8:]: n for key, n in sorted(counts.items()) if key.startswith("attempt ")}
    return [
        ("seconds", f"{run.seconds:.0f}"),
        ("intended / acknowledged / stored", f"{counts['intended']:,} / {counts['acked']:,} / {counts['stored']:,}"),
        (
            "never acknowledged, their producer killed / of these stored",
            f"{counts['never acknowledged']} / {counts['never acknowledged, stored']}",
        ),
        ("succeeded / failed / cancelled", " / ".join(f"{n:,}" for n in ended.values())),
        ("  of the failed: on_crash=fail / poison", f"{counts['on_crash=fail, failed so']} / {counts['poison']}"),
        ("killed children / workers / producers", f"{did['child']} / {did['worker']} / {did['producer']}"),
        (
            "pauses / declared dead alive / lost claims",
            f"{did['pause']} / {did['declared dead alive']} / {did['lost claim']}",
        ),
        ("starts / jobs started", f"{counts['starts']:,} / {counts['jobs started']:,}"),
        (
            "extra starts / explained by an attempt with its reason",
            f"{counts['extra starts']:,} / {counts['explained']:,}",
        ),
        ("attempts by outcome", ", ".join(f"{name} {n:,}" for name, n in outcomes.items())),
        ("runs interrupted by a fault / possible at most", f"{counts['interrupted runs']} / {bound}"),
        ("runs that had ended, unsettled when their worker died", f"{counts['ended, not settled']}"),
        ("claimed, and their worker died before they ran", f"{counts['claimed, never ran']}"),
        ("child kills that hit a running job", f"{counts['child deaths that hit a run']}"),
        ("dead workers that had running jobs", f"{len(run.judgement.hit_workers)}"),
        ("late outcomes refused", f"{run.stale}"),
        ("workers that gave up, their children killed at start", f"{counts['workers that gave up']}"),
    ]


def _server_rows(run: Run) -> list[tuple[str, str]]:
    if not run.outages:
        return []
    counts, told = run.judgement.counts, run.told
    away = [outage.ready - outage.began for outage in run.outages if outage.killed]
    return [
        ("server kills / pauses", f"{run.server_kills} / {len(run.outages) - run.server_kills}"),
        ("seconds without the server, each kill", _spread(away)),
        ("seconds from its return to the next claim", _spread([seconds for _, seconds in run.resumed()])),
        ("seconds from its return to each worker's word of it", _spread(told.seconds)),
        ("workers' lines: away / back", f"{told.away} / {told.back}"),
        (
            "enqueues repeated: nothing stored / in doubt",
            f"{counts['repeated, unavailable']} / {counts['repeated, unknown']}",
        ),
        ("lost with the server's unsynced tail", f"{counts['lost with a tail']}"),
        ("jobs at work in such a tail, judged by their end alone", f"{counts['jobs in a lost tail']}"),
    ]


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    return f"median {ordered[len(ordered) // 2]:.2f}, worst {ordered[-1]:.2f}, of {len(ordered)}"


def _too_little(options: argparse.Namespace, run: Run) -> str:
    """Say what must have happened and did not often enough, or nothing."""
    counts, did = run.judgement.counts, run.killer.did
    resumed = list(run.resumed())
    wanted = {
        "child kills that hit a running job": (counts["child deaths that hit a run"], did["child"] // 10),
        "worker kills that hit running jobs": (len(run.judgement.hit_workers), did["worker"] // 10),
        "lost claims": (did["lost claim"], options.kills // 40),
        "late outcomes refused": (run.stale, 1 if options.kills >= 100 else 0),
        "kills of the server": (run.server_kills, options.server_kills),
        "outages after which a claim was seen": (len(resumed), options.server_kills // 2),
        "workers that saw the server go": (run.told.away, options.server_kills // 2 if options.kills >= 100 else 0),
        **run.wanted,
    }
    return ", ".join(f"{what}: {real} of {least}" for what, (real, least) in wanted.items() if real < least)
