"""Storing drafts by the batch: each batch wholly or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import _runtime
from ._draft import Draft, new_job
from ._job import Job, not_found
from ._record import Enqueued
from ._runtime import Connection, Source
from .errors import BadOption, BatchFailed

#: How often a throttled producer looks whether there is room again, in seconds.
_LOOK = 0.05
#: What waits for its first run.
_UNSTARTED = ("scheduled", "blocked", "queued")
_FRESH = frozenset({"queued", "scheduled"})


@dataclass(frozen=True, slots=True)
class Batch:
    """Some drafts, the first of which was the ``first``-th that was read, from 0; all before it are stored."""

    first: int
    drafts: list[Draft[Any]]


def put(connection: Connection, drafts: Sequence[Draft[Any]], by: str) -> list[Job[Any]]:
    """Store drafts, all or none, and return their handles."""
    parent = _runtime.parent()
    new = [new_job(draft, by, parent) for draft in drafts]
    answers = _runtime.enqueue(connection, new)
    found = [
        Job(connection, draft._plan.codec, draft._plan.fn, answer, job)
        for draft, job, answer in zip(drafts, new, answers, strict=True)
    ]
    known = [job for job, answer in zip(found, answers, strict=True) if answer.existing or answer.state not in _FRESH]
    if known:
        _look_up(connection, known)
    return found


def _look_up(connection: Connection, jobs: list[Job[Any]]) -> None:
    """Take the whole record of jobs that were stored before, or ran at once: what was just passed may not be what stands there."""
    with connection as store:
        records = {record.id: record for record in store.get([job.id for job in jobs])}
    for job in jobs:
        if job.id not in records:
            raise not_found(job.id, connection)
        job._found(records[job.id])


def batches(drafts: Iterable[Draft[Any]], size: int, source: Source) -> Iterator[Batch]:
    """Read drafts lazily, ``size`` at a time. Raises ``BatchFailed`` where reading fails; what was read of that batch is dropped."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise BadOption(f"batch= takes a whole number of at least 1, not {size!r}.")
    first, group = 0, []
    reader = iter(drafts)
    while True:
        index = first + len(group)
        try:
            draft = next(reader)
            _check(draft, source)
        except StopIteration:
            break
        except Exception as error:
            raise _failed(first, index, f"reading draft {index} failed: {error}") from error
        group.append(draft)
        if len(group) == size:
            yield Batch(first, group)
            first, group = first + size, []
    if group:
        yield Batch(first, group)


def _check(draft: object, source: Source) -> None:
    if not isinstance(draft, Draft):
        raise TypeError(f"enqueue_many takes drafts, made by queue.draft(fn, …), not {draft!r:.80}")
    if draft._plan.source != source:
        raise BadOption(f"{draft!r} was made for another store than this queue's.")


def store(batch: Batch, put_all: Callable[[list[Draft[Any]]], list[Job[Any]]]) -> list[Job[Any]]:
    """Store one batch; raise ``BatchFailed`` if that fails."""
    try:
        return put_all(batch.drafts)
    except Exception as error:
        raise _failed(batch.first, batch.first, f"storing drafts from {batch.first} failed: {error}") from error


def _failed(stored: int, index: int, what: str) -> BatchFailed:
    return BatchFailed(
        f"{what}\n  {stored:,} jobs before it are stored; nothing from number {stored} on is.",
        stored=stored,
        index=index,
    )


# -- the throttle -------------------------------------------------------------------------------------------------------
def piece(batch: int, keep: int | None) -> int:
    """Return how many drafts go in one batch so that ``keep`` can hold: half of it, the part that room is waited for."""
    if keep is None:
        return batch
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise BadOption(f"keep= takes a whole number of at least 1, not {keep!r}.")
    return min(batch, max(1, keep - keep // 2))


def wait_for_room(connection: Connection, queue: str, keep: int, coming: int) -> None:
    """Wait, if ``coming`` more would be too many, until at most half of ``keep`` are unstarted."""
    if unstarted(connection, queue) + coming <= keep:
        return
    while unstarted(connection, queue) > keep // 2:
        time.sleep(_LOOK)


async def await_room(connection: Connection, queue: str, keep: int, coming: int) -> None:
    """Do what ``wait_for_room`` does, without a thread."""
    import asyncio

    if await _runtime.aside(lambda: unstarted(connection, queue)) + coming <= keep:
        return
    while await _runtime.aside(lambda: unstarted(connection, queue)) > keep // 2:
        await asyncio.sleep(_LOOK)


def unstarted(connection: Connection, queue: str) -> int:
    """Return how many jobs of the queue wait for their first run."""
    with connection as opened:
        return sum(each.counts.get(state, 0) for each in opened.queues([queue]) for state in _UNSTARTED)  # type: ignore[call-overload]


def fresh(answer: Enqueued) -> bool:
    """Tell whether a job was stored by this very call and waits."""
    return not answer.existing and answer.state in _FRESH
