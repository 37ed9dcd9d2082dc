"""Stores to be moved, and what must hold of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from packhorse._closed import Closed, read
from packhorse._move import Move
from packhorse._outcome import released
from packhorse._record import Claimed, JobRecord, NewJob, Parcel, WorkerRecord
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock
from tests.conformance.making import settle
from tests.conformance.test_moving import bare, everything, fill


class Watcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.done: list[int] = []
        self.waited: list[int] = []

    def step(self, what: str, total: int | None = None) -> None:
        self.steps.append(what)

    def went(self, jobs: int) -> None:
        self.done.append(jobs)

    def waits(self, running: int, some: Sequence[JobRecord], workers: Sequence[WorkerRecord]) -> None:
        self.waited.append(running)


def mover(source: Store, target: Store, **options: object) -> Move:
    return Move(source, target, Watcher(), **options)  # type: ignore[arg-type]


def fill_with_ended_lives(store: Store, clock: SettableClock) -> int:
    """Store jobs with every kind of past, none of them running; return how many."""
    fill(store, clock)
    put_back(store)
    return len(everything(store))


def put_back(store: Store) -> None:
    """Release whatever runs."""
    records = store.find(JobFilter(states=("running",)), 1000).jobs
    jobs = [Claimed(**{name: getattr(record, name) for name in Claimed._fields}) for record in records]
    settle(store, *[released(job) for job in jobs])


def enqueue(store: Store, number: int = 1, **more: object) -> list[str]:
    jobs = [NewJob(str(uuid.uuid4()), "m:f", "mail", "[[], {}]", **more) for _ in range(number)]  # type: ignore[arg-type]
    return [answer.id for answer in store.enqueue(jobs)]


def same(source: Store, target: Store) -> bool:
    """Tell whether both have the same jobs, in the same order."""
    return bare(everything(source)) == bare(everything(target))


def ids(parcels: list[Parcel]) -> list[str]:
    return [parcel.job.id for parcel in parcels]


def why_closed(store: Store) -> Closed | None:
    text = store.frozen()
    return None if text is None else read(text)


def how(store: Store) -> str:
    """Return "open", or how it is closed."""
    closed = why_closed(store)
    return "open" if closed is None else closed.how
