"""Whether jobs wait for each other in a circle, which only a flow can make, and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ._record import JobRecord, State
from ._rules import parents
from ._store import JobFilter, Store
from ._why import Why
from ._why_held import named

#: At most so many jobs are looked at, and so many of one flow, the newest.
_MOST, _OF_A_FLOW = 1000, 200
#: Where a job is that waits for others. One that does not will end, sooner or later.
_WAITS: tuple[State, ...] = ("blocked", "scheduled")


class _Step(NamedTuple):
    """One job that waits, and how the one before waits for it: by its id, or as a member of a flow."""

    job: JobRecord
    flow: str | None = None


def circle(store: Store, record: JobRecord) -> Why | None:
    """Return what to say of a job that waits for itself, or for jobs that do; None: none was found."""
    found = _circle(store, record)
    return None if found is None else _told(record, found)


def _circle(store: Store, start: JobRecord) -> list[_Step] | None:
    """Walk from job to job, deeper first, until one comes that is on the way already."""
    way = [_Step(start)]
    branches = [_next(store, start)]
    seen = {start.id}
    while branches and len(seen) < _MOST:
        step = next(branches[-1], None)
        if step is None:
            way.pop()
            branches.pop()
            continue
        place = next((place for place, each in enumerate(way) if each.job.id == step.job.id), None)
        if place is not None:
            return [step, *way[place + 1 :]]
        if step.job.id not in seen:
            seen.add(step.job.id)
            way.append(step)
            branches.append(_next(store, step.job))
    return None


def _next(store: Store, job: JobRecord) -> Iterator[_Step]:
    """Yield the jobs that this one waits for and that wait themselves."""
    ids = parents(job.after)[:_MOST]
    for parent in store.get(ids) if ids else ():
        if _is_waiting(parent):
            yield _Step(parent)
    if job.after_flow is not None:
        for member in store.find(JobFilter(flow=job.after_flow, states=_WAITS), limit=_OF_A_FLOW).jobs:
            if _is_waiting(member) and member.after_flow != job.after_flow:
                yield _Step(member, job.after_flow)


def _is_waiting(job: JobRecord) -> bool:
    return job.state in _WAITS and (job.after is not None or job.after_flow is not None)


def _told(record: JobRecord, circle: Sequence[_Step]) -> Why:
    """``circle``: each with how the one before waits for it, the first of them with how the last one does."""
    jobs = [step.job for step in circle]
    newest = max(jobs, key=lambda job: job.seq)
    first = jobs[0] if record.id not in [job.id for job in jobs] else record
    start = [job.id for job in jobs].index(first.id)
    turned = [*circle[start + 1 :], *circle[: start + 1]]
    links = [
        f"for job {named(step.job, step.job.id)}" if step.flow is None
        else f"for the flow '{step.flow}', of which job {named(step.job, step.job.id)} is one"
        for step in turned
    ]  # fmt: skip
    who = "it" if first.id == record.id else f"job {named(first, first.id)}"
    facts: dict[str, Any] = {"circle": [job.id for job in jobs], "newest": newest.id}
    text = f"cannot start, since jobs wait for each other: {who} waits {', which waits '.join(links)}"
    return Why(f"{text}; to get out, cancel one of them:  packhorse jobs cancel {newest.id}", "circle", facts)
