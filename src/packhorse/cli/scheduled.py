"""``packhorse scheduled``: recurring jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from .. import _owning, _schedule
from .._owning import Change, Declared
from .._rule import Every
from .._schedule import Spec
from .._schedule_record import Book, RunRecord, ScheduleRecord
from .._store import Store
from .._when import clock, distance, rfc3339
from .._why import live
from .._why_error import loads
from ..errors import BadSchedule, BadState
from . import _show
from ._group import LazyGroup
from ._session import Session, json_option, me, with_session

#: ``next`` looks no further than so many ticks of one schedule.
_MOST_TICKS = 1000


@click.group("scheduled", cls=LazyGroup)
def scheduled() -> None:
    """Recurring jobs: what is due when, what became of it, and switches."""


class _Seen(NamedTuple):
    """A schedule, what it says, and what became of it last."""

    record: ScheduleRecord
    said: Spec | None  #: None: it cannot be read here
    fault: str
    runs: Sequence[RunRecord]
    states: Mapping[str, str]  #: job → its state, of those still stored


# -- looking ----------------------------------------------------------------------------------------------------------
@scheduled.command("list")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@json_option
@with_session
def list_(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Show every schedule: when, what, its next and its last run. With NAME also its earlier runs."""
    with session.open() as store:
        book = store.schedules()
        seen = [_see(store, record, 20 if names else 1) for record in _named(book, names)]
    if as_json:
        _show.document({"schedules": [_data(each, book.now, bool(names)) for each in seen]})
    elif not seen:
        _show.echo("there are no schedules; every(…) and cron(…) in code make some, and Queue.schedule")
    else:
        head = ["name", "when", "task", "queue", "next", "last", "state"]
        _show.table(head, [_row(each, book.now) for each in seen])
        for each in seen if names else ():
            _show_runs(each, book.now)


def _named(book: Book, names: Sequence[str]) -> list[ScheduleRecord]:
    return [_owning.find(book, name) for name in names] if names else list(book.schedules or ())


def _see(store: Store, record: ScheduleRecord, runs: int) -> _Seen:
    said, fault = _read(record)
    last = store.runs(record.id, runs)
    states = {job.id: job.state for job in store.get([run.job for run in last if run.job])}
    return _Seen(record, said, fault, last, states)


def _read(record: ScheduleRecord) -> tuple[Spec | None, str]:
    try:
        return _schedule.decode(record.spec), ""
    except BadSchedule as error:
        return None, str(error).splitlines()[0]


def _next_start(seen: _Seen) -> int | None:
    """Return when the next job is to start."""
    tick = _schedule.next_tick(seen.record) if seen.said is not None else None
    return None if tick is None else _schedule.start_of(seen.record, tick)


def _state(seen: _Seen) -> str:
    if seen.record.retired_at is not None:
        return "retired"
    if seen.record.paused_at is not None:
        return "paused"
    if seen.said is None:
        return "unreadable"
    return "off" if seen.said.rule is None else "on"


def _data(seen: _Seen, now: int, with_runs: bool) -> dict[str, Any]:
    record, said = seen.record, seen.said
    last = seen.runs[0] if seen.runs else None
    found = {
        "name": record.name,
        "id": record.id,
        "task": said and said.task,
        "queue": said and said.queue,
        "when": said and said.when,
        "timezone": json.loads(record.spec).get("timezone", "UTC"),
        "every": said.rule.interval / 1e6 if said and isinstance(said.rule, Every) else None,
        "missed": said and said.missed,
        "overlap": said and said.overlap,
        "span": said and said.span,
        "jitter": said and said.jitter / 1e6,
        "state": _state(seen),
        "fault": seen.fault or None,
        "next_run": rfc3339(_next_start(seen)),
        "last_run": rfc3339(last.at) if last else None,
        "last_state": _became(seen, last) if last else None,
        "paused": record.paused_at is not None,
        "paused_at": rfc3339(record.paused_at),
        "paused_by": record.paused_by,
        "paused_reason": record.paused_reason,
        "app": record.app,
        "build": record.build,
        "place": said and said.place,
        "edited": record.edited_at is not None,
        "edited_by": record.edited_by,
        "retired_at": rfc3339(record.retired_at),
    }
    return found | ({"runs": [_run_data(seen, run) for run in seen.runs]} if with_runs else {})


