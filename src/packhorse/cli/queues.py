"""``packhorse queues``."""

from __future__ import annotations

from typing import Any

import click

from .._durations import seconds, spoken
from .._looking import Meant
from .._names import queue_name
from .._record import DEFAULT_STEP, WAITING, QueueRecord, State, WorkerRecord
from .._store import JobFilter, Store
from .._when import clock, distance, parse, rfc3339, to_micro
from .._why import live, serves
from . import _show
from ._act import act
from ._group import LazyGroup
from ._queue_why import why
from ._session import Session, json_option, me, with_session
from .demand import demand_
from .limits import limit

_SHOWN: tuple[State, ...] = (
    "queued",
    "running",
    "scheduled",
    "blocked",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
)


@click.group("queues", cls=LazyGroup)
def queues() -> None:
    """Look at queues, pause and resume them, set limits and ageing."""


queues.add_command(limit)
queues.add_command(why)
queues.add_command(demand_)


@queues.command("list")
@json_option
@with_session
def list_(session: Session, as_json: bool) -> None:
    """Show every queue with its numbers and who serves it."""
    with session.open() as store:
        now, found, alive = store.now(), store.queues(), live(store.workers(), store.now())
    if as_json:
        _show.document({"queues": [_data(queue, alive, now) for queue in found]})
        return
    if not found:
        _show.echo("no queue has had a job yet")
        return
    head = ["queue", "state", *_SHOWN, "oldest", "workers"]
    _show.table(head, [_row(queue, alive, now) for queue in found], right=range(2, 2 + len(_SHOWN)))


def _data(queue: QueueRecord, alive: list[WorkerRecord], now: int) -> dict[str, Any]:
    return {
        "name": queue.name,
        "counts": {state: queue.counts.get(state, 0) for state in _SHOWN},
        "oldest_ready_seconds": _age(queue, now),
        "paused": queue.paused_at is not None,
        "paused_at": rfc3339(queue.paused_at),
        "paused_by": queue.paused_by or None,
        "paused_reason": queue.paused_reason or None,
        "paused_until": rfc3339(queue.paused_until),
        "ageing_seconds": queue.step / 1e6,
        "workers": _servers(queue, alive),
    }


def _age(queue: QueueRecord, now: int) -> float | None:
    return None if queue.oldest_ready_at is None else max(0, now - queue.oldest_ready_at) / 1e6


def _servers(queue: QueueRecord, alive: list[WorkerRecord]) -> list[str]:
    return [worker.name for worker in alive if serves(worker, queue.name)]


def _row(queue: QueueRecord, alive: list[WorkerRecord], now: int) -> list[str]:
    age = _age(queue, now)
    servers = _servers(queue, alive)
    waiting = any(queue.counts.get(state) for state in WAITING)
    nobody = _show.colour("nobody", "red") if waiting else "-"
    return [
        _show.clean(queue.name),
        _pause_text(queue, now),
        *(f"{queue.counts.get(state, 0):,}" for state in _SHOWN),
        "" if age is None else spoken(age),
        _show.clean(", ".join(servers)) if servers else nobody,
    ]


def _pause_text(queue: QueueRecord, now: int) -> str:
    ageing = "" if queue.step == DEFAULT_STEP else f", ageing {spoken(queue.step / 1e6)}"
    if queue.paused_at is None:
        return f"open{ageing}"
    who = f" by {queue.paused_by}" if queue.paused_by else ""
    reason = f": {queue.paused_reason}" if queue.paused_reason else ""
    end = f" until {clock(queue.paused_until, now)}" if queue.paused_until is not None else ""
    since = clock(queue.paused_at, now)
    return _show.colour(f"⏸ paused{_show.clean(who)} {since}{end}{_show.clean(reason)}{ageing}", "yellow")


@queues.command()
@click.argument("names", metavar="QUEUE…", nargs=-1, required=True)
@click.option("--for", "duration", metavar="2h", help="It goes on by itself after so long.")
@click.option("--until", metavar="TIME", help="It goes on by itself at 15:00, or a date and time.")
@click.option("--reason", default="", help="Why, for those who wonder.")
@with_session
def pause(session: Session, names: tuple[str, ...], duration: str | None, until: str | None, reason: str) -> None:
    """Stop workers from taking jobs of QUEUE. What runs goes on, and nothing is lost.

    Of a queue that is paused, reason and end are replaced.
    """
    if duration is not None and until is not None:
        raise click.UsageError("Give --for or --until, not both.")
    end = None if until is None else to_micro(parse(until, "--until"))
    length = None if duration is None else seconds(duration, "--for")
    with session.open() as store:
        for name in _checked(names):
            fresh = store.pause(name, by=me(), reason=reason, seconds=length, until=end)
            _show.echo(f"⏸ {name} {'is paused' if fresh else 'was paused already, and stays so'}{_end(store, name)}")


def _end(store: Store, name: str) -> str:
    until = next((queue.paused_until for queue in store.queues([name])), None)
    now = store.now()
    return "" if until is None else f" until {clock(until, now)} ({distance(until, now)})"


@queues.command()
@click.argument("names", metavar="QUEUE…", nargs=-1, required=True)
@with_session
def resume(session: Session, names: tuple[str, ...]) -> None:
    """Let workers take jobs of QUEUE again."""
    with session.open() as store:
        for name in _checked(names):
            waiting = _waiting(store, name)
            done = store.resume(name)
            said = f"is open again, {_show.count(waiting, 'job')} queued" if done else "was not paused; nothing changed"
            _show.echo(f"▶ {name} {said}")


def _waiting(store: Store, name: str) -> int:
    return sum(queue.counts.get("queued", 0) for queue in store.queues([name]) if queue.name == name)


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(queue_name(name, "QUEUE") for name in names)


@queues.command()
@click.argument("name", metavar="QUEUE")
@click.argument("step", metavar="1h|default")
@with_session
def ageing(session: Session, name: str, step: str) -> None:
    """Let old jobs of QUEUE overtake younger ones of a higher priority.

    A job that has waited so much longer counts as much as one step of priority: 1h, or default (30d). Jobs that wait keep
    their places.
    """
    (name,) = _checked((name,))
    length = None if step.lower() == "default" else round(seconds(step, "ageing") * 1e6)
    with session.open() as store:
        changed = store.set_step(name, length)
    said = (
        "priority counts before age"
        if length is None
        else f"{spoken(length / 1e6)} of waiting outweighs one step of priority"
    )
    _show.echo(f"{name}: {said}" + (", for jobs that come from now on" if changed else " already; nothing changed"))


@queues.command()
@click.argument("name", metavar="QUEUE")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@with_session
def purge(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Delete every job that waits in QUEUE (scheduled, blocked, queued, retrying). Running and ended ones stay."""
    (name,) = _checked((name,))
    which = JobFilter(queue=name, states=tuple(sorted(WAITING)))
    with session.open() as store:
        act(store, "delete", Meant((which,)), yes=yes, dry_run=dry_run, ask=True)
