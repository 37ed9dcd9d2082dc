"""requeue: ended jobs run again as new, waiting ones run now."""

from __future__ import annotations

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._record import Report, rank
from packhorse._store import BATCH, Changed, JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import BadOption

from .making import ERROR, SECOND, T0, ended, ids, join, new_job, put, running, settle, state, take, take_one, the
from .test_prune import one_in_each_state

FAILED = Backoff(0)


@pytest.mark.parametrize("final", ["succeeded", "failed", "cancelled"])
def test_an_ended_job_runs_again_as_new(store: Store, clock: SettableClock, final: str) -> None:
    job = one_in_each_state(store)[final]
    before = the(store, job)
    clock.advance(60)
    assert store.requeue(ids(job)) == Changed(done=(job,))
    record = the(store, job)
    assert (record.state, record.generation, record.rank) == ("queued", 1, rank(T0 + 60 * SECOND, 0))
    assert (record.failures, record.crashes, record.losses, record.snoozes) == (0, 0, 0, 0)
    cleared = (
        "result result_until error reason progress started_at finished_at due_at scheduled_at expires_at cancel_at "
        "cancel_by"
    )
    assert [name for name in cleared.split() if getattr(record, name) is not None] == []
    same = "id seq task queue payload priority created_at options tags meta by parent token fence"
    assert [name for name in same.split() if getattr(record, name) != getattr(before, name)] == []


def test_all_that_an_eventful_life_left_is_cleared(store: Store) -> None:
    job = running(store, expires=50)
    store.report("w", [Report(job.id, job.token, started=1.0, progress='{"": {}}')])
    store.cancel(ids(job.id), by="ada", reason="no")
    settle(store, failed(job, FAILED, ERROR)._replace(crashes=2, losses=3, snoozes=4))
    store.requeue(ids(job.id))
    record = the(store, job.id)
    assert (record.failures, record.crashes, record.losses, record.snoozes, record.attempt) == (0, 0, 0, 0, 1)
    assert (record.progress, record.started_at, record.cancel_at, record.cancel_by) == (None, None, None, None)
    assert (record.expires_at, record.error, record.reason) == (None, None, None)


def test_it_can_run_again_and_its_history_goes_on(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, failed(job, FAILED, ERROR))
    store.requeue(ids(job.id))
    again = take_one(store, worker)
    assert (again.generation, again.failures) == (1, 0)
    settle(store, succeeded(again, "2"))
    assert [(row.generation, row.number, row.outcome) for row in store.attempts(job.id)] == [
        (0, 1, "failed"),
        (1, 1, "succeeded"),
    ]


def test_a_success_at_the_first_attempt_stays_in_the_history(store: Store) -> None:
    worker = join(store)
    job = ended(store, worker=worker)
    before = store.attempts(job.id)
    store.requeue(ids(job.id))
    assert store.attempts(job.id) == before
    settle(store, failed(take_one(store, worker), FAILED, ERROR))
    assert [row.outcome for row in store.attempts(job.id)] == ["succeeded", "failed"]


def test_a_delay_makes_it_scheduled(store: Store) -> None:
    job = ended(store)
    store.requeue(ids(job.id), delay=30)
    record = the(store, job.id)
    due = T0 + 30 * SECOND
    assert (record.state, record.due_at, record.scheduled_at, record.rank) == ("scheduled", due, due, rank(due, 0))


def test_a_scheduled_job_runs_now(store: Store, clock: SettableClock) -> None:
    job = put(store, delay=1000, priority=2, expires=5000)
    clock.advance(1)
    assert store.requeue(ids(job)).done == (job,)
    record = the(store, job)
    assert (record.state, record.due_at, record.scheduled_at) == ("queued", None, None)
    assert (record.rank, record.generation, record.expires_at) == (rank(T0 + SECOND, 2), 0, T0 + 5000 * SECOND)


def test_a_retrying_job_runs_now_and_keeps_its_counters(store: Store) -> None:
    job = running(store)
    settle(store, failed(job, Backoff(3, base=500, jitter=False), ERROR))
    store.requeue(ids(job.id))
    record = the(store, job.id)
    assert (record.state, record.due_at, record.failures, record.generation) == ("queued", None, 1, 0)
    assert record.error == ERROR


def test_a_waiting_job_can_be_put_off(store: Store) -> None:
    job = put(store, delay=10)
    store.requeue(ids(job), delay=500)
    record = the(store, job)
    assert (record.state, record.due_at, record.generation) == ("scheduled", T0 + 500 * SECOND, 0)


@pytest.mark.parametrize("refused", ["queued", "blocked", "running"])
def test_what_is_on_its_way_is_refused(store: Store, refused: str) -> None:
    job = one_in_each_state(store)[refused]
    before = the(store, job)
    assert store.requeue(ids(job)) == Changed(refused=(job,))
    assert the(store, job) == before


def test_a_repeat_is_refused_so_nothing_runs_twice(store: Store) -> None:
    job = ended(store)
    store.requeue(ids(job.id))
    assert store.requeue(ids(job.id)).refused == (job.id,)
    assert the(store, job.id).generation == 1


def test_each_requeue_is_a_generation(store: Store) -> None:
    worker = join(store)
    job = ended(store, worker=worker)
    for generation in (1, 2, 3):
        store.requeue(ids(job.id))
        settle(store, succeeded(take_one(store, worker), "1"))
        assert the(store, job.id).generation == generation
    assert [row.generation for row in store.attempts(job.id)] == [0, 1, 2, 3]


def test_an_expired_job_does_not_expire_at_once_again(store: Store, clock: SettableClock) -> None:
    job = put(store, expires=5)
    clock.advance(6)
    store.expire()
    store.requeue(ids(job))
    assert store.expire() == []
    assert len(take(store, join(store))) == 1


def test_a_dry_run_says_what_would_be_done_and_does_nothing(store: Store) -> None:
    jobs = one_in_each_state(store)
    before = store.get(list(jobs.values()))
    dry = store.requeue(JobFilter(since=0), dry=True)
    assert store.get(list(jobs.values())) == before
    real = store.requeue(JobFilter(since=0))
    assert (sorted(dry.done), sorted(dry.refused)) == (sorted(real.done), sorted(real.refused))
    assert set(real.refused) == {jobs[name] for name in ("queued", "blocked", "running")}


def test_an_empty_filter_is_refused(store: Store) -> None:
    job = ended(store)
    with pytest.raises(BadOption):
        store.requeue(JobFilter())
    assert state(store, job.id) == "succeeded"
    assert store.requeue(ids("unknown")) == Changed()


def test_calling_while_there_is_more_ends_with_everything_requeued(store: Store) -> None:
    store.enqueue([new_job() for _ in range(BATCH + 50)])
    which = JobFilter(queue="mail")
    while store.cancel(which).more:
        pass
    first = store.requeue(which)
    assert (len(first.done), first.more) == (BATCH, True)
    second = store.requeue(which)
    assert (len(second.done), second.more) == (50, False)
    assert store.queues(["mail"])[0].counts["queued"] == BATCH + 50
