"""Looking for jobs and queues, as ``Queue`` and ``App`` offer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from ._codec import Codec
from ._durations import Duration, seconds
from ._identity import task_name
from ._job import Job, not_found
from ._option_checks import micros
from ._record import DEFAULT_STEP, STATES, JobRecord, QueueRecord, State
from ._runtime import Connection
from ._store import BATCH, JobFilter
from .errors import BadOption


class Jobs(list[Job[Any]]):
    """Jobs, newest first. ``next`` continues the list (``after=jobs.next``), None: that was all.

    Where conditions had to be looked for in a bounded scan, ``searched`` of ``total`` jobs were looked at.
    """

    next: int | None = None
    searched: int = 0
    total: int = 0


class Counts(dict[str, int]):
    """Number of jobs by state, all eight. ``oldest`` is the age of the oldest runnable job in seconds, None: there is none."""

    name: str = ""
    oldest: float | None = None
    paused: bool = False
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_until: datetime | None = None  #: it goes on by itself then; None: when somebody resumes it
    ageing: float | None = None  #: after so many seconds of waiting a job has overtaken those of a priority higher by 1


def one(connection: Connection, codec: Codec, job_id: str) -> Job[Any]:
    """Return one job, or raise ``JobNotFound`` or ``AmbiguousId``."""
    with connection as store:
        found = store.get([str(job_id)])
    if not found:
        raise not_found(job_id, connection)
    return Job(connection, codec, None, found[0])


def find(
    connection: Connection,
    codec: Codec,
    *,
    limit: int = 50,
    after: Job[Any] | int | None = None,
    **conditions: Any,
) -> Jobs:
    """Return a page of jobs that meet all conditions."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadOption(f"jobs(limit=) takes a whole number of at least 1, not {limit!r}.")
    with connection as store:
        if isinstance(after, Job):
            after = _place(after, store.get([after.id]))
        page = store.find(which(connection, **conditions), limit, after)
    found = Jobs(Job(connection, codec, None, record) for record in page.jobs)
    found.next, found.searched, found.total = page.next, page.searched, page.total
    return found


def _place(after: Job[Any], found: Sequence[JobRecord]) -> int | None:
    record = found[0] if found else after._record
    if record is None:
        raise BadOption(f"jobs(after=): job {after.id} is not stored any more; pass the list's next instead.")
    return record.seq


def which(
    connection: Connection,
    *,
    queue: str | None = None,
    state: str | Sequence[str] | None = None,
    task: str | Callable[..., Any] | None = None,
    tag: str | None = None,
    flow: str | None = None,
    meta: Mapping[str, Any] | None = None,
    text: str | None = None,
    since: datetime | Duration | None = None,
    ids: Sequence[str] = (),
) -> JobFilter:
    """Return the conditions as the store takes them."""
    return JobFilter(
        ids=(ids,) if isinstance(ids, str) else tuple(ids),
        states=_states(state),
        queue=queue,
        task=task if task is None or isinstance(task, str) else task_name(task),
        tag=tag,
        flow=flow,
        meta=meta,
        text=text,
        since=None if since is None else _since(connection, since),
    )


def count_meant(connection: Connection, meant: JobFilter, states: Sequence[State]) -> int:
    """Return how many jobs a filter means that are in one of these states, and have not been asked to stop."""
    count, below = 0, None
    wanted = tuple(state for state in states if not meant.states or state in meant.states)
    while wanted:
        with connection as store:
            page = store.find(meant._replace(states=wanted), BATCH, below)
        count += sum(job.state != "running" or job.cancel_at is None for job in page.jobs)
        if page.next is None:
            break
        below = page.next
    return count


def _states(given: str | Sequence[str] | None) -> tuple[State, ...]:
    if given is None:
        return ()
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in get_args(State):
            raise BadOption(f"'{name}' is not a state. There are: {', '.join(STATES)}.")
    return names  # type: ignore[return-value]


def _since(connection: Connection, given: datetime | Duration) -> int:
    if isinstance(given, datetime):
        return micros(given, "since")
    with connection as store:
        return store.now() - int(seconds(given, "since") * 1_000_000)


def pause_end(until: datetime | Duration | None) -> dict[str, Any]:
    """Return what the store is told of the end of a pause. Raises ``BadOption`` and ``NaiveTime``."""
    if until is None:
        return {}
    if isinstance(until, datetime):
        return {"until": micros(until, "pause: until")}
    return {"seconds": seconds(until, "pause: until")}


def counts_of(connection: Connection, names: Sequence[str] | None = None) -> list[Counts]:
    """Return the numbers of some queues (zeros for one that never had a job), or of all there are."""
    with connection as store:
        now, records = store.now(), store.queues(names)
    if names is None:
        return [_counts(record, now) for record in records]
    by_name = {record.name: record for record in records}
    return [_counts(by_name.get(name) or QueueRecord(name), now) for name in names]


def _counts(record: QueueRecord, now: int) -> Counts:
    found = Counts({state: record.counts.get(state, 0) for state in STATES})
    found.name = record.name
    if record.oldest_ready_at is not None:
        found.oldest = max(0, now - record.oldest_ready_at) / 1_000_000
    found.paused, found.paused_by, found.paused_reason = (
        record.paused_at is not None,
        record.paused_by,
        record.paused_reason,
    )
    if record.paused_until is not None:
        found.paused_until = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=record.paused_until)
    found.ageing = None if record.step == DEFAULT_STEP else record.step / 1_000_000
    return found
