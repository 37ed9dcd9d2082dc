"""Why a job is where it is, in one sentence. Reads the store's protocol only, and changes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import _closed
from ._durations import seconds, spoken
from ._record import FINAL, JobRecord, QueueRecord, WorkerRecord
from ._rules import held_names
from ._store import JobFilter, Store
from ._when import clock, distance, rfc3339
from ._why_error import error_line, loads
from .errors import BadOption

#: A worker that has not been heard of for so long is not counted on, though nobody has condemned it yet.
SILENT = 60_000_000
#: The time limit of a function whose task gives none.
USUAL_LIMIT = 3600.0
#: The rate of a queue is taken from its newest ended jobs, if they ended this recently.
_SAMPLE, _RECENT = 100, 900_000_000
_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Why:
    """The answer: ``text`` for people, ``kind`` and ``facts`` (JSON data, times RFC 3339) for programs."""

    text: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


def explain(store: Store, record: JobRecord, now: int | None = None) -> Why:
    """Return why this job is where it is. ``now`` defaults to the store's time (µs)."""
    moment = store.now() if now is None else now
    if record.state in FINAL:
        return _ended(record, moment)
    tell = {"running": _running, "blocked": _blocked, "queued": _queued}.get(record.state, _due)
    return (_moved(store) if record.state != "running" else None) or tell(store, record, moment)


def _moved(store: Store) -> Why | None:
    to = store.frozen()
    return None if to is None else Why(_closed.sentence(to), "moved", {"store": _closed.read(to).url})


# -- ended ------------------------------------------------------------------------------------------------------------
def _ended(record: JobRecord, now: int) -> Why:
    facts: dict[str, Any] = {
        "attempts": attempt_number(record),
        "finished_at": rfc3339(record.finished_at),
        "reason": record.reason,
    }
    tell = {"succeeded": _succeeded, "cancelled": _cancelled}.get(record.state, _failed)
    return tell(record, now, facts)


def _succeeded(record: JobRecord, now: int, facts: dict[str, Any]) -> Why:
    text = f"succeeded: it returned{_after(record)}{_at(record, now)}"
    if record.attempt > 1:
        text += f", on attempt {record.attempt}"
    if record.reason:
        text += f"; {record.reason}"
    return Why(text + ".", "succeeded", facts)


def _failed(record: JobRecord, now: int, facts: dict[str, Any]) -> Why:
    error = error_line(record.error)
    facts["error"] = error
    if record.reason and record.reason.startswith("poison"):
        return Why(f"failed{_at(record, now)}; {record.reason}.", "poison", facts)
    runs = _ran(record)
    parts = [part for part in (record.reason, error) if part]
    text = f"failed after {count(runs, 'attempt')}{_at(record, now)}"
    said = f"{text}: {'; '.join(parts)}" if parts else text
    return Why(said.rstrip(".") + ".", "failed", facts)


def attempt_number(record: JobRecord) -> int:
    """Return the number of the present or next run; of a failed job, of its last one."""
    return _ran(record) if record.state == "failed" else record.attempt


def _ran(record: JobRecord) -> int:
    return max(1, record.failures + record.crashes + record.losses)


def _cancelled(record: JobRecord, now: int, facts: dict[str, Any]) -> Why:
    if record.reason == "expired":
        facts["expires_at"] = rfc3339(record.expires_at)
        limit = f" {clock(record.expires_at, now)}" if record.expires_at is not None else " its time"
        return Why(f"cancelled: expired, it had not started by{limit}.", "expired", facts)
    facts["by"] = record.cancel_by
    who = f" by {record.cancel_by}" if record.cancel_by else ""
    reason = f": {record.reason}" if record.reason not in (None, "", "cancelled", "cancelled while it ran") else ""
    return Why(f"cancelled{who}{_at(record, now)}{reason}.", "cancelled", facts)


def _after(record: JobRecord) -> str:
    if record.started_at is None or record.finished_at is None:
        return ""
    return f" after {spoken(max(0, record.finished_at - record.started_at) / 1e6)}"


