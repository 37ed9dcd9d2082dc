"""beat: alive?, cancelled runs, ghosts, lost runs, side lines."""

from __future__ import annotations

import pytest

from packhorse._outcome import lost, succeeded
from packhorse._record import BeatReply
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import T0, beat, die, ids, join, park, put, running, settle, state, take, take_one, the


@pytest.fixture
def worker(store: Store) -> str:
    return join(store)


def test_a_beat_counts_and_tells_the_time(store: Store, worker: str, clock: SettableClock) -> None:
    clock.advance(5)
    assert beat(store, worker) == BeatReply(True, T0 + 5_000_000, [], [], [], [])
    (row,) = store.workers()
    assert (row.beats, row.seen_at, row.started_at) == (1, T0 + 5_000_000, T0)
    beat(store, worker)
    assert store.workers()[0].beats == 2


@pytest.mark.parametrize("how", ["unknown", "dead", "left"])
def test_who_is_no_worker_is_told_so(store: Store, worker: str, how: str) -> None:
    job = running(store, worker)
    store.cancel(ids(job.id))
    if how == "dead":
        die(store, worker)
    elif how == "left":
        store.leave(worker)
    assert beat(store, worker if how != "unknown" else "nobody", [job]) == BeatReply(False, T0, [], [], [], [])


def test_a_dead_worker_beats_in_vain(store: Store, worker: str) -> None:
    job = running(store, worker)
    die(store, worker)
    beat(store, worker)
    (row,) = store.workers(dead=True)
    assert (row.state, row.beats) == ("dead", 0)
    assert state(store, job.id) == "running"


def test_a_stopping_worker_is_alive(store: Store, worker: str) -> None:
    store.stopping(worker)
    assert beat(store, worker).alive
    assert [row.state for row in store.workers()] == ["stopping"]


# -- ghosts ----------------------------------------------------------------------------------------------------------
def test_a_job_whose_claim_never_arrived_is_put_back_uncounted(store: Store, worker: str, clock: SettableClock) -> None:
    job = running(store, worker, priority=4)
    before = the(store, job.id)
    clock.advance(5)
    assert beat(store, worker, claim_no=1).ghosts == [job.id]
    record = the(store, job.id)
    assert (record.state, record.started_at, record.rank, record.attempt) == ("queued", None, before.rank, 1)
    assert store.attempts(job.id) == []
    assert take_one(store, worker, claim_no=2).token != job.token


def test_a_claim_under_way_is_no_ghost(store: Store, worker: str) -> None:
    """It was claimed with call 2, and only call 1 has come back."""
    put(store)
    job = take_one(store, worker, claim_no=2)
    assert beat(store, worker, claim_no=1).ghosts == []
    assert state(store, job.id) == "running"


def test_what_is_held_is_no_ghost(store: Store, worker: str) -> None:
    kept, gone = running(store, worker), running(store, worker)
    assert beat(store, worker, [kept]).ghosts == [gone.id]
    assert (state(store, kept.id), state(store, gone.id)) == ("running", "queued")


def test_to_hold_an_older_claim_of_a_job_is_not_to_hold_it(store: Store, worker: str) -> None:
    job = running(store, worker)
    beat(store, worker, claim_no=1)
    take_one(store, worker, claim_no=2)
    reply = beat(store, worker, [job], claim_no=2)
    assert (reply.ghosts, reply.lost) == ([job.id], [(job.id, job.token)])


def test_the_ghosts_of_others_are_left_alone(store: Store, worker: str) -> None:
    other = join(store, "w2")
    job = running(store, other)
    assert beat(store, worker, claim_no=99).ghosts == []
    assert state(store, job.id) == "running"


def test_a_ghost_whose_cancel_was_requested_is_cancelled(store: Store, worker: str) -> None:
    job = running(store, worker)
    store.cancel(ids(job.id), by="ada", reason="wrong file")
    assert beat(store, worker).ghosts == [job.id]
    record = the(store, job.id)
    assert (record.state, record.finished_at, record.reason) == ("cancelled", T0, "wrong file")


def test_a_repeated_beat_finds_no_ghosts_left(store: Store, worker: str) -> None:
    job = running(store, worker)
    assert beat(store, worker).ghosts == [job.id]
    assert beat(store, worker).ghosts == []


# -- orders ----------------------------------------------------------------------------------------------------------
def test_a_requested_cancel_is_told_with_every_beat(store: Store, worker: str) -> None:
    job, calm = running(store, worker), running(store, worker)
    store.cancel(ids(job.id), reason="wrong file")
    for _ in range(2):
        assert beat(store, worker, [job, calm]).cancelled == [(job.id, job.token, "wrong file")]
    settle(store, succeeded(job, "1"))
    assert beat(store, worker, [calm]).cancelled == []


def test_lost_runs_are_named(store: Store, worker: str) -> None:
    mine, settled, taken, deleted = (running(store, worker) for _ in range(4))
    settle(store, succeeded(settled, "1"), lost(taken, "gone", started=True), succeeded(deleted, "1"))
    store.delete(ids(deleted.id))
    reply = beat(store, worker, [mine, settled, taken, deleted])
    assert sorted(reply.lost) == sorted((job.id, job.token) for job in (settled, taken, deleted))
    assert reply.ghosts == []


def test_a_job_that_another_worker_runs_by_now_is_lost(store: Store, worker: str) -> None:
    job = running(store, worker)
    settle(store, lost(job, "gone", started=True))
    again = take_one(store, join(store, "w2"))
    assert beat(store, worker, [job]).lost == [(job.id, job.token)]
    assert the(store, job.id).token == again.token


def test_side_lines_are_named_as_long_as_jobs_wait_there(store: Store, worker: str) -> None:
    """A resolved line may outlive the worker that resolved it; its queued jobs must not be forgotten."""
    park(store, "tasks:b", worker=worker)
    park(store, "tasks:a", worker=worker)
    assert beat(store, worker).lines == ["mail#tasks:a", "mail#tasks:b"]
    store.resolve(["mail#tasks:a"])
    assert beat(store, worker).lines == ["mail#tasks:a", "mail#tasks:b"]
    take(store, worker, lines=["mail#tasks:a"])
    assert beat(store, worker, claim_no=0).lines == ["mail#tasks:b"]


def test_many_jobs_can_be_held(store: Store, worker: str) -> None:
    for _ in range(1000):
        put(store)
    jobs = take(store, worker, 1000)
    reply = beat(store, worker, jobs[:700])
    assert sorted(reply.ghosts) == sorted(job.id for job in jobs[700:])
    assert reply.lost == []
