"""condemn and orphans: rescue in two steps, each repeatable; the ordinary settle writes what becomes of the jobs."""

from __future__ import annotations

from packhorse._outcome import crashed, lost, succeeded
from packhorse._record import Orphan, Report
from packhorse._store import Store

from .making import ERROR, beat, die, join, new_job, put, running, settle, state, take, take_one, the


def test_a_silent_worker_is_condemned(store: Store) -> None:
    worker = join(store)
    beat(store, worker)
    assert store.condemn(worker, 1)
    assert store.workers() == []
    assert [row.state for row in store.workers(dead=True)] == ["dead"]


def test_who_has_beaten_meanwhile_is_not_condemned(store: Store) -> None:
    worker = join(store)
    beat(store, worker)
    assert not store.condemn(worker, 0)
    assert not store.condemn(worker, 2)
    assert beat(store, worker).alive


def test_condemning_twice_answers_the_same(store: Store) -> None:
    worker = join(store)
    assert store.condemn(worker, 0)
    assert store.condemn(worker, 0)
    assert not store.condemn(worker, 1)


def test_an_unknown_worker_cannot_be_condemned(store: Store) -> None:
    assert not store.condemn("nobody", 0)


def test_a_stopping_worker_can_be_condemned(store: Store) -> None:
    worker = join(store)
    store.stopping(worker)
    assert store.condemn(worker, 0)


def test_a_condemned_worker_can_neither_beat_nor_claim_nor_come_back(store: Store) -> None:
    worker = join(store)
    put(store)
    die(store, worker)
    assert not beat(store, worker).alive
    assert take(store, worker) == []
    store.stopping(worker)
    store.publish(worker, "{}", "{}")
    store.leave(worker)
    assert not beat(store, worker).alive
    assert take(store, worker) == []


def test_the_jobs_of_the_dead_are_orphans(store: Store) -> None:
    worker = join(store, host="elm")
    job = running(store, worker, crash_fails=True, task="m:f")
    assert store.orphans() == []
    die(store, worker)
    orphan = Orphan(job.id, job.token, "m:f", worker, "elm", False, True, 0, 0, 0, 0, 0)
    assert store.orphans() == [orphan]
    assert store.orphans() == [orphan]
    assert state(store, job.id) == "running"


def test_an_orphan_tells_what_happened_to_it_so_far(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "x"))
    again = take_one(store, worker)
    store.report(worker, [Report(again.id, again.token, started=0.1)])
    die(store, worker)
    (orphan,) = store.orphans()
    assert (orphan.started, orphan.crashes, orphan.failures, orphan.token) == (True, 1, 0, again.token)


def test_who_leaves_with_jobs_running_makes_orphans(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    store.leave(worker)
    (orphan,) = store.orphans()
    assert (orphan.job, orphan.worker, orphan.host) == (job.id, worker, None)


def test_the_jobs_of_the_living_are_none(store: Store) -> None:
    live, stopping, dead = join(store, "a"), join(store, "b"), join(store, "c")
    for worker in (live, stopping):
        running(store, worker)
    store.stopping(stopping)
    job = running(store, dead)
    die(store, dead)
    assert [orphan.job for orphan in store.orphans()] == [job.id]


def test_no_more_than_the_limit(store: Store) -> None:
    worker = join(store)
    store.enqueue([new_job() for _ in range(5)])
    jobs = {job.id for job in take(store, worker)}
    die(store, worker)
    first = store.orphans(3)
    assert len(first) == 3
    settle(store, *(lost(orphan, "gone", started=True) for orphan in first))
    assert {orphan.job for orphan in first} | {orphan.job for orphan in store.orphans(3)} == jobs


def test_a_rescue_by_two_is_a_rescue_by_one(store: Store, other: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    die(store, worker)
    for rescuer in (store, other):
        (orphan,) = store.orphans() or [None]
        if orphan is None:
            break
        mine = lost(orphan, "gone", started=True)
        settle(rescuer, mine)
    assert settle(other, mine) == [(job.id, job.token, "repeated", "queued")]
    assert the(store, job.id).losses == 1
    assert [row.outcome for row in store.attempts(job.id)] == ["lost"]


def test_a_rescued_job_runs_elsewhere_and_the_first_run_counts_no_more(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    die(store, worker)
    settle(store, *(lost(orphan, "gone", started=True) for orphan in store.orphans()))
    again = take_one(store, join(store, "w2"))
    assert (again.id, again.losses) == (job.id, 1)
    assert store.settle(worker, [succeeded(job, '"old"')])[0].how == "stale"
    assert settle(store, succeeded(again, '"new"')) == []
    assert the(store, job.id).result == '"new"'


def test_a_ghost_of_a_dead_worker_is_an_orphan_that_never_started(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    die(store, worker)
    (orphan,) = store.orphans()
    settle(store, lost(orphan, "gone", started=orphan.started))
    assert (state(store, job.id), the(store, job.id).losses, store.attempts(job.id)) == ("queued", 1, [])
