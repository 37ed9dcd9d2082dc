"""Outcomes whose rows are locked by a transaction of the user's: kept by the supervisor, and settled later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from packhorse._record import Claimed, Settled, Verdict
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._worker import locked
from packhorse._worker import mailbox as m
from packhorse._worker.config import WorkerConfig
from packhorse._worker.held import Held
from packhorse._worker.identity import Identity
from packhorse._worker.locked import Locked
from packhorse._worker.store_thread import StoreThread
from tests.conformance.making import running, state


class Busy:
    """A store where somebody's transaction holds some jobs for the first few calls."""

    def __init__(self, store: Store, held: set[str]) -> None:
        self._store = store
        self.held = held
        self.calls: list[list[str]] = []

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        self.calls.append([verdict.job for verdict in verdicts])
        busy = [Settled(each.job, each.token, "locked", "running") for each in verdicts if each.job in self.held]
        return busy + self._store.settle(worker, [each for each in verdicts if each.job not in self.held])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def mail() -> Iterator[m.Mailbox]:
    box = m.Mailbox()
    yield box
    box.close()


def test_what_is_locked_is_kept_and_the_rest_is_settled(mail: m.Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked, "_FIRST", 0.0)
    store = open_store("memory://")
    jobs = [running(store) for _ in range(3)]
    busy, held = Busy(store, {jobs[1].id}), Held()
    held.claimed(1, jobs)
    thread = StoreThread(lambda: busy, Identity(WorkerConfig(), "0"), None, mail, held)  # type: ignore[arg-type,return-value]
    thread._ended = [_done(job) for job in jobs]
    thread._settle(busy)  # type: ignore[arg-type]
    assert [state(store, job.id) for job in jobs] == ["succeeded", "running", "succeeded"]
    assert held.jobs() == [jobs[1].id]
    assert thread._locked
    assert thread._pause() < 1.0
    thread._store = busy  # type: ignore[assignment]
    thread._idle = True
    thread._work()
    assert busy.calls[1] == [jobs[1].id]
    assert held.jobs() == [jobs[1].id]
    busy.held = set()
    thread._locked.due = 0.0
    thread._work()
    assert state(store, jobs[1].id) == "succeeded"
    assert held.jobs() == []
    assert not thread._locked


def _done(job: Claimed) -> m.Done:
    return job, 1, 2, None


def test_the_pauses_grow_while_there_is_something() -> None:
    kept, pauses = Locked(), []
    for _ in range(8):
        kept.keep([("run",)])  # type: ignore[list-item]
        pauses.append(kept._pause)
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 1.0
    assert len(kept.take()) == 8
    kept.keep([])
    assert kept._pause == 0.05
