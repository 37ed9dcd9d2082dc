"""Looking at jobs, attempts, queues and workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ..._record import DEFAULT_STEP, STATES, AttemptRecord, JobRecord, QueueRecord, WorkerRecord
from ..._store import JobFilter, Page
from ...errors import AmbiguousId
from ._enqueue import passed
from ._tables import Switches, Tables

_COUNT_LIMIT = 10_000


def get(tables: Tables, ids: Sequence[str]) -> list[JobRecord]:
    """Return jobs by id, or by the last eight characters of it."""
    full = (_full_id(tables, name) for name in ids)
    return [tables.jobs[job] for job in full if job in tables.jobs]


def _full_id(tables: Tables, name: str) -> str:
    if len(name) != 8:
        return name
    found = tables.ending(name)
    if len(found) > 1:
        some = ", ".join(found[:5])
        raise AmbiguousId(f"{len(found)} jobs have ids that end with {name}. Give the whole id: {some}.")
    return found[0] if found else name


def find(tables: Tables, which: JobFilter, limit: int, after: int | None) -> Page:
    """Return matching jobs, newest first."""
    total = len(tables.jobs)
    below = (job for job in reversed(tables.jobs.values()) if after is None or job.seq < after)
    found = list(islice((job for job in below if which.fits(job)), limit + 1))
    if len(found) > limit:
        last = found[limit - 1].seq if limit else after
        searched = sum(1 for job in tables.jobs.values() if last is not None and job.seq >= last)
        return Page(found[:limit], last, searched, total)
    return Page(found, None, total, total)


def matching(tables: Tables, which: JobFilter) -> Iterator[JobRecord]:
    """Yield the jobs that are meant."""
    return (job for job in _candidates(tables, which) if which.fits(job))


def _candidates(tables: Tables, which: JobFilter) -> Iterable[JobRecord]:
    if which.ids:
        return [tables.jobs[job] for job in dict.fromkeys(which.ids) if job in tables.jobs]
    if which.states and which.queue is not None:
        return [job for state in dict.fromkeys(which.states) for job in tables.inside(f"state {state}", which.queue)]
    if which.flow is not None:
        return tables.linked("member", which.flow)
    return list(tables.jobs.values())


def log(tables: Tables, job: str, token: str | None) -> list[tuple[str, str, int]]:
    """Return what the attempts of a job logged."""
    logs = tables.logs.get(job, {})
    return [(name, entry.text, entry.dropped) for name, entry in logs.items() if token in (None, name)]


def attempts(tables: Tables, job: str, made_up: AttemptRecord | None) -> list[AttemptRecord]:
    """Return the ended runs of a job."""
    rows = list(tables.attempts.get(job, {}).values())
    return rows if made_up is None else [*rows, made_up]


def last_attempts(tables: Tables, jobs: Sequence[str]) -> list[AttemptRecord]:
    """Return the last attempt row of each job that has one."""
    rows = (tables.attempts.get(job) for job in jobs if job in tables.jobs)
    return [list(each.values())[-1] for each in rows if each]


def queues(tables: Tables, now: int, names: Sequence[str] | None) -> list[QueueRecord]:
    """Return queues with their numbers."""
    wanted = sorted(tables.queues if names is None else set(names) & tables.queues.keys())
    return [_queue(tables, now, name, tables.queues[name]) for name in wanted]


def _queue(tables: Tables, now: int, name: str, switches: Switches) -> QueueRecord:
    counts = {state: tables.count(f"state {state}", name) for state in STATES}
    return QueueRecord(
        name=name,
        counts={state: count for state, count in counts.items() if count},
        oldest_ready_at=_oldest_ready_at(tables, now, name, switches.step),
        paused_at=switches.paused_at,
        paused_by=switches.paused_by,
        paused_reason=switches.paused_reason,
        paused_until=switches.paused_until,
        step=switches.step,
    )


def _oldest_ready_at(tables: Tables, now: int, queue: str, step: int) -> int | None:
    """Return since when the oldest queued job could run; with a step of the queue's own an estimate, in bounds at least: the
    ranks that stand may come from another step."""
    if step == DEFAULT_STEP:
        return tables.first("ready", queue)
    jobs = ((job.rank + job.priority * step, job.seq, job) for job in tables.inside("state queued", queue))
    ready, _, head = min(jobs, default=(0, 0, None))
    return None if head is None else max(head.created_at, min(ready, now))


def ahead(tables: Tables, now: int, job: str) -> int:
    """Return how many jobs would be claimed before this one."""
    record = tables.jobs.get(job)
    if record is None or record.state != "queued":
        return 0
    count = sum(not passed(other.expires_at, now) for other in tables.before(record))
    return min(count, _COUNT_LIMIT)


def workers(tables: Tables, dead: bool) -> list[WorkerRecord]:
    """Return workers, oldest first."""
    rows = (row for row in tables.workers.values() if dead or row.state != "dead")
    return sorted(rows, key=lambda row: row.started_at)
