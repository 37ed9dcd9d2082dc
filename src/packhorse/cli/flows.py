"""``packhorse flows``."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click

from .._admission import FlowRecord
from .._durations import spoken
from .._record import FINAL, JobRecord, State
from .._store import JobFilter, Page, Store
from .._when import clock, rfc3339
from ..errors import BadOption
from . import _show
from ._group import LazyGroup
from ._session import Session, json_option, with_session

_SHOWN: tuple[State, ...] = (
    "running",
    "queued",
    "blocked",
    "scheduled",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
)
#: So many of a flow's newest jobs are looked at for its stages.
_LOOKED_AT = 10_000


@click.group("flows", cls=LazyGroup)
def flows() -> None:
    """See how far flows are: sets of jobs that belong together."""


@flows.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--after", metavar="FLOW", help="Go on behind this one.")
@json_option
@with_session
def list_(session: Session, limit: int, after: str | None, as_json: bool) -> None:
    """Show flows, newest first."""
    with session.open() as store:
        found, now = store.flows(limit=limit, after=after), store.now()
    more = found[-1].id if len(found) == limit else None
    if as_json:
        _show.document({"flows": [_data(flow, now) for flow in found], "next": more})
        return
    if not found:
        _show.echo("no flow has jobs")
        return
    head = ["flow", "jobs", "ended", "running", "waiting", "failed", "began", "took", "left"]
    _show.table(head, [_row(flow, now) for flow in found], right=range(1, 6))
    if more is not None:
        _show.echo(f"more: --after {_show.clean(more)}", err=True)


@flows.command()
@click.argument("flow", metavar="FLOW")
@json_option
@with_session
def show(session: Session, flow: str, as_json: bool) -> None:
    """Show how far FLOW is, task by task, and what it waits for."""
    with session.open() as store:
        found = next(iter(store.flows([flow])), None)
        if found is None:
            raise BadOption(
                f"no job of a flow '{_show.clean(flow)}' is stored; to see which there are:  packhorse flows list"
            )
        now, page = store.now(), _members(store, flow)
    stages = _stages(page.jobs)
    if as_json:
        shown = [{"task": task, "counts": _counts_of(counts)} for task, counts in stages]
        _show.document({**_data(found, now), "stages": shown, "looked_at": len(page.jobs)})
        return
    _tell(found, now)
    head = ["task", *_SHOWN]
    rows = [[_show.clean(task), *(f"{counts.get(state, 0):,}" for state in _SHOWN)] for task, counts in stages]
    _show.table(head, rows, right=range(1, 1 + len(_SHOWN)))
    if len(page.jobs) < _total(found):
        _show.echo(f"of the newest {len(page.jobs):,} jobs", err=True)


def _members(store: Store, flow: str) -> Page:
    return store.find(JobFilter(flow=flow), limit=_LOOKED_AT)


def _stages(jobs: Iterable[JobRecord]) -> list[tuple[str, Counter[State]]]:
    """Return the tasks in the order in which the flow came to them, with their jobs by state."""
    stages: dict[str, Counter[State]] = {}
    for job in sorted(jobs, key=lambda job: job.seq):
        stages.setdefault(job.task, Counter())[job.state] += 1
    return list(stages.items())


def _tell(flow: FlowRecord, now: int) -> None:
    _show.echo(f"{_show.bold(_show.clean(flow.id))}  {_total(flow):,} jobs, {_ended(flow):,} ended")
    _show.echo(f"  began {clock(flow.created_at, now)}, {_how_long(flow, now)}")
    for state in ("failed", "cancelled"):
        if flow.counts.get(state):
            jobs = f"packhorse jobs list --flow {shlex.quote(_show.clean(flow.id))} --state {state}"
            _show.echo(f"  {flow.counts[state]:,} {state}:  {jobs}")
    _show.echo()


def _how_long(flow: FlowRecord, now: int) -> str:
    left, per_second = _left(flow, now), _rate(flow, now)
    rate = "" if per_second is None else f", {_spoken_rate(per_second)}"
    if flow.finished_at is not None:
        return f"took {spoken(_took(flow, now))}{rate}"
    return f"so far {spoken(_took(flow, now))}{rate}" + (f", about {spoken(left)} left" if left is not None else "")


def _spoken_rate(per_second: float) -> str:
    return f"{per_second:,.1f} a second" if per_second >= 0.95 else f"{per_second * 60:,.1f} a minute"


# -- numbers ----------------------------------------------------------------------------------------------------------
def _total(flow: FlowRecord) -> int:
    return sum(flow.counts.values())


def _ended(flow: FlowRecord) -> int:
    return sum(flow.counts.get(state, 0) for state in FINAL)


def _took(flow: FlowRecord, now: int) -> float:
    return max(0, (flow.finished_at if flow.finished_at is not None else now) - flow.created_at) / 1e6


def _rate(flow: FlowRecord, now: int) -> float | None:
    """Return how many have ended a second, from the first one's enqueue on; None: none has."""
    return _ended(flow) / max(1e-3, _took(flow, now)) if _ended(flow) else None


def _left(flow: FlowRecord, now: int) -> float | None:
    """Return the seconds it will take at the rate of so far; None: nothing is left, or nothing has ended."""
    ended, total = _ended(flow), _total(flow)
    return None if not ended or ended == total else _took(flow, now) / ended * (total - ended)


def _row(flow: FlowRecord, now: int) -> Sequence[str]:
    counts, left = flow.counts, _left(flow, now)
    waiting = sum(counts.get(state, 0) for state in ("queued", "blocked", "scheduled", "retrying"))
    failed = counts.get("failed", 0)
    return [
        _show.clean(flow.id),
        f"{_total(flow):,}",
        f"{_ended(flow):,}",
        f"{counts.get('running', 0):,}",
        f"{waiting:,}",
        _show.colour(f"{failed:,}", "red") if failed else "0",
        clock(flow.created_at, now),
        spoken(_took(flow, now)),
        "" if left is None else f"about {spoken(left)}",
    ]


def _data(flow: FlowRecord, now: int) -> dict[str, Any]:
    left, per_second = _left(flow, now), _rate(flow, now)
    return {
        "id": flow.id,
        "counts": _counts_of(flow.counts),
        "created_at": rfc3339(flow.created_at),
        "finished_at": rfc3339(flow.finished_at),
        "seconds": _took(flow, now),
        "per_second": None if per_second is None else round(per_second, 3),
        "seconds_left": None if left is None else round(left, 1),
    }


def _counts_of(counts: Any) -> dict[str, int]:
    return {state: counts.get(state, 0) for state in _SHOWN}
