"""Deleting what ended long ago: prune."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice

from ..._record import FINAL, JobRecord, State
from ._clock import micros
from ._tables import Tables
from ._unique import holds_still

_HOUR = 3600.0
_DAY = 24 * 3600 * 1_000_000


def prune(tables: Tables, now: int, keep: Mapping[State, float], limit: int) -> int:
    """Delete what ended long ago."""
    over = (job for job in tables.inside("ended") if prunable(job, now, keep) and not is_needed(tables, now, job))
    old = list(islice(over, limit))
    for job in old:
        tables.drop(job)
    _drop_results(tables, now, limit)
    _drop_workers(tables, now)
    return len(old)


def prunable(job: JobRecord, now: int, keep: Mapping[State, float]) -> bool:
    """Tell whether a job is final and has been so for longer than it is kept, and for an hour."""
    if job.state not in FINAL or job.state not in keep or job.finished_at is None:
        return False
    return job.finished_at < now - micros(max(keep[job.state], _HOUR, kept_for(job)))


def is_needed(tables: Tables, now: int, job: JobRecord) -> bool:
    """Tell whether a job must be found still: another one waits for it or its flow, or it holds a key that outlasts it."""
    return is_waited_for(tables, job) or holds_still(tables, now, job)


def is_waited_for(tables: Tables, job: JobRecord) -> bool:
    """Tell whether a job that has not ended waits for this one, or for its flow."""
    return tables.is_linked("child", job.id) or (job.flow is not None and tables.is_linked("follower", job.flow))


def kept_for(job: JobRecord) -> float:
    """Return how many seconds a job stays after its end, whatever the rule for its state: one that a relay may send again."""
    return float(json.loads(job.options).get("kept_for", 0)) if job.options else 0.0


def _drop_results(tables: Tables, now: int, limit: int) -> None:
    over = (job for job in tables.inside("results") if is_over(job, now) and not is_waited_for(tables, job))
    for job in list(islice(over, limit)):
        tables.put(job._replace(result=None))


def drop_logs(tables: Tables, now: int, age: float, limit: int) -> int:
    """Drop the logs of jobs that ended more than ``age`` seconds ago."""
    before = now - micros(age)
    jobs = (tables.jobs[job] for job in tables.logs if job in tables.jobs)
    old = list(islice((job.id for job in jobs if job.state in FINAL and (job.finished_at or now) < before), limit))
    for job in old:
        tables.logs.pop(job)
    return len(old)


def is_over(job: JobRecord, now: int) -> bool:
    """Tell whether the time is over for which a result is kept."""
    return job.result_until is not None and job.result_until <= now


def _drop_workers(tables: Tables, now: int) -> None:
    for row in list(tables.workers.values()):
        if row.state == "dead" and row.seen_at < now - _DAY:
            del tables.workers[row.id]
