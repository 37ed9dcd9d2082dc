"""The jobs that the running one has waited for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from . import _identity, _runtime
from ._codec import PLAIN, Codec
from ._current import Running
from ._job import Job
from ._record import JobRecord
from ._rules import parents
from ._store import JobFilter

#: So many are read at a time.
_PAGE = 100


class Parent(NamedTuple):
    """One of them, as ``current_job().parents()`` yields it."""

    job: Job[Any]
    outcome: str  #: "succeeded", "failed" or "cancelled"
    result: (
        Any  #: what it returned; None if it did not succeed, or its result is not stored: ``job.result()`` tells which
    )


def parents_of(run: Running) -> Iterator[Parent]:
    """Yield the jobs that a run has waited for, read page by page: first those of ``after``, then the flow, newest first."""
    codec = run.encoder.codec if run.encoder is not None else PLAIN
    (mine,) = _runtime.records([run.job.id])
    named = parents(mine.after)
    for start in range(0, len(named), _PAGE):
        yield from _told(_runtime.records(named[start : start + _PAGE]), codec)
    seen = {mine.id, *named}
    for page in _members(mine.after_flow) if mine.after_flow is not None else ():
        # Who waits for the same flow was not waited for.
        others = [each for each in page if each.id not in seen and each.after_flow != mine.after_flow]
        yield from _told(others, codec)


def _members(flow: str) -> Iterator[Sequence[JobRecord]]:
    below: int | None = None
    while True:
        with _runtime.here() as store:
            page = store.find(JobFilter(flow=flow), _PAGE, below)
        yield page.jobs
        if page.next is None:
            return
        below = page.next


def _told(records: Sequence[JobRecord], codec: Codec) -> Iterator[Parent]:
    for record in records:
        job = Job[Any](_runtime.here(), codec, _function(record.task), record)
        kept = record.state == "succeeded" and record.result is not None
        yield Parent(job, record.state, job.result() if kept else None)


def _function(task: str) -> Callable[..., Any] | None:
    """Return the function, whose annotation rebuilds the result, if this process has it."""
    found = _identity.declared(task)
    if found is None and task.partition(":")[0] in sys.modules:
        try:
            found = _identity.resolve(task)
        except Exception:  # whatever happens at import in the users' modules
            return None
    return None if found is None else _identity.unwrap(found)