def _at(record: JobRecord, now: int) -> str:
    return f" at {clock(record.finished_at, now)}" if record.finished_at is not None else ""


# -- running ----------------------------------------------------------------------------------------------------------
def _running(store: Store, record: JobRecord, now: int) -> Why:
    worker = next((each for each in store.workers(dead=True) if each.id == record.worker), None)
    facts: dict[str, Any] = {
        "worker": worker.name if worker else record.worker,
        "attempt": record.attempt,
        "started_at": rfc3339(record.started_at),
        "cancel_requested_at": rfc3339(record.cancel_at),
    }
    if worker is None or worker.state == "dead":
        return Why(_orphaned(record, worker), "orphaned", facts)
    from ._why_commands import quiet  # it tells its part in the words of this module

    text = _run_so_far(record, worker, facts, now) + _progress(record, facts) + quiet(record, facts, now)
    text += _over_limit(store, record, now, facts)
    if record.cancel_at is not None:
        who = f" by {record.cancel_by}" if record.cancel_by else ""
        text += f"; cancel asked for{who} {distance(record.cancel_at, now)}"
    if now - worker.seen_at > SILENT:
        text += f"; but its worker was last heard of {distance(worker.seen_at, now)}"
    return Why(text + ".", "running", facts)


def _orphaned(record: JobRecord, worker: WorkerRecord | None) -> str:
    name = worker.name if worker else "that had it"
    again = f"the next live worker takes it back and runs it again (attempt {record.attempt})"
    if any(mode == "x" for mode, _ in held_names(record.holds)) and not (worker and worker.proved):
        again = f"it reserves something, so once that worker must have stopped it (about two minutes) {again}"
    return f"its worker {name} is gone; {again}."


def _run_so_far(record: JobRecord, worker: WorkerRecord, facts: dict[str, Any], now: int) -> str:
    from ._why_commands import slots_wanted

    where = f"on worker {worker.name} (pid {worker.pid} on {worker.host}), attempt {record.attempt}"
    if record.started_at is None:
        return f"claimed {where}; {slots_wanted(record, facts) or 'it starts as soon as its slot is free'}"
    return f"running since {clock(record.started_at, now)} ({spoken(max(0, now - record.started_at) / 1e6)}) {where}"


def _progress(record: JobRecord, facts: dict[str, Any]) -> str:
    from ._why_commands import bars_of

    bars = bars_of(record.progress)
    if not bars:
        return ""
    facts["progress"] = bars
    return "; " + ", ".join(bar_text(name, bar) for name, bar in bars.items())


def bar_text(name: str, bar: Any) -> str:
    """Return one progress bar as text: ``download 40/100 page 12``, ``40 %``."""
    done, total, note = bar.get("done", 0), bar.get("total", 1), bar.get("note") or ""
    amount = f"{done * 100:.0f} %" if total == 1 else f"{done:g}/{total:g}"
    return " ".join(part for part in (name, amount, note) if part)


def _over_limit(store: Store, record: JobRecord, now: int, facts: dict[str, Any]) -> str:
    limit = _time_limit(store, record)
    if limit is None or record.started_at is None:
        return ""
    facts["timeout"] = limit
    over = (now - record.started_at) / 1e6 - limit
    if over <= 0:
        return ""
    facts["over_by"] = over
    return f"; {spoken(over)} over its time limit of {spoken(limit)}, being stopped"


def _time_limit(store: Store, record: JobRecord) -> float | None:
    options = loads(record.options) or {}
    known = tasks_of(store.workers()).get(record.task, {})
    for source in (options, known.get("options") or {}, known, options.get("queue") or {}):
        if isinstance(source, dict) and "timeout" in source:
            return _limit_of(source["timeout"])
    return None if record.task.startswith("$") else USUAL_LIMIT  # a command has none


def _limit_of(value: Any) -> float | None:
    try:
        return None if value is None else seconds(value, "timeout")
    except BadOption:
        return None


