"""Jobs with how they last ran, page by page: what an index cannot answer is found by looking at one job after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ._record import AttemptRecord, JobRecord
from ._store import JobFilter, Store
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


class Part(NamedTuple):
    """What one look at the store has found: newest first."""

    found: list[Seen]
    next: int | None  #: where to go on; None: that was all
    searched: int  #: of ``total`` jobs, so many were looked at
    total: int


def look(store: Store, which: JobFilter, wanted: Wanted, limit: int = PAGE, after: int | None = None) -> Iterator[Part]:
    """Yield what matches, in parts of at most ``limit`` jobs; whoever has enough stops asking."""
    hosts = {worker.id: worker.host for worker in store.workers(dead=True)}
    while True:
        page = store.find(which, limit, after)
        found = [seen for seen in _seen(store, page.jobs, hosts) if wanted.fits(seen)]
        yield Part(found, page.next, page.searched, page.total)
        if page.next is None:
            return
        after = page.next


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
