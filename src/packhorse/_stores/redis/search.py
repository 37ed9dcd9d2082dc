"""Which jobs a filter means, newest or oldest first, without reading many that it does not mean.

Jobs that rest in a state are kept by kind and state in the order of their numbers; those that run, and the queued ones of a
line while they are few, are sorted here. Everything else is looked at number by number, a stretch at a time.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ..._record import FINAL, STATES, JobRecord, State
from ..._store import JobFilter, Page
from .look import Looking
from .migrate import FIRST
from .records import SEP
from .states import LETTERS

_PATIENCE = 0.3
_STRETCH = 500
#: So few queued jobs are sorted, of more than so many never all; between these, unless one in so many is queued.
_FEW, _MANY, _DENSE = 2000, 100_000, 100
#: All numbers are read when there are so few jobs: what was deleted leaves gaps, which may be wide.
_SMALL = 5000


class _Plan(NamedTuple):
    """What a search knows before it begins."""

    last: int  #: the newest number given
    total: int
    queued: dict[str, int]  #: by queue
    kinds: dict[str, tuple[str, str]]
    lines: dict[str, list[str]]  #: queue → it and its side lines


class Searching(Looking):
    """The verb that finds, and the choice of jobs for those that change."""

    def find(self, which: JobFilter, limit: int = 50, after: int | None = None) -> Page:
        """Return matching jobs, newest (largest ``seq``) first, from below ``after``."""
        deadline = time.monotonic() + _PATIENCE
        plan = self._plan()
        found: list[JobRecord] = []
        searched, last = 0, after
        for jobs, looked_to in self._candidates(which, plan, after, newest=True, first=max(limit, 50) + 1):
            for job in jobs:
                if not which.fits(job):
                    searched += 1
                elif len(found) == limit:
                    return Page(found, last, searched, plan.total)
                else:
                    found.append(job)
                    searched += 1
                last = job.seq
            last = looked_to
            if time.monotonic() > deadline:
                return Page(found, last, min(searched, plan.total), plan.total)
        return Page(found, None, plan.total, plan.total)

    def choose(self, which: JobFilter, states: Sequence[State], limit: int) -> list[JobRecord]:
        """Return the first matching jobs in these states, oldest first."""
        wanted = tuple(state for state in states if not which.states or state in which.states)
        found: list[JobRecord] = []
        if not wanted:
            return found
        narrowed = which._replace(states=wanted)
        for jobs, _ in self._candidates(narrowed, self._plan(), None, newest=False, first=_STRETCH):
            found += (job for job in jobs if narrowed.fits(job))
            if len(found) >= limit:
                break
        return found[:limit]

    def _plan(self) -> _Plan:
        last, counts, names = self._run("overview")
        numbers = list(zip(counts[::2], map(int, counts[1::2]), strict=True))
        kinds: dict[str, tuple[str, str]] = {}
        lines: dict[str, list[str]] = {}
        for name, text in zip(names[::2], names[1::2], strict=True):
            if name[0] == "n":
                queue, _, task = text.partition(SEP)
                kinds[name[1:]] = (queue, task)
            elif name[0] == "l":
                lines.setdefault(name[1:].partition("#")[0], []).append(name[1:])
        self._kinds.update(kinds)
        queued = {field[:-2]: count for field, count in numbers if field[-1] == "q"}
        return _Plan(int(last), sum(count for _, count in numbers), queued, kinds, lines)

    # -- candidates ---------------------------------------------------------------------------------------------
    def _candidates(
        self, which: JobFilter, plan: _Plan, after: int | None, *, newest: bool, first: int
    ) -> Iterator[tuple[list[JobRecord], int]]:
        """Yield jobs in order, in parts, each with the number up to which it has looked."""
        if which.ids:
            jobs = self._records(self._run("get", *dict.fromkeys(which.ids)))
            jobs.sort(key=lambda job: job.seq, reverse=newest)
            yield [job for job in jobs if after is None or job.seq < after], 0
            return
        start = after if after is not None else (plan.last + 1 if newest else FIRST)
        seqs = self._seqs(which, plan, start, newest)
        if seqs is None:
            yield from self._stretches(plan, start, newest)
            return
        for part in _in_parts(seqs, first):
            yield self._records(self._run("records", *part)), part[-1]

    def _seqs(self, which: JobFilter, plan: _Plan, start: int, newest: bool) -> Iterator[int] | None:
        """Return the numbers of candidates in order; None: all there are have to be looked at."""
        if which.flow is not None:
            return self._members(which.flow, which.states or STATES, start, newest)
        if not which.states and which.queue is None and which.task is None:
            return self._all(start, newest) if plan.total <= _SMALL else None
        kinds = {
            kind: queue
            for kind, (queue, task) in plan.kinds.items()
            if which.queue in (None, queue) and which.task in (None, task)
        }
        states = dict.fromkeys(which.states or STATES)
        queues = set(kinds.values())
        if "queued" in states and _is_walk_shorter(sum(plan.queued.get(q, 0) for q in queues), plan.total):
            return None
        streams: list[Iterator[int]] = []
        for state in states:
            if state == "queued":
                lines = [line for queue in queues for line in plan.lines.get(queue, ())]
                streams.append(_from(self._run("unresting", "q", *lines), start, newest))
            elif state == "running":
                streams.append(_from(self._run("unresting", "r"), start, newest))
            elif kinds:
                streams += self._resting(list(kinds), LETTERS[state], start, newest)
        return heapq.merge(*streams, reverse=newest)

    def _all(self, start: int, newest: bool) -> Iterator[int]:
        return _from(self._run("numbers"), start, newest)

    def _members(self, flow: str, states: Sequence[State], start: int, newest: bool) -> Iterator[int]:
        """Return the numbers of a flow's members: they are kept by how they ended, those that have not ("u") together."""
        classes = dict.fromkeys(LETTERS[state] if state in FINAL else "u" for state in states)
        return heapq.merge(
            *(stream for each in classes for stream in self._resting([flow], f"flow{each}", start, newest)),
            reverse=newest,
        )

    def _resting(self, kinds: list[str], state: str, start: int, newest: bool) -> list[Iterator[int]]:
        answers = self._run("resting", state, "down" if newest else "up", start, 50, *kinds)
        return [
            self._rest_of_kind(kind, state, newest, bool(all_of_them), _ordered(seqs, newest))
            for kind, (all_of_them, seqs) in zip(kinds, answers, strict=True)
        ]

    def _rest_of_kind(self, kind: str, state: str, newest: bool, all_of_them: bool, seqs: list[int]) -> Iterator[int]:
        """Yield what was read of a kind, and read on."""
        while True:
            yield from seqs
            if all_of_them or not seqs:
                return
            answer = self._run("resting", state, "down" if newest else "up", seqs[-1], _STRETCH, kind)
            all_of_them, seqs = bool(answer[0][0]), _ordered(answer[0][1], newest)

    def _stretches(self, plan: _Plan, start: int, newest: bool) -> Iterator[tuple[list[JobRecord], int]]:
        """Look at all numbers, a stretch at a time."""
        place, way = start, "down" if newest else "up"
        while place > FIRST if newest else place < plan.last:
            found = self._run("records", way, place, _STRETCH)
            place += -_STRETCH if newest else _STRETCH
            # The last of the stretch is place itself, in both directions.
            yield self._records(found), place


def _ordered(seqs: list[str], newest: bool) -> list[int]:
    return sorted(map(int, seqs), reverse=newest)


def _from(seqs: list[str], start: int, newest: bool) -> Iterator[int]:
    return (seq for seq in _ordered(seqs, newest) if (seq < start if newest else seq > start))


def _is_walk_shorter(queued: int, total: int) -> bool:
    return queued > _MANY or (queued > _FEW and queued * _DENSE > total)


def _in_parts(seqs: Iterator[int], first: int) -> Iterator[list[int]]:
    """Yield lists of numbers; short ones first, since most pages are filled by the first."""
    size = min(first, _STRETCH * 2)
    while part := list(islice(seqs, size)):
        yield part
        size = _STRETCH