# -- waiting ----------------------------------------------------------------------------------------------------------
def _due(store: Store, record: JobRecord, now: int) -> Why:
    due = record.due_at if record.due_at is not None else now
    facts: dict[str, Any] = {"due_at": rfc3339(due), "attempt": record.attempt}
    if due <= now and (obstacle := _no_start(store, record, now)):
        return obstacle
    when = f"due at {clock(due, now)} ({distance(due, now)})" if due > now else "due now, starts with the next claim"
    if record.state == "retrying":
        facts["error"] = error_line(record.error)
        cause = record.reason or facts["error"] or "the attempt before failed"
        return Why(f"retry {when}, after attempt {_ran(record)}: {cause}{_but(store, record, now)}.", "retry", facts)
    snoozed = ""
    if record.snoozes:
        facts["snoozes"] = record.snoozes
        snoozed = f"; it put itself off ({_times(record.snoozes)})" + (f": {record.reason}" if record.reason else "")
    return Why(f"{when}{snoozed}{_but(store, record, now)}.", "due", facts)


def _but(store: Store, record: JobRecord, now: int) -> str:
    """Say what will stand in the way once it is due: better heard now than then."""
    obstacle = _no_start(store, record, now)
    return f"; but {obstacle.text.rstrip('.')}" if obstacle else ""


def _queued(store: Store, record: JobRecord, now: int) -> Why:
    return _no_start(store, record, now) or _in_line(store, record, now)


def _no_start(store: Store, record: JobRecord, now: int) -> Why | None:
    return paused(store, record, now) or nobody(store, record, now)


def paused(store: Store, record: JobRecord, now: int) -> Why | None:
    """Return what to say of a paused queue."""
    queue = _queue(store, record.queue)
    if queue is None or queue.paused_at is None:
        return None
    who = f" by {queue.paused_by}" if queue.paused_by else ""
    reason = f": {queue.paused_reason}" if queue.paused_reason else ""
    end = f" until {clock(queue.paused_until, now)}" if queue.paused_until is not None else ""
    text = (
        f"queue '{record.queue}' is paused{who} since {clock(queue.paused_at, now)}{end}{reason}; "
        f"to go on:  packhorse queues resume {record.queue}"
    )
    facts = {"queue": queue.name, "paused_at": rfc3339(queue.paused_at), "by": queue.paused_by}
    return Why(text, "paused", {**facts, "until": rfc3339(queue.paused_until), "reason": queue.paused_reason})


def _queue(store: Store, name: str) -> QueueRecord | None:
    return next((queue for queue in store.queues([name]) if queue.name == name), None)


def nobody(store: Store, record: JobRecord, now: int) -> Why | None:
    """Return what to say of a queue that no live worker serves."""
    alive = live(store.workers(), now)
    if any(serves(worker, record.queue) for worker in alive):
        return None
    served = sorted({name for worker in alive for name in queues_of(worker) or ()})
    meant = difflib.get_close_matches(record.queue, served, 1)
    facts = {"queue": record.queue, "served": served, "did_you_mean": meant[0] if meant else None}
    text = f"no live worker listens to queue '{record.queue}'"
    from ._why_host import of_a_host

    own = of_a_host(store, record.queue, now, facts)
    if own is not None:
        return Why(f"{text}: {own}", "no-worker", facts)
    move = f"packhorse jobs edit queue:{record.queue} --queue"
    if meant:
        return Why(f"{text}; did you mean '{meant[0]}'? To move its jobs there:  {move} {meant[0]}", "no-worker", facts)
    others = f" (they listen to {', '.join(served[:5])})" if served else ""
    moved = f", or to move its jobs:  {move} {served[0]}" if served else ""
    return Why(f"{text}{others}; to start one:  packhorse worker -q {record.queue}{moved}", "no-worker", facts)


