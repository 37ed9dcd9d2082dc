"""Why a job is blocked: what the store finds in its way, or that nobody knows its task."""

from __future__ import annotations

import difflib
from typing import Any

from ._admission import Obstacle
from ._record import FINAL, JobRecord, WorkerRecord
from ._rules import parents
from ._store import Store
from ._when import clock, distance, rfc3339
from ._why import Why, and_build, count, live, nobody, paused, serves, tasks_of
from ._why_cycle import circle
from ._why_held import ago, declared_value, held, named

#: So many parents are looked at to say how many have not ended.
_LOOKED_AT = 1000


# -- rules ------------------------------------------------------------------------------------------------------------
def waiting(store: Store, record: JobRecord, now: int) -> Why:
    """Return the first obstacle in words, and its facts."""
    (obstacle,) = store.obstacles([record.id])
    if obstacle is None:
        # A worker that has gone silent is live to the store until somebody declares it dead.
        free = Why("nothing is in its way any more: a worker lets it go with its next look.", "admission", {})
        return nobody(store, record, now) or free
    if obstacle.kind in ("after", "flow") and (found := circle(store, record)) is not None:
        return found
    tell = {
        "after": _after,
        "flow": _flow,
        "paused": lambda store, record, obstacle, now: paused(store, record, now),
        "unserved": lambda store, record, obstacle, now: nobody(store, record, now),
        "undeclared": _undeclared,
        "held": held,
        "rate": _rate,
    }[obstacle.kind]
    return tell(store, record, obstacle, now) or Why(f"waits: {obstacle.kind} {obstacle.name}.", obstacle.kind, {})


def _after(store: Store, record: JobRecord, obstacle: Obstacle, now: int) -> Why:
    ids = parents(record.after)
    found = {job.id: job for job in store.get([obstacle.name, *ids[:_LOOKED_AT]])}
    unended = sum(job.state not in FINAL for job in found.values())
    parent = found.get(obstacle.name)
    more = f", and {count(unended - 1, 'more job')}" if unended > 1 else ""
    text = f"waits for the end of job {named(parent, obstacle.name)}, which {_is(parent, now)}{more}"
    facts = {
        "after": obstacle.name,
        "task": parent.task if parent else None,
        "state": parent.state if parent else None,
        "unended": unended,
    }
    return Why(text + ".", "after", facts)


def _flow(store: Store, record: JobRecord, obstacle: Obstacle, now: int) -> Why:
    text = f"waits for the flow '{obstacle.name}', of which {count(obstacle.place or 0, 'job')} have not ended"
    if obstacle.place == 1:
        text = text.replace("have not", "has not")
    return Why(text + ".", "flow", {"flow": obstacle.name, "unended": obstacle.place})


def _undeclared(store: Store, record: JobRecord, obstacle: Obstacle, now: int) -> Why:
    text = f"limit '{obstacle.name}' is declared nowhere; to declare it:  packhorse queues limit {obstacle.name} 4"
    return Why(text, "undeclared", {"limit": obstacle.name})


def _rate(store: Store, record: JobRecord, obstacle: Obstacle, now: int) -> Why:
    value = declared_value(store, obstacle.name)
    facts = {"limit": obstacle.name, "rate": value, "next_at": rfc3339(obstacle.at)}
    at = obstacle.at if obstacle.at is not None else now
    when = f"at {clock(at, now)} ({distance(at, now)})" if at > now else "now"
    return Why(f"limit '{obstacle.name}' ({value}) lets the next job go {when}.", "rate", facts)


def _is(job: JobRecord | None, now: int) -> str:
    if job is None:
        return "has not ended"
    if job.state == "running" and job.started_at is not None:
        return f"runs since {clock(job.started_at, now)} ({ago(job.started_at, now)})"
    return f"is {job.state}"


# -- an unknown task --------------------------------------------------------------------------------------------------
def unknown_task(store: Store, record: JobRecord, now: int) -> Why:
    """Return why a job is parked: nobody knows its task."""
    workers = store.workers(dead=True)
    knowing = [worker for worker in workers if record.task in tasks_of([worker])]
    alive = live(knowing, now)
    facts: dict[str, Any] = {"task": record.task, "known_by": [worker.name for worker in alive]}
    here = [worker for worker in alive if serves(worker, record.queue)]
    if here:
        text = f"worker {and_build(here[0])} knows the task '{record.task}' and takes the job with its next beat"
        return Why(text + ".", "unknown-task", facts)
    text = f"no live worker on queue '{record.queue}' knows the task '{record.task}'"
    text += _who_knows(record, alive, knowing, now) or _near_name(record, live(workers, now), facts)
    return Why(text + ".", "unknown-task", facts)


def _who_knows(record: JobRecord, alive: list[WorkerRecord], knowing: list[WorkerRecord], now: int) -> str:
    if alive:
        return f"; worker {and_build(alive[0])} does, but does not listen to this queue"
    if knowing:
        gone = max(knowing, key=lambda worker: worker.seen_at)
        return f"; worker {and_build(gone)} did and is gone, last heard of {distance(gone.seen_at, now)}"
    return ""


def _near_name(record: JobRecord, alive: list[WorkerRecord], facts: dict[str, Any]) -> str:
    meant = difflib.get_close_matches(record.task, tasks_of(alive), 1, cutoff=0.8)
    facts["did_you_mean"] = meant[0] if meant else None
    if meant:
        return f" (they know '{meant[0]}')"
    module = record.task.partition(":")[0]
    return f"; start one with  packhorse worker {module}  or deploy it, and the job runs by itself"
