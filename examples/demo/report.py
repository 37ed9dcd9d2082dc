"""What became of the jobs: compared with what should have, and as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import demo_tasks

from packhorse import Job, PackhorseError


class Attempt(Protocol):
    """The parts of an attempt that are looked at here."""

    @property
    def number(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def error(self) -> Any: ...


@dataclass(frozen=True)
class Expected:
    """One job, and what should become of it: by default a success at the first attempt."""

    job: Job[Any]
    kind: str
    label: str
    state: str = "succeeded"
    outcomes: tuple[str, ...] = ("succeeded",)
    leaves: tuple[Path, int] | None = None  #: a file, and how many lines it has


@dataclass(frozen=True)
class Finding:
    """What became of it. ``problems`` says what differs."""

    expected: Expected
    state: str
    runs: Sequence[Attempt]
    result: Any
    problems: list[str] = field(default_factory=list)

    @property
    def ran(self) -> float:
        """Return the seconds of all attempts together."""
        return sum((run.ended_at - run.started_at).total_seconds() for run in self.runs if run.started_at)

    @property
    def waited(self) -> float:
        """Return the seconds from the enqueue to the first start."""
        starts = [run.started_at for run in self.runs if run.started_at]
        return (min(starts) - self.expected.job.created_at).total_seconds() if starts else 0.0

    @property
    def name(self) -> str:
        return f"{self.expected.kind} {self.expected.label}" if self.expected.kind != "special" else self.expected.label


def examine(expected: Expected) -> Finding:
    """Look at one job and compare."""
    job = expected.job.refresh()
    runs: Sequence[Attempt] = job.attempts()
    try:
        result, error = (job.result(timeout=0) if job.state == "succeeded" else None), ""
    except PackhorseError as failure:
        result, error = None, str(failure)
    finding = Finding(expected, job.state, runs, result)
    finding.problems.extend(compare(finding, job, error))
    return finding


def compare(finding: Finding, job: Job[Any], error: str) -> list[str]:
    """Say in words what differs."""
    expected, outcomes = finding.expected, tuple(run.outcome for run in finding.runs)
    problems: list[str] = [error] if error else []
    if job.state != expected.state:
        problems.append(f"{finding.name} is {job.state} and should be {expected.state}: {job.why()}")
    elif outcomes != expected.outcomes:
        problems.append(f"{finding.name} went {' > '.join(outcomes)} and not {' > '.join(expected.outcomes)}")
    elif expected.kind == "count" and finding.result["files"] != len(demo_tasks.sources(*job.args)):
        problems.append(f"{finding.name} counted {finding.result['files']} files")
    elif expected.leaves is not None and lines(expected.leaves[0]) != expected.leaves[1]:
        problems.append(f"{finding.name} left {lines(expected.leaves[0])} lines and not {expected.leaves[1]}")
    return problems


def lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def jobs_table(findings: Sequence[Finding]) -> str:
    """Return a line for each job."""
    head = ("job", "outcome", "attempts", "waited", "ran", "result")
    rows = [
        (each.name, each.state, str(len(each.runs)), f"{each.waited:.2f} s", f"{each.ran:.2f} s", told(each.result))
        for each in findings
    ]
    return columns([head, *rows])


def attempts_table(findings: Sequence[Finding]) -> str:
    """Return a line for each attempt of some jobs, with the reason for each further one."""
    head = ("job", "ended", "attempt", "outcome", "ran", "because")
    rows = [
        (
            each.name if first else "",
            each.state if first else "",
            str(run.number),
            run.outcome,
            lasted(run),
            because(run),
        )
        for each in findings
        for first, run in ((run is each.runs[0], run) for run in each.runs)
    ]
    return columns([head, *rows])


def lasted(run: Attempt) -> str:
    return f"{(run.ended_at - run.started_at).total_seconds():.2f} s" if run.started_at else "-"


def because(run: Attempt) -> str:
    if run.reason:
        return run.reason.splitlines()[0]
    return f"{run.error['type']}: {run.error['message']}" if run.error else ""


def told(result: Any) -> str:
    match result:
        case {"bytes": size, "ratio": ratio}:
            return f"{size / 1024:,.0f} KiB, {ratio} times smaller"
        case {"files": files, "functions": functions, "classes": classes, "broken": broken}:
            note = f" ({broken} files are broken on purpose)" if broken else ""
            return f"{functions:,} functions and {classes:,} classes in {files} files{note}"
        case int():
            return f"exit status {result}"
        case _:
            return "" if result is None else str(result)


def summary(findings: Sequence[Finding]) -> str:
    """Return the totals."""
    totals: dict[str, float] = defaultdict(float)
    for each in findings:
        for key, value in each.result.items() if isinstance(each.result, dict) else ():
            totals[key] += value
    states = ", ".join(f"{sum(each.state == state for each in findings)} {state}" for state in ("succeeded", "failed"))
    extra = sum(max(0, len(each.runs) - 1) for each in findings)
    return (
        f"{len(findings)} jobs: {states}; {extra} further attempts, each with its reason on record.\n"
        f"{totals['files']:,.0f} files with {totals['functions']:,.0f} functions and {totals['classes']:,.0f} classes,"
        f" {totals['bytes'] / 1024:,.0f} KiB compressed."
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
