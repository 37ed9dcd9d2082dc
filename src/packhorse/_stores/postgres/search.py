"""Which jobs a filter means, newest or oldest first, without reading many that it does not mean.

There is no index on every state: on the way from queued over running to succeeded no index is to be touched. So the queued
are found in the table of the ready, the running by their claims, those on the shelf by an index, and the others by walking
along all jobs of their kinds.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from itertools import islice

from ..._record import STATES, JobRecord, State
from ..._store import JobFilter, Page
from .link import Link
from .rows import Rows
from .states import NUMBER, QUEUED, RUNNING, SUCCEEDED

_PATIENCE = 0.3
_END = 1 << 62
_WINDOW = 2000
#: So many queued jobs are gathered and sorted; where there are more, all jobs are walked along.
_MANY = 50_000


class Searching(Rows):
    """The verb that finds, and the choice of jobs for those that change."""

    def find(self, which: JobFilter, limit: int = 50, after: int | None = None) -> Page:
        """Return matching jobs, newest (largest ``seq``) first, from below ``after``."""

        def act(link: Link) -> Page:
            self._require(link)
            return self._find(link, which, limit, after)

        return self._attempted(act)

    def _find(self, link: Link, which: JobFilter, limit: int, after: int | None) -> Page:
        deadline = time.monotonic() + _PATIENCE
        total = int(self._rows(link, "search", "total", self._ns)[0][0])
        found: list[JobRecord] = []
        searched, last = 0, after
        for seqs in _in_parts(self._seqs(link, which, newest=True, start=after), max(limit, 50) + 1):
            for row in reversed(self._whole(link, seqs)):
                job = row.job
                if which.fits(job):
                    if len(found) == limit:
                        return Page(found, last, searched, total)
                    found.append(job)
                searched += 1
                last = job.seq
            if time.monotonic() > deadline:
                return Page(found, last if last is not None else _END, searched, total)
        return Page(found, None, total, total)

    def _choose(self, link: Link, which: JobFilter, states: Sequence[State], limit: int) -> list[JobRecord]:
        """Return the first matching jobs in these states, oldest first."""
        wanted = tuple(state for state in states if not which.states or state in which.states)
        found: list[JobRecord] = []
        if not wanted:
            return found
        narrowed = which._replace(states=wanted)
        for seqs in _in_parts(self._seqs(link, narrowed, newest=False, start=None), 500):
            found += (row.job for row in self._whole(link, seqs) if narrowed.fits(row.job))
            if len(found) >= limit:
                break
        return found[:limit]

    def _seqs(self, link: Link, which: JobFilter, *, newest: bool, start: int | None) -> Iterator[int]:
        """Yield the numbers of candidates in order."""
        first = (_END if newest else -1) if start is None else start
        if which.ids:
            ids = list(dict.fromkeys(which.ids))
            return _from([row[0] for row in self._rows(link, "search", "by_id", self._ns, ids)], first, newest)
        if which.flow is not None:
            rows = self._rows(link, "search", "members", self._ns, which.flow)
            return _from([row[0] for row in rows], first, newest)
        kinds = [row[0] for row in self._rows(link, "search", "kinds", self._ns, which.task, which.queue)]
        if not kinds:
            return iter(())
        states = {NUMBER[state] for state in which.states or STATES}
        if len(states) == len(STATES):
            return self._walk(link, kinds, states, first, newest)
        return heapq.merge(*self._streams(link, kinds, states, first, newest), reverse=newest)

    def _streams(
        self, link: Link, kinds: list[int], states: set[int], first: int, newest: bool
    ) -> Iterator[Iterator[int]]:
        walked = states & {SUCCEEDED}
        if RUNNING in states:
            yield _from([row[0] for row in self._rows(link, "search", "running", self._ns, kinds)], first, newest)
        if QUEUED in states:
            seqs = [row[0] for row in self._rows(link, "search", "queued", kinds, _MANY)]
            if len(seqs) < _MANY:
                yield _from(seqs, first, newest)
            else:
                walked = walked | {QUEUED}
        shelved = states - {QUEUED, RUNNING, SUCCEEDED}
        if shelved:
            yield self._shelf(link, kinds, sorted(shelved), first, newest)
        if walked:
            yield self._walk(link, kinds, walked, first, newest)

    def _shelf(self, link: Link, kinds: list[int], states: list[int], place: int, newest: bool) -> Iterator[int]:
        name, size = "shelf_down" if newest else "shelf_up", 100
        while True:
            rows = self._rows(link, "search", name, kinds, place, size, states)
            yield from (row[0] for row in rows)
            if len(rows) < size:
                return
            place, size = rows[-1][0], _WINDOW

    def _walk(self, link: Link, kinds: list[int], states: set[int], place: int, newest: bool) -> Iterator[int]:
        """Walk along all jobs of these kinds, a stretch at a time."""
        name, size = "walk_down" if newest else "walk_up", 100
        while True:
            rows = self._rows(link, "search", name, kinds, place, size)
            yield from (row[0] for row in rows if row[1] in states)
            if len(rows) < size:
                return
            place, size = rows[-1][0], _WINDOW


def _from(seqs: list[int], first: int, newest: bool) -> Iterator[int]:
    return (seq for seq in sorted(seqs, reverse=newest) if (seq < first if newest else seq > first))


def _in_parts(seqs: Iterator[int], first: int) -> Iterator[list[int]]:
    """Yield lists of numbers; short ones first, since most pages are filled by the first."""
    size = first
    while part := list(islice(seqs, size)):
        yield part
        size = 500
