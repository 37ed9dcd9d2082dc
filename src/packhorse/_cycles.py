"""Jobs that would wait for themselves by way of a flow are refused, as far as that can be told without searching the store.

Who waits for a flow waits until every other member has ended. A member that waits for such a job waits for ever: both do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ._record import FINAL, JobRecord, NewJob
from ._rules import parents
from .errors import BadOption

#: Stored jobs are read by their ids, from parents to their parents, so many times at most, and so many each time.
_ROUNDS, _READ = 4, 1000

Look = Callable[[Sequence[str]], Iterable[JobRecord]]


class _Waits(NamedTuple):
    """What a job that has not ended waits for."""

    after: Sequence[str] = ()
    flow: str | None = None


def refuse_cycles(new: Sequence[NewJob], look: Look | None = None) -> None:
    """Raise ``BadOption`` for a job that waits, directly or not, for one that waits for the flow it belongs to.

    ``look`` returns stored jobs by id; without it only these jobs are looked at. It is asked only if one of them has both a flow
    and parents that are not among them.
    """
    members = [job for job in new if job.after and job.flow is not None and job.after_flow != job.flow]
    if not members:
        return
    known = {job.id: _Waits(job.after, job.after_flow) for job in new}
    if look is not None:
        _read(known, {parent for job in members for parent in job.after}, look)
    found: dict[str, frozenset[str]] = {}
    for job in new:
        _flows(job.id, known, found)
    for job in members:
        for parent in job.after:
            if job.flow in found.get(parent, ()):
                raise _refusal(job, parent)


def _read(known: dict[str, _Waits], ids: Iterable[str], look: Look) -> None:
    """Read the parents of these jobs, and theirs."""
    wanted = {id for id in ids if id not in known}
    for _ in range(_ROUNDS):
        if not wanted:
            return
        known.update((id, _Waits()) for id in wanted)
        records = [record for record in look(sorted(wanted)[:_READ]) if record.state not in FINAL]
        known.update((record.id, _Waits(parents(record.after), record.after_flow)) for record in records)
        wanted = {parent for record in records for parent in known[record.id].after if parent not in known}


def _flows(id: str, known: dict[str, _Waits], found: dict[str, frozenset[str]]) -> None:
    """Find out for which flows a job waits, itself or by way of its parents. Those of one call stand before it."""
    path = [id]
    while path:
        waits = known.get(path[-1], _Waits())
        missing = [parent for parent in waits.after if parent not in found and parent in known and parent not in path]
        if missing:
            path += missing[:1]
            continue
        own = frozenset() if waits.flow is None else frozenset([waits.flow])
        found[path.pop()] = own.union(*(found.get(parent, frozenset()) for parent in waits.after))


def _refusal(job: NewJob, parent: str) -> BadOption:
    return BadOption(
        f"a job of {job.task} would never start: it belongs to the flow {job.flow!r} and waits for job {parent}, which waits, "
        "directly or not, until every other job of that flow has ended. Nothing stored. Give it flow=None, or a flow of its own."
    )
