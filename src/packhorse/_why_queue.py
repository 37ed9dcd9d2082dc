"""What holds a queue up: its jobs that wait, summed up by what they wait for. Reads the store's protocol only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ._admission import Obstacle
from ._command import is_raw
from ._durations import spoken
from ._record import WAITING, JobRecord, QueueRecord, State
from ._store import JobFilter, Store
from ._when import clock, distance, rfc3339
from ._why import Why, count, live, nobody, paused, rate, serves
from ._why_error import error_line
from ._why_held import crowd, declared_value
from ._why_waiting import waiting

#: So many of the newest jobs of a state are looked at.
LOOKED_AT = 1000
_QUEUED: tuple[State, ...] = ("queued",)


def explain_queue(store: Store, queue: QueueRecord, now: int | None = None, flow: str | None = None) -> list[Why]:
    """Return what holds the queue's jobs up, what concerns all of them first. Empty: nothing waits there.

    ``flow``: only its members are looked at, and ``queue`` has their numbers.
    """
    moment = store.now() if now is None else now
    counts = queue.counts
    if not any(counts.get(state) for state in ("queued", "blocked", "scheduled", "retrying")):
        return []
    those = JobFilter(queue=queue.name, flow=flow)
    some = _newest(store, those, "queued", "blocked", "scheduled", "retrying", limit=1)
    whole = [why for record in some if (why := paused(store, record, moment) or nobody(store, record, moment))]
    return [
        *whole,
        *_queued(store, queue, moment, stuck=bool(whole)),
        *_blocked(store, queue, those, moment),
        *_later(store, queue, those, "scheduled", moment),
        *_later(store, queue, those, "retrying", moment),
    ]


def explain_flow(store: Store, flow: str, now: int | None = None) -> list[tuple[QueueRecord, list[Why]]]:
    """Return what holds the members of a flow up, for each queue in which some wait."""
    moment = store.now() if now is None else now
    waiting_there: dict[str, Counter[State]] = {}
    oldest: dict[str, int] = {}
    below: int | None = None
    while True:
        page = store.find(JobFilter(flow=flow, states=tuple(sorted(WAITING))), LOOKED_AT, below)
        for job in page.jobs:
            waiting_there.setdefault(job.queue, Counter())[job.state] += 1
            if job.state == "queued":
                oldest[job.queue] = min(oldest.get(job.queue, moment), job.created_at)
        if page.next is None:
            break
        below = page.next
    found = []
    for name, counts in waiting_there.items():
        queue = QueueRecord(name)._replace(counts=dict(counts), oldest_ready_at=oldest.get(name))
        found.append((queue, explain_queue(store, queue, moment, flow)))
    return found


def _newest(store: Store, those: JobFilter, *states: State, limit: int = LOOKED_AT) -> list[JobRecord]:
    return store.find(those._replace(states=states), limit=limit).jobs


# -- queued -----------------------------------------------------------------------------------------------------------
def _queued(store: Store, queue: QueueRecord, now: int, *, stuck: bool) -> Iterable[Why]:
    number = queue.counts.get("queued", 0)
    if not number:
        return
    oldest = 0.0 if queue.oldest_ready_at is None else max(0, now - queue.oldest_ready_at) / 1e6
    facts: dict[str, Any] = {"jobs": number, "oldest_seconds": oldest}
    text = f"{count(number, 'job')} could run, the oldest for {spoken(oldest)}"
    if not stuck:
        text += _slots(store, queue, number, now, facts)
    yield Why(text + ".", "queued", facts)


def _slots(store: Store, queue: QueueRecord, number: int, now: int, facts: dict[str, Any]) -> str:
    workers = [worker for worker in live(store.workers(), now) if serves(worker, queue.name)]
    slots = sum(worker.slots for worker in workers)
    facts["slots"], facts["workers"] = slots, [worker.name for worker in workers]
    there = f"; {count(slots, 'slot')} on {count(len(workers), 'worker')}, {queue.counts.get('running', 0):,} run"
    per_second = rate(store, queue.name, now)
    if per_second is None:
        return f"{there}; none has ended in the last 15 minutes"
    facts["per_second"], facts["seconds_left"] = round(per_second, 3), round(number / per_second, 1)
    return f"{there}; about {spoken(number / per_second)} at the present rate"


# -- blocked ----------------------------------------------------------------------------------------------------------
def _blocked(store: Store, queue: QueueRecord, those: JobFilter, now: int) -> Iterable[Why]:
    number = queue.counts.get("blocked", 0)
    found = _newest(store, those, "blocked") if number else []
    parked = Counter((record.task, _said(record)) for record in found if record.parked)
    for (task, said), many in parked.most_common():
        yield Why(f"{count(many, 'job')}: {said}.", "unknown-task", _facts(many, task=task))
    waiting_ = [record for record in found if record.waits]
    groups: dict[tuple[str, str], list[tuple[JobRecord, Obstacle]]] = {}
    for record, obstacle in zip(waiting_, store.obstacles([record.id for record in waiting_]), strict=True):
        if obstacle is not None and obstacle.kind not in ("paused", "unserved"):
            groups.setdefault((obstacle.kind, _of_many(obstacle)), []).append((record, obstacle))
    for group in sorted(groups.values(), key=len, reverse=True):
        yield _group(store, group, now)
    if number > len(found):
        yield Why(f"{number - len(found):,} more that wait were not looked at.", "more", _facts(number - len(found)))


def _said(record: JobRecord) -> str:
    """Return why nobody takes a job: of a command, which program is not allowed, not there, or what its host lacks."""
    if record.reason and (is_raw(record.task) or "program" in record.reason):
        return record.reason
    return f"no live worker knows the task '{record.task}'"


def _of_many(obstacle: Obstacle) -> str:
    """Jobs that wait for a parent wait each for its own; what they have in common is that they do."""
    return "" if obstacle.kind == "after" else obstacle.name


def _group(store: Store, group: list[tuple[JobRecord, Obstacle]], now: int) -> Why:
    many = len(group)
    # Who comes first among them has the fewest before it, and tells best what they wait for.
    record, obstacle = min(group, key=lambda pair: pair[1].place or 0)
    if many == 1:
        one = waiting(store, record, now)
        return Why(f"1 job ({record.id}) {_joined(one.text)}", one.kind, {**_facts(1), **one.facts})
    facts = _facts(many, name=obstacle.name, holder=obstacle.holder)
    texts = {
        "after": "wait for the end of other jobs",
        "flow": f"wait for the flow '{obstacle.name}', of which {count(obstacle.place or 0, 'job')} have not ended",
        "undeclared": f"have the limit '{obstacle.name}', which is declared nowhere; "
        f"to declare it:  packhorse queues limit {obstacle.name} 4",
        "held": f"wait for '{obstacle.name}'{_held_by(store, record, obstacle)}",
        "rate": f"wait for the rate '{obstacle.name}' ({declared_value(store, obstacle.name)})",
    }
    return Why(f"{count(many, 'job')} {texts[obstacle.kind]}.", obstacle.kind, facts)


def _joined(text: str) -> str:
    return text if text.startswith("waits") else f"waits: {text}"


def _held_by(store: Store, record: JobRecord, obstacle: Obstacle) -> str:
    value = declared_value(store, obstacle.name)
    full = f" ({value} at once)" if value is not None else ""
    there = crowd(store, record, obstacle)
    return f"{full}, held by {there.text}" if there.number else full


def _facts(jobs: int, **more: Any) -> dict[str, Any]:
    return {"jobs": jobs, **more}


# -- due later --------------------------------------------------------------------------------------------------------
def _later(store: Store, queue: QueueRecord, those: JobFilter, state: State, now: int) -> Iterable[Why]:
    number = queue.counts.get(state, 0)
    found = _newest(store, those, state) if number else []
    due = min((record.due_at for record in found if record.due_at is not None), default=None)
    if due is None:
        return
    first = f"the next at {clock(due, now)} ({distance(due, now)})" if due > now else "the next now"
    facts = _facts(number, next_at=rfc3339(due))
    if state == "scheduled":
        yield Why(f"{count(number, 'job')} due later, {first}.", "due", facts)
        return
    errors = Counter(error for record in found if (error := error_line(record.error)))
    common, times = next(iter(errors.most_common(1)), ("", 0))
    facts["error"] = common or None
    because = f"; {times:,} of them after {common}" if common else ""
    yield Why(f"{count(number, 'job')} to be tried again, {first}{because}.", "retry", facts)