def _run_data(seen: _Seen, run: RunRecord) -> dict[str, Any]:
    times = {"tick": rfc3339(run.tick), "at": rfc3339(run.at)}
    return {
        **times,
        "outcome": run.outcome,
        "job": run.job,
        "missed": run.missed,
        "state": seen.states.get(run.job or ""),
    }


def _became(seen: _Seen, run: RunRecord) -> str:
    """Say what became of a tick: the state of its job, as long as it is stored."""
    return seen.states.get(run.job or "", "fired") if run.outcome == "fired" else run.outcome


def _row(seen: _Seen, now: int) -> list[str]:
    said, record = seen.said, seen.record
    start = _next_start(seen)
    return [
        _show.clean(record.name),
        _show.clean(said.when) if said else "?",
        _show.clean(said.task) if said else "?",
        _show.clean(said.queue) if said else "?",
        _start_text(start, now),
        _last(seen, now),
        _state_text(seen, now),
    ]


def _start_text(start: int | None, now: int) -> str:
    if start is None:
        return "-"
    return f"{clock(start, now)} ({distance(start, now) if start > now else 'due'})"


def _last(seen: _Seen, now: int) -> str:
    if not seen.runs:
        return "-"
    run = seen.runs[0]
    became = _became(seen, run)
    mark = f"{_show.symbol(became)} " if became in _show.STATES else ""
    return f"{mark}{became} {clock(run.at, now)}"


def _state_text(seen: _Seen, now: int) -> str:
    record, state = seen.record, _state(seen)
    if state == "paused":
        who = f" by {record.paused_by}" if record.paused_by else ""
        reason = f": {record.paused_reason}" if record.paused_reason else ""
        return _show.colour(
            f"⏸ paused{_show.clean(who)} {clock(record.paused_at or now, now)}{_show.clean(reason)}", "yellow"
        )
    if state == "unreadable":
        return _show.colour(_show.clean(seen.fault), "red")
    return f"{state}, changed by {_show.clean(record.edited_by or '?')}" if record.edited_at is not None else state


def _show_runs(seen: _Seen, now: int) -> None:
    _show.echo(f"\nRuns of {_show.clean(seen.record.name)}")
    rows = [
        [clock(run.tick, now), _became(seen, run), run.job or "", f"{run.missed:,} missed" if run.missed else ""]
        for run in seen.runs
    ]
    _show.table(["tick", "state", "job", ""], rows)


@scheduled.command("next")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("-n", "count", type=click.IntRange(1, _MOST_TICKS), default=10, show_default=True, help="How many.")
@json_option
@with_session
def next_(session: Session, names: tuple[str, ...], count: int, as_json: bool) -> None:
    """Show what is due next, of all schedules or of NAME."""
    with session.open() as store:
        book = store.schedules()
    found = sorted(
        (start, tick, record.name) for record in _named(book, names) for start, tick in _coming(record, count, book.now)
    )[:count]
    if as_json:
        data = [{"name": name, "tick": rfc3339(tick), "start": rfc3339(start)} for start, tick, name in found]
        _show.document({"next": data})
    elif not found:
        _show.echo("nothing is due")
    else:
        rows = [[clock(start, book.now), distance(start, book.now), _show.clean(name)] for start, _, name in found]
        _show.table(["start", "", "name"], rows)


def _coming(record: ScheduleRecord, count: int, now: int) -> Iterable[tuple[int, int]]:
    """Yield (start, tick) of the next ticks. What is due already is one job, most often."""
    said, _ = _read(record)
    if said is None or said.rule is None or _schedule.sleeps(record):
        return
    tick = said.rule.next(max(record.watermark, now))
    for _ in range(count):
        if tick is None:
            return
        yield _schedule.start_of(record, tick), tick
        tick = said.rule.next(tick)


