"""A worker that is only paused does not hold its jobs up, except those that hold something: they may still run there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packhorse import _rescue
from packhorse._record import Mode, NewJob, WorkerRecord
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._worker import mailbox as m
from packhorse._worker.lock import WorkerLock, proves_alive
from packhorse._worker.rescuing import Rescuing

HOST, PATIENCE = "ash", 20.0
HOLDS: list[tuple[Mode, str]] = [("x", "disk"), ("s", "shelf"), ("l", "pool")]


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(open_store(f"memory://{uuid.uuid4().hex}")) as found:
        yield found


@pytest.fixture
def lock(tmp_path: Path) -> WorkerLock:
    return WorkerLock(str(tmp_path), "w")


def declared_dead(store: Store, lock: WorkerLock, host: str = HOST) -> list[str]:
    """Let a worker have one job that holds nothing and one of each that does, and be found dead by its beats."""
    store.register(
        WorkerRecord(id="w", name="w", host=host, pid=1, boot_id="b", lock_path=lock.path, lock_inode=lock.inode)
    )
    store.set_limits({"pool": "3"})
    jobs = [NewJob(str(uuid.uuid4()), "m:f", "q", "[[],{}]", holds=(hold,)) for hold in HOLDS]
    store.enqueue([NewJob(str(uuid.uuid4()), "m:f", "q", "[[],{}]"), *jobs])
    store.admit()
    claimed = [store.claim(["q"], 1, 0, "w", n).jobs[0].id for n in range(4)]
    assert store.condemn("w", 0)
    return claimed


def states(store: Store, jobs: list[str]) -> list[str]:
    return [job.state for job in store.get(jobs)]


def rescuing(beats: int = 0) -> tuple[Rescuing, _rescue.Spaced]:
    spaced = _rescue.Spaced()
    spaced.count = beats
    return Rescuing(HOST, m.Mailbox(), spaced, PATIENCE), spaced


def test_what_holds_something_stays_until_the_paused_worker_ends(store: Store, lock: WorkerLock) -> None:
    jobs = declared_dead(store, lock)
    rescue, beats = rescuing()
    rescue.rescue(store)
    beats.count += 1000
    rescue.rescue(store)
    assert states(store, jobs) == ["queued", "running", "running", "running"]
    assert rescue.waits
    lock.release(remove=False)
    rescue.rescue(store)
    assert states(store, jobs) == ["queued"] * 4
    assert not Path(lock.path).exists()
    rescue.rescue(store)
    assert not rescue.waits


def test_one_that_answers_again_gives_its_lock_up_and_the_beats_decide(store: Store, lock: WorkerLock) -> None:
    jobs = declared_dead(store, lock)
    rescue, beats = rescuing()
    rescue.rescue(store)
    lock.release()
    rescue.rescue(store)
    assert states(store, jobs) == ["queued", "running", "running", "queued"]
    beats.count += _rescue.further_beats(PATIENCE)
    rescue.rescue(store)
    assert states(store, jobs) == ["queued"] * 4


def test_nothing_is_known_of_a_worker_elsewhere(store: Store, lock: WorkerLock) -> None:
    jobs = declared_dead(store, lock, host="elm")
    rescue, beats = rescuing()
    rescue.rescue(store)
    assert states(store, jobs) == ["queued", "running", "running", "queued"]
    beats.count += _rescue.further_beats(PATIENCE)
    rescue.rescue(store)
    assert states(store, jobs) == ["queued"] * 4


def test_a_lock_proves_life_only_while_it_is_held(lock: WorkerLock) -> None:
    worker = WorkerRecord(id="w", name="w", host=HOST, pid=1, boot_id="b", lock_path=lock.path, lock_inode=lock.inode)
    assert proves_alive(worker, HOST)
    assert not proves_alive(worker, "elm")
    assert not proves_alive(worker._replace(lock_inode=lock.inode + 1), HOST)
    lock.release(remove=False)
    assert not proves_alive(worker, HOST)