def _in_line(store: Store, record: JobRecord, now: int) -> Why:
    ahead = store.ahead(record.id)
    workers = [worker for worker in live(store.workers(), now) if serves(worker, record.queue)]
    facts: dict[str, Any] = {"ahead": ahead, "workers": [worker.name for worker in workers]}
    alone = "; it runs alone in a child, since a job beside it took its process down" if record.suspect else ""
    if not ahead:
        slots = count(sum(worker.slots for worker in workers), "slot")
        there = f"{slots} on {count(len(workers), 'worker')}"
        text = f"next in queue '{record.queue}': it starts when a slot is free ({there}){alone}"
        return Why(text + ".", "ahead", facts)
    many = f"more than {_COUNTED:,}" if ahead >= _COUNTED else f"{ahead:,}"
    text = f"{many} ahead of it in queue '{record.queue}'{_pace(store, record, ahead, now, facts)}{alone}"
    return Why(text + ".", "ahead", facts)


def _pace(store: Store, record: JobRecord, ahead: int, now: int, facts: dict[str, Any]) -> str:
    per_second = rate(store, record.queue, now)
    if per_second is None:
        return "; none has ended there in the last 15 minutes"
    facts["per_second"] = round(per_second, 3)
    facts["seconds_left"] = round(ahead / per_second, 1)
    spoken_rate = f"{per_second:,.0f} a second" if per_second >= 1.5 else f"{per_second * 60:,.1f} a minute"
    return f", about {spoken(ahead / per_second)} at {spoken_rate}"


def rate(store: Store, queue: str, now: int) -> float | None:
    """Return how many jobs of a queue end per second of late, from the newest ended ones; None: none has."""
    page = store.find(JobFilter(queue=queue, states=tuple(sorted(FINAL))), limit=_SAMPLE)
    ends = [job.finished_at for job in page.jobs if job.finished_at is not None and now - job.finished_at < _RECENT]
    if not ends:
        return None
    # Counted from the first end to now: a queue that has come to a stop gets slower, not stuck at its best.
    return len(ends) / max(1e-3, (now - min(ends)) / 1e6)


def _blocked(store: Store, record: JobRecord, now: int) -> Why:
    from ._why_commands import lacking  # they tell their part in the words of this module
    from ._why_waiting import unknown_task, waiting

    if not record.parked:
        return waiting(store, record, now)
    return lacking(store, record, now) or unknown_task(store, record, now)


def and_build(worker: WorkerRecord) -> str:
    """Return a worker's name, and its build if that is known."""
    build = (loads(worker.catalogue) or {}).get("build")
    return f"{worker.name} (build {build})" if build else worker.name


# -- workers ----------------------------------------------------------------------------------------------------------
def live(workers: Iterable[WorkerRecord], now: int) -> list[WorkerRecord]:
    """Return those that take work and have been heard of of late."""
    return [worker for worker in workers if worker.state == "live" and now - worker.seen_at <= SILENT]


def queues_of(worker: WorkerRecord) -> list[str] | None:
    """Return the queues a worker serves; None: every queue."""
    groups = loads(worker.queues)
    return None if groups is None else [name for group in groups for name in group]


def serves(worker: WorkerRecord, queue: str) -> bool:
    """Tell whether a worker takes jobs of this queue."""
    names = queues_of(worker)
    return names is None or queue in names


def tasks_of(workers: Iterable[WorkerRecord]) -> dict[str, dict[str, Any]]:
    """Return the tasks of these workers' catalogues by name."""
    found: dict[str, dict[str, Any]] = {}
    for worker in workers:
        tasks = (loads(worker.catalogue) or {}).get("tasks") or {}
        found.update({name: about if isinstance(about, dict) else {} for name, about in tasks.items()})
    return found


def may_know(worker: WorkerRecord, task: str) -> bool:
    """Tell whether a worker has this task, by its catalogue, or may find it below a package when it is first asked for."""
    catalogue = loads(worker.catalogue) or {}
    tasks = catalogue.get("tasks") or {}
    told = [about for about in tasks.values() if isinstance(about, dict)]
    if task in tasks or any(task in (about.get("aliases") or ()) for about in told):
        return True
    return any(task.startswith(f"{package}.") for package in catalogue.get("packages") or ())


def count(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
