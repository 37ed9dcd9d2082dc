"""What people do with jobs: cancel, requeue, delete.

Jobs are chosen first; the script that changes them looks again at the state of each, and passes over those that have become
something that was not meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from ..._record import FINAL, STATES, WAITING, JobRecord, State
from ..._store import BATCH, Changed, JobFilter
from ...errors import BadOption
from .revive import Reviving
from .search import Searching
from .states import letters, micros

_REQUEUED: frozenset[State] = FINAL | {"scheduled", "retrying"}


#: Parts jobs into those that can be moved and the others.
_Part = Callable[[Sequence[JobRecord]], tuple[list[JobRecord], list[JobRecord]]]


class Operating(Reviving, Searching):
    """The verbs of people."""

    def cancel(self, which: JobFilter, *, by: str = "", reason: str = "", dry: bool = False) -> Changed:
        """Cancel waiting jobs at once; ask for it where they run. An empty filter is refused."""
        _refuse_empty(which, "cancel")
        meant = _meant(which, WAITING | {"running"})
        movable = self._to_cancel(which)
        refused = _ids(self.choose(which, _in_order(FINAL), BATCH))
        numbers = [job.seq for job in movable[:BATCH]]
        changed, done, asked, stirred = self._run(
            "cancel", by, reason or "cancelled", letters(meant), "dry" if dry else "", *numbers
        )
        self._did(changed, stirred)
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
        movable, answer = self._movable(which, _REQUEUED, self._with_keys)
        if dry or not movable:
            return answer
        done, stirred, more = self._run("requeue", micros(max(delay, 0)), letters(_meant(which, _REQUEUED)), *movable)
        self._did(1 if done else 0, stirred)
        if more:
            self._revive()
        return answer._replace(done=tuple(done))

    def _with_keys(self, jobs: Sequence[JobRecord]) -> tuple[list[JobRecord], list[JobRecord]]:
        """Part jobs into those whose unique key nobody else holds, of equal ones the first, and the others."""
        wanted = list(dict.fromkeys(job.unique_key or "" for job in jobs if _wants_key(job)))
        if not wanted:
            return list(jobs), []
        parts = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
        found = [seq for part in parts for seq in self._run("keys_held", *part)]
        holders = {key: int(seq) for key, seq in zip(wanted, found, strict=True) if seq}
        movable = []
        for job in jobs:
            if not _wants_key(job) or holders.get(job.unique_key or "", job.seq) == job.seq:
                movable.append(job)
                if _wants_key(job):
                    holders[job.unique_key or ""] = 0  # nobody after it
        moved = {job.seq for job in movable}
        return movable, [job for job in jobs if job.seq not in moved]

    def _places(self, verb: str, words: Sequence[str]) -> set[str]:
        """Return those of some words of which a script says so."""
        parts = [words[start : start + BATCH] for start in range(0, len(words), BATCH)]
        return {part[place] for part in parts for place in self._run(verb, *part)}

    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs. Running ones are refused. An empty filter is refused."""
        _refuse_empty(which, "delete")
        states: frozenset[State] = FINAL | WAITING
        movable, answer = self._movable(which, states, self._without_named)
        if dry or not movable:
            return answer
        done, stirred = self._run("delete", letters(_meant(which, states)), *movable)
        self._did(1 if done else 0, stirred)
        return answer._replace(done=tuple(done))

    def _without_named(self, jobs: Sequence[JobRecord]) -> tuple[list[JobRecord], list[JobRecord]]:
        """Part jobs into those that no job names which has not ended, and the others."""
        named = self._places("named", [job.id for job in jobs])
        return [job for job in jobs if job.id not in named], [job for job in jobs if job.id in named]

    def _movable(self, which: JobFilter, states: frozenset[State], part: _Part) -> tuple[list[int], Changed]:
        """Return the jobs to move, at most a batch, with the answer as far as it is known by then."""
        wanted = BATCH + 1
        while True:
            found = self.choose(which, _in_order(states), wanted)
            movable, kept = part(found)
            if len(movable) > BATCH or len(found) < wanted:
                break
            wanted *= 4  # many that cannot be moved stand before others
        refused = sorted(
            [*self.choose(which, _in_order(frozenset(STATES) - states), BATCH), *kept], key=lambda job: job.seq
        )
        numbers = [job.seq for job in movable[:BATCH]]
        more = len(movable) > BATCH
        return numbers, Changed(done=_ids(movable[:BATCH]), refused=_ids(refused[:BATCH]), more=more)


def _wants_key(job: JobRecord) -> bool:
    """Tell whether a job takes a unique key when it is requeued."""
    return job.state in FINAL and job.unique_key is not None and job.unique_until != "time"


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
