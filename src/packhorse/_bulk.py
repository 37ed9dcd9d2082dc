"""Storing drafts by the batch: each batch wholly or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from . import _runtime
from ._cycles import refuse_cycles
from ._draft import Draft, content, joined
from ._job import Job, not_found
from ._origin import origin
from ._record import JobRecord, NewJob
from ._runtime import Around, Connection, Source
from .errors import BadOption, BatchFailed, PackhorseError, StoreUnavailable

#: How often a throttled producer looks whether there is room again, in seconds.
_LOOK = 0.05
#: What waits for its first run.
_UNSTARTED = ("scheduled", "blocked", "queued")
#: ``NewJob._make`` without counting the values, which are always all of them.
_NEW_JOB: Callable[[tuple[Any, ...]], NewJob] = partial(tuple.__new__, NewJob)
_FRESH = frozenset({"queued", "scheduled", "blocked"})
_SWALLOWED = "middleware swallowed its own error; nothing was stored."


class Batch(NamedTuple):
    """Some drafts, the first of which was the ``first``-th that was read, from 0; all before it are stored."""

    first: int
    drafts: list[Draft[Any]]

    def failed(self, error: Exception) -> BatchFailed:
        """Return what to raise when this batch could not be stored."""
        return _failed(self.first, self.first, f"storing drafts from number {self.first:,} on failed: {error}")


def put(connection: Connection, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
    """Store drafts, all or none, and return their handles."""
    parent, flow = origin()
    values = [content(draft, by, parent) for draft in drafts]
    if flow is not None:
        values = joined(values, drafts, flow)
    new = list(map(_NEW_JOB, values))
    if any(job.after for job in new):
        refuse_cycles(new, lambda ids: _records(connection, ids))
    found: list[Job[Any]] = []
    known: list[Job[Any]] = []
    # This loop runs for every job of a bulk: it makes the handle and nothing else.
    for answer, job, draft in zip(_runtime.enqueue(connection, new), values, drafts, strict=True):
        plan = draft._plan
        found.append(Job(connection, plan.codec, plan.fn, answer, job))
        if answer[4] or answer[1] not in _FRESH:  # existing, state
            known.append(found[-1])
    if connection.run is not None:
        connection.run([job.id for job in found])
        known = found
    if known:
        _look_up(connection, known)
    return found


def _records(connection: Connection, ids: Sequence[str]) -> list[JobRecord]:
    """Return stored jobs, for a check that the enqueue itself does not need: without an answer it is left out."""
    try:
        with connection as store:
            return store.get(ids)
    except StoreUnavailable:
        return []


def put_within(
    around: Around | None,
    store: Callable[[Sequence[Draft[Any]], str], list[Job[Any]]],
    drafts: Sequence[Draft[Any]],
    by: str,
) -> list[Job[Any]]:
    """Store inside this middleware, or that of each draft's own App. An error that it swallowed is raised all the same."""
    failure: Exception | None = None
    with ExitStack() as stack:
        _enter(stack, around, drafts)
        try:
            return store(drafts, by)
        except Exception as error:
            failure = error
            raise
    # Only here if middleware swallowed it: the caller must not go on without a job.
    raise failure or PackhorseError(_SWALLOWED)


async def aput_within(
    around: Around | None, store: Callable[[], Awaitable[list[Job[Any]]]], drafts: Sequence[Draft[Any]]
) -> list[Job[Any]]:
    """Do the same with what is awaited."""
    failure: Exception | None = None
    with ExitStack() as stack:
        _enter(stack, around, drafts)
        try:
            return await store()
        except Exception as error:
            failure = error
            raise
    raise failure or PackhorseError(_SWALLOWED)


def _enter(stack: ExitStack, around: Around | None, drafts: Sequence[Draft[Any]]) -> None:
    for draft in drafts:
        for enter in draft._plan.around if around is None else around:
            stack.enter_context(enter(draft))


def _look_up(connection: Connection, jobs: list[Job[Any]]) -> None:
    """Take the whole record of jobs that were stored before, or ran at once: other things may stand there than were passed."""
    with connection as store:
        records = {record.id: record for record in store.get([job.id for job in jobs])}
    for job in jobs:
        if job.id not in records:
            raise not_found(job.id, connection)
        job._found(records[job.id])


def batches(drafts: Iterable[Draft[Any]], size: int, source: Source) -> Iterator[Batch]:
    """Read drafts lazily, ``size`` at a time. Raises ``BatchFailed`` where that fails; the rest of that batch is dropped."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise BadOption(f"batch= takes a whole number of at least 1, not {size!r}.")
    if not isinstance(drafts, Iterable):
        raise TypeError(f"enqueue_many takes drafts, made by queue.draft(fn, …), not {drafts!r:.80}")
    first, group = 0, list[Draft[Any]]()
    # This runs for every job of a bulk, so the loop does little, and ``for`` asks for the next draft by itself.
    try:
        for draft in drafts:
            if draft.__class__ is not Draft or draft._plan.source is not source:
                _check(draft, source)
            group.append(draft)
            if len(group) == size:
                yield Batch(first, group)
                first, group = first + size, []
    except Exception as error:
        index = first + len(group)
        raise _failed(first, index, f"reading draft {index} failed: {error}") from error
    if group:
        yield Batch(first, group)


def _check(draft: object, source: Source) -> None:
    if not isinstance(draft, Draft):
        raise TypeError(f"enqueue_many takes drafts, made by queue.draft(fn, …), not {draft!r:.80}")
    if draft._plan.source != source:
        raise BadOption(f"{draft!r} was made for another store than this queue's.")


def _failed(stored: int, index: int, what: str) -> BatchFailed:
    return BatchFailed(
        f"{what}\n  {stored:,} jobs before it are stored; nothing from number {stored} on is.",
        stored=stored,
        index=index,
    )


# -- the throttle -----------------------------------------------------------------------------------------------------
class Room:
    """Keeps a producer from filling a queue: at most ``keep`` unstarted jobs; once they are there, it goes on at half."""

    def __init__(self, queue: str, keep: int | None, batch: int) -> None:
        """``keep`` None: no limit. Raises ``BadOption``."""
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise BadOption(f"enqueue_iter(keep=) takes a whole number of at least 1, not {keep!r}.")
        self._queue = queue
        self._keep = keep
        self._unstarted = 0
        #: A batch must fit into the half that is waited for.
        self.batch = batch if keep is None else min(batch, keep - keep // 2)

    def pauses(self, group: Batch) -> Iterator[float]:
        """Yield the seconds to sleep before each ``look``, until the batch may be stored."""
        if self._keep is None:
            return
        _check_queue(group, self._queue)
        yield 0
        limit = self._keep - len(group.drafts)
        while self._unstarted > limit:
            limit = self._keep // 2
            yield _LOOK

    def look(self, connection: Connection) -> None:
        """Count what waits for its first run."""
        with connection as store:
            records = store.queues([self._queue])
        self._unstarted = sum(count for each in records for state, count in each.counts.items() if state in _UNSTARTED)


def _check_queue(group: Batch, queue: str) -> None:
    for draft in group.drafts:
        if draft.queue != queue:
            raise BadOption(f"enqueue_iter(keep=) watches queue '{queue}', but {draft!r} goes elsewhere.")
