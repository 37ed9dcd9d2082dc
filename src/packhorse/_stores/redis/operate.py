"""What people do with jobs: cancel, requeue, delete.

Jobs are chosen first; the script that changes them looks again at the state of each, and passes over those that have become
something that was not meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from ..._record import FINAL, STATES, WAITING, JobRecord, State
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from .search import Searching
from .states import letters, micros

_REQUEUED: frozenset[State] = FINAL | {"scheduled", "retrying"}


class Operating(Searching):
    """The verbs of people."""

    def cancel(self, which: JobFilter, *, by: str = "", reason: str = "", dry: bool = False) -> Changed:
        """Cancel waiting jobs at once; ask for it where they run. An empty filter is refused."""
        _refuse_empty(which, "cancel")
        meant = _meant(which, WAITING | {"running"})
        movable = self._to_cancel(which)
        refused = _ids(self.choose(which, _in_order(FINAL), BATCH))
        numbers = [job.seq for job in movable[:BATCH]]
        changed, done, asked = self._run(
            "cancel", by, reason or "cancelled", letters(meant), "dry" if dry else "", *numbers
        )
        self._did(changed)
        return Changed(tuple(done), tuple(asked), refused, len(movable) > BATCH)

    def _to_cancel(self, which: JobFilter) -> list[JobRecord]:
        """Return the jobs to cancel, oldest first. Of those that were asked already none takes the place of another."""
        waiting = self.choose(which, _in_order(WAITING), BATCH + 1)
        running = self.choose(which, ("running",), 10 * BATCH)
        fresh = [job for job in running if job.cancel_at is None]
        first = sorted([*waiting, *fresh], key=lambda job: job.seq)
        asked = [job for job in running if job.cancel_at is not None]
        return first if len(first) > BATCH else [*first, *asked[: BATCH - len(first)]]

    def requeue(self, which: JobFilter, *, delay: float = 0.0, by: str = "", dry: bool = False) -> Changed:
        """Make ended jobs run again, and scheduled or retrying ones run now (or after ``delay``)."""
        _refuse_empty(which, "requeue")
        movable, answer = self._movable(which, _REQUEUED)
        if dry or not movable:
            return answer
        done = self._run("requeue", micros(max(delay, 0)), letters(_meant(which, _REQUEUED)), *movable)
        self._did(1 if done else 0)
        return answer._replace(done=tuple(done))

    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs. Running ones are refused. An empty filter is refused."""
        _refuse_empty(which, "delete")
        states: frozenset[State] = FINAL | WAITING
        movable, answer = self._movable(which, states)
        if dry or not movable:
            return answer
        done = self._run("delete", letters(_meant(which, states)), *movable)
        self._did(1 if done else 0)
        return answer._replace(done=tuple(done))

    def _movable(self, which: JobFilter, states: frozenset[State]) -> tuple[list[int], Changed]:
        movable = self.choose(which, _in_order(states), BATCH + 1)
        refused = self.choose(which, _in_order(frozenset(STATES) - states), BATCH)
        numbers = [job.seq for job in movable[:BATCH]]
        return numbers, Changed(done=_ids(movable[:BATCH]), refused=_ids(refused), more=len(movable) > BATCH)


def _meant(which: JobFilter, states: frozenset[State]) -> Sequence[State]:
    return [state for state in _in_order(states) if not which.states or state in which.states]


def _in_order(states: frozenset[State]) -> Sequence[State]:
    return [state for state in STATES if state in states]


def _ids(jobs: Iterable[JobRecord]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs)


def _refuse_empty(which: JobFilter, verb: Literal["cancel", "requeue", "delete"]) -> None:
    if which.empty:
        raise BadOption(
            f"{verb} was given no condition, which would mean every job; nothing was changed. "
            "Name ids, a queue, a state or another condition."
        )
