"""``packhorse workers``."""

from __future__ import annotations

import difflib
from typing import Any

import click

from .._durations import spoken
from .._job_data import as_data
from .._record import JobRecord, WorkerRecord
from .._store import JobFilter, Store
from .._when import clock, distance, rfc3339
from .._why import SILENT, tasks_of
from .._why_error import loads
from . import _show
from ._group import LazyGroup
from ._job import call_text, short
from ._session import Session, json_option, with_session

#: So many running jobs are looked at to find those of one worker.
_RUNNING = 10_000


@click.group("workers", cls=LazyGroup)
def workers() -> None:
    """Who is alive, where, doing what."""


@workers.command("list")
@click.option("--dead", is_flag=True, help="Also those that died of late.")
@json_option
@with_session
def list_(session: Session, dead: bool, as_json: bool) -> None:
    """Show the workers that are alive, oldest first."""
    with session.open() as store:
        now, found = store.now(), store.workers(dead=dead)
        busy = _busy(store)
    if as_json:
        _show.document({"workers": [_data(worker, busy.get(worker.id, []), now) for worker in found]})
        return
    if not found:
        _show.echo("no worker is alive; start one with  packhorse worker")
        return
    head = ["name", "state", "host", "pid", "queues", "busy", "slots", "up", "heard", "id"]
    _show.table(head, [_row(worker, len(busy.get(worker.id, [])), now) for worker in found], right=(3, 5, 6))


def _busy(store: Store) -> dict[str, list[JobRecord]]:
    running: dict[str, list[JobRecord]] = {}
    for job in store.find(JobFilter(states=("running",)), _RUNNING).jobs:
        # Claimed ahead is not busy yet.
        if job.worker and job.started_at is not None:
            running.setdefault(job.worker, []).append(job)
    return running


def _state(worker: WorkerRecord, now: int) -> str:
    return "silent" if worker.state == "live" and now - worker.seen_at > SILENT else worker.state


def _row(worker: WorkerRecord, busy: int, now: int) -> list[str]:
    tint = {"live": "green", "stopping": "yellow"}.get(_state(worker, now), "red")
    return [
        _show.clean(worker.name),
        _show.colour(f"{'●' if worker.state != 'dead' else '○'} {_state(worker, now)}", tint),
        _show.clean(worker.host),
        str(worker.pid),
        _show.clean(_queues_text(worker)),
        str(busy),
        str(worker.slots),
        spoken(max(0, now - worker.started_at) / 1e6),
        distance(min(worker.seen_at, now - 1), now),
        short(worker.id),
    ]


def _queues_text(worker: WorkerRecord) -> str:
    groups = loads(worker.queues)
    if groups is None:
        return "every queue"
    return " then ".join(",".join(group) for group in groups)


def _data(worker: WorkerRecord, busy: list[JobRecord], now: int) -> dict[str, Any]:
    return {
        "id": worker.id,
        "name": worker.name,
        "state": _state(worker, now),
        "host": worker.host,
        "pid": worker.pid,
        "queues": loads(worker.queues),
        "slots": worker.slots,
        "busy": len(busy),
        "version": worker.version,
        "started_at": rfc3339(worker.started_at),
        "seen_at": rfc3339(worker.seen_at),
        "beats": worker.beats,
    }


@workers.command()
@click.argument("name", metavar="WORKER")
@json_option
@with_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show all that is known of WORKER, a name or an id or its last 8 characters."""
    with session.open() as store:
        now = store.now()
        worker = _one(store, name)
        busy = _busy(store).get(worker.id, [])
    if as_json:
        details = {"tasks": tasks_of([worker]), "catalogue": loads(worker.catalogue), "info": loads(worker.info)}
        _show.document({**_data(worker, busy, now), **details, "jobs": [as_data(job) for job in busy]})
        return
    _tell(worker, busy, now)


def _one(store: Store, name: str) -> WorkerRecord:
    every = store.workers(dead=True)
    # A name may have had several owners: the one that lives, else the last.
    found = [worker for worker in every if name in (worker.id, worker.name, short(worker.id))]
    if found:
        return max(found, key=lambda worker: (worker.state != "dead", worker.started_at))
    close = difflib.get_close_matches(name, [worker.name for worker in every], 1)
    hint = f"did you mean '{close[0]}'?" if close else "packhorse workers list --dead  shows those there are."
    raise click.UsageError(f"no worker '{_show.clean(name)}'; {hint}")


def _tell(worker: WorkerRecord, busy: list[JobRecord], now: int) -> None:
    _show.echo(f"{_show.bold(_show.clean(worker.name))}  {_state(worker, now)}")
    tasks = sorted(tasks_of([worker]))
    lines = [
        ("id", worker.id),
        ("process", f"pid {worker.pid} on {worker.host}"),
        ("queues", _queues_text(worker)),
        ("slots", f"{len(busy)} of {worker.slots} busy"),
        ("up", f"{spoken(max(0, now - worker.started_at) / 1e6)}, since {clock(worker.started_at, now)}"),
        ("heard", distance(min(worker.seen_at, now - 1), now)),
        ("version", worker.version),
        ("build", str((loads(worker.catalogue) or {}).get("build") or "")),
        *((key, _value(value)) for key, value in (loads(worker.info) or {}).items() if key != "sys_path"),
        ("tasks", ", ".join(tasks)),
    ]
    for label, text in lines:
        if text:
            _show.echo(f"  {_show.clean(label):<12}{_show.clean(text)}")
    for job in busy:
        since = f"since {clock(job.started_at, now)}" if job.started_at else "claimed"
        _show.echo(f"  ▶ {short(job.id)}  {call_text(job, 70)}  {since}")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
