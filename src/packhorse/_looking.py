"""Jobs with how they last ran, page by page: what an index cannot answer is found by looking at one job after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Any, NamedTuple

from ._record import BATCH, AttemptRecord, JobRecord, State
from ._store import JobFilter, Page, Store
from ._told import last_attempt

#: So many jobs are held in memory at a time.
PAGE = 1000


class Seen(NamedTuple):
    """One job, and its last ended run."""

    job: JobRecord
    attempt: AttemptRecord | None
    host: str | None  #: where it runs, or ran last; None: it never did, or its worker is forgotten

    @property
    def usage(self) -> Mapping[str, Any]:
        """Return what was told of its last run: ``exit``, ``signal``, ``cpu``, ``peak`` and so on."""
        found = json.loads(self.attempt.usage) if self.attempt is not None and self.attempt.usage else None
        return found if isinstance(found, dict) else {}

    @property
    def exit(self) -> int | str | None:
        """Return the exit status of the command's last run, or the name of the signal that ended it; None of what is no command
        or never ran."""
        usage = self.usage
        found = usage.get("exit") if usage.get("exit") is not None else usage.get("signal")
        return found if isinstance(found, (int, str)) else None


class Wanted(NamedTuple):
    """Conditions that no store can answer by itself, since they are about the last run."""

    hosts: frozenset[str] = frozenset()
    exits: frozenset[str] = frozenset()  #: exit statuses and names of signals

    def fits(self, seen: Seen) -> bool:
        """Tell whether all conditions given hold."""
        return (not self.hosts or seen.host in self.hosts) and (not self.exits or str(seen.exit) in self.exits)


class Meant(NamedTuple):
    """Which jobs are meant: those that fit one of the filters (of several batches, one each), and ran as wanted."""

    filters: tuple[JobFilter, ...] = (JobFilter(),)
    wanted: Wanted = Wanted()

    @property
    def empty(self) -> bool:
        """Tell whether every job is meant."""
        return self == Meant()

    def among(self, states: Sequence[State]) -> Meant:
        """Return the same, where no states are named, of jobs in these only."""
        return self._replace(
            filters=tuple(each if each.states else each._replace(states=tuple(states)) for each in self.filters)
        )

    def pieces(self, store: Store) -> Iterator[JobFilter]:
        """Yield filters that together mean these jobs, for verbs of the store, which know one filter and no last runs."""
        if len(self.filters) == 1 and self.wanted == Wanted():
            yield self.filters[0]
            return
        # All are found before the first piece is given: what is done to some must not change which others are meant.
        found = [seen.job.id for part in look(store, self) for seen in part.found]
        for start in range(0, len(found), BATCH):
            yield JobFilter(ids=tuple(found[start : start + BATCH]), states=self.filters[0].states)


class Part(NamedTuple):
    """What one look at the store has found: newest first."""

    found: list[Seen]
    next: int | None  #: where to go on; None: that was all
    searched: int  #: of ``total`` jobs, so many were looked at
    total: int


def look(store: Store, meant: Meant, limit: int = PAGE, after: int | None = None) -> Iterator[Part]:
    """Yield what is meant, newest first, in parts of at most ``limit`` jobs; whoever has enough stops asking."""
    hosts = {worker.id: worker.host for worker in store.workers(dead=True)}
    pages = _pages if len(meant.filters) == 1 else _merged
    for page in pages(store, meant.filters, limit, after):
        found = [seen for seen in _seen(store, page.jobs, hosts) if meant.wanted.fits(seen)]
        yield Part(found, page.next, page.searched, page.total)


def _pages(store: Store, filters: Sequence[JobFilter], limit: int, after: int | None) -> Iterator[Page]:
    (which,) = filters
    while True:
        page = store.find(which, limit, after)
        yield page
        if page.next is None:
            return
        after = page.next


def _merged(store: Store, filters: Sequence[JobFilter], limit: int, after: int | None) -> Iterator[Page]:
    """Yield pages of the jobs that fit one of several filters, which exclude each other."""
    total = max(store.find(which, 1, after).total for which in filters)
    size = max(10, limit // len(filters))  # that many of each are in memory
    streams = [(job for page in _pages(store, [which], size, after) for job in page.jobs) for which in filters]
    jobs: list[JobRecord] = []
    for job in merge(*streams, key=lambda job: -job.seq):
        if len(jobs) == limit:
            yield Page(jobs, jobs[-1].seq, len(jobs), total)
            jobs = []
        jobs.append(job)
    yield Page(jobs, None, total, total)


def seen_of(store: Store, job: str) -> Seen | None:
    """Return one job and its last run; None: it is not stored."""
    hosts = {worker.id: worker.host for worker in store.workers(dead=True)}
    return next(_seen(store, store.get([job]), hosts), None)


def _seen(store: Store, jobs: list[JobRecord], hosts: Mapping[str, str]) -> Iterator[Seen]:
    rows = {row.job: row for row in store.last_attempts([job.id for job in jobs])} if jobs else {}
    for job in jobs:
        attempt = last_attempt(job, rows.get(job.id), hosts)
        host = hosts.get(job.worker or "") if job.state == "running" else attempt.host if attempt else None
        yield Seen(job, attempt, host)