# -- acting -----------------------------------------------------------------------------------------------------------
@scheduled.command()
@click.argument("name", metavar="NAME")
@json_option
@with_session
def run(session: Session, name: str, as_json: bool) -> None:
    """Enqueue the job of NAME now. It is an ordinary job: no tick is used up, and pauses and overlaps are no matter."""
    from .._by import caller
    from .._ids import new_id

    with session.open() as store:
        record = _owning.find(store.schedules(), name)
        job = store.enqueue([_schedule.plain_job(_schedule.decode(record.spec), new_id(), caller())])[0]
    if as_json:
        _show.document({"id": job.id, "state": job.state, "existing": job.existing})
    else:
        _show.echo(f"{job.id}  {job.state}")


@scheduled.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for those who wonder.")
@with_session
def pause(session: Session, names: tuple[str, ...], reason: str) -> None:
    """Let NAME make no jobs until it is resumed. Jobs it has made stay as they are."""
    with session.open() as store:
        for name in names:
            change = _owning.apply(store, lambda book, name=name: _owning.pause(book, name, me(), reason))  # type: ignore[misc]
            _show.echo(f"⏸ {name} was paused already; nothing changed" if change.empty else f"⏸ {name} is paused")


@scheduled.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@with_session
def resume(session: Session, names: tuple[str, ...]) -> None:
    """Let NAME go on from now. What it would have done meanwhile is not made up for."""
    with session.open() as store:
        for name in names:
            change = _owning.apply(store, lambda book, name=name: _owning.resume(book, name))  # type: ignore[misc]
            _show.echo(f"▶ {name} was not paused; nothing changed" if change.empty else f"▶ {name} goes on")


@scheduled.command()
@click.argument("name", metavar="NAME")
@json_option
@with_session
def skip(session: Session, name: str, as_json: bool) -> None:
    """Leave out the next tick of NAME; it is on record as skipped."""
    with session.open() as store:
        tick, now = _skip(store, name)
    if as_json:
        _show.document({"name": name, "skipped": rfc3339(tick)})
    else:
        _show.echo(f"{name} leaves out {clock(tick, now)}")


def _skip(store: Store, name: str) -> tuple[int, int]:
    """Move the watermark of a schedule to its next tick, whoever else fires; return that tick and the time."""
    while True:
        book = store.schedules()
        record = _owning.find(book, name)
        rule = _schedule.decode(record.spec).rule
        tick = None if rule is None or _schedule.sleeps(record) else rule.next(max(book.now, record.watermark))
        if tick is None:
            raise BadState(f"the schedule '{name}' makes no jobs as it is, so there is no tick to leave out.")
        if store.fire(record, tick, None, "skipped").moved:
            return tick, book.now


@scheduled.command()
@click.argument("names", metavar="[NAME…]", nargs=-1)
@json_option
@with_session
def reschedule(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Set schedules again as the code of the live workers declares them: what people changed is undone, and the build of the
    worker that started last is the newest. With NAME only these."""
    with session.open() as store:
        declared = _declared(store)
        _refuse_unknown(declared, names)
        only = frozenset(names) or None
        changes = [
            _owning.apply(store, lambda book, said=said: _owning.publish(book, said, force=True, only=only))  # type: ignore[misc]
            for said in declared
        ]
    counts = _counts(changes)
    if as_json:
        _show.document(counts)
    else:
        _show.echo(", ".join(f"{number} {what}" for what, number in counts.items()))


def _declared(store: Store) -> list[Declared]:
    """Return what live workers declare, of each application what the one says that started last."""
    found: dict[str, Declared] = {}
    for worker in sorted(live(store.workers(), store.now()), key=lambda worker: worker.started_at):
        for said in (loads(worker.catalogue) or {}).get("schedules") or ():
            found[said["app"]] = Declared(said["app"], said["build"], said["schedules"], said["changed"])
    return list(found.values())


def _refuse_unknown(declared: Sequence[Declared], names: Sequence[str]) -> None:
    if not declared:
        raise BadState(
            "no live worker declares schedules, so there is no code to set them by. Nothing was changed; start a worker."
        )
    for name in names:
        if not any(name in said.specs for said in declared):
            raise BadState(f"no live worker declares a schedule '{name}'; nothing was changed.")


def _counts(changes: Sequence[Change]) -> dict[str, int]:
    return {
        "created": sum(change.created for change in changes),
        "updated": sum(change.updated for change in changes),
        "removed": sum(change.retired for change in changes),
    }
