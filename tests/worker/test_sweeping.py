"""The sweep of each minute: who does it, how often, and what it says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse._outcome import succeeded
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._sweep import Swept
from packhorse._worker import sweeping
from packhorse._worker.config import WorkerConfig
from packhorse._worker.identity import Identity
from packhorse._worker.sweeping import EVERY, Sweeping
from tests.conformance.forgetting import FORGET
from tests.conformance.making import admit, join, put, reserving, settle, state, take


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/jobs.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def mine(store: Store) -> Sweeping:
    """The only worker's."""
    identity = Identity(WorkerConfig(), "0")
    store.register(identity.record())
    return Sweeping(identity)


class Long:
    """A store in which so many wait that a sweep has several pieces."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[int | None] = []
        self.workers = store.workers

    def sweep(self, after: int | None, limit: int) -> Swept:
        self.asked.append(after)
        return Swept((), (after or 0) + 1 if len(self.asked) < 3 else None)


def test_a_new_worker_does_not_begin_with_it_and_not_all_at_once() -> None:
    dues = {Sweeping(Identity(WorkerConfig(), "0")).due for _ in range(20)}
    now = sweeping.monotonic()
    assert all(now < due <= now + EVERY for due in dues)
    assert len(dues) > 10


def test_a_forgotten_job_is_told_and_goes(store: Store, mine: Sweeping, caplog: pytest.LogCaptureFixture) -> None:
    worker, _, second = join(store), put(store, **reserving("box")), put(store, **reserving("box"))
    store.leave(worker)
    worker = mine._identity.id
    admit(store)
    (job,) = take(store, worker)
    settle(store, succeeded(job, "3"))
    FORGET["sqlite"](store)
    assert admit(store) == (0, 0)
    with caplog.at_level(logging.WARNING):
        assert mine.look(store, 100.0)
    assert f"1 waiting job was forgotten, with nothing in the way ({second})" in caplog.text
    assert mine.lost == 1
    assert store.freed, "so the worker looks"
    admit(store)
    assert state(store, second) == "queued"
    assert not mine.look(store, 200.0)
    assert mine.lost == 1


def test_it_comes_back_each_minute(store: Store, mine: Sweeping) -> None:
    assert not mine.look(store, sweeping.monotonic())
    assert mine.due == pytest.approx(sweeping.monotonic() + EVERY, abs=1.0)


def test_one_worker_does_it_for_all(store: Store) -> None:
    identities = [Identity(WorkerConfig(name=f"w{n}"), "0") for n in range(3)]
    for identity in identities:
        store.register(identity.record())
    calls = []
    for identity in identities:
        long = Long(store)
        Sweeping(identity).look(long, 100.0)  # type: ignore[arg-type]
        calls.append(len(long.asked))
    first = min(range(3), key=lambda n: identities[n].id)
    assert calls == [int(n == first) for n in range(3)]


def test_pieces_rest_between_and_go_on_where_the_last_ended(store: Store, mine: Sweeping) -> None:
    long = Long(store)
    now = sweeping.monotonic()
    for _ in range(2):
        mine.look(long, now)  # type: ignore[arg-type]
        assert mine.due < now + EVERY
    mine.look(long, now)  # type: ignore[arg-type]
    assert mine.due >= now + EVERY - 1
    assert long.asked == [None, 1, 2]
