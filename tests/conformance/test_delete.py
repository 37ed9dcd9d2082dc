"""delete: gone with all that belongs to it, unless it runs."""

from __future__ import annotations

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._store import BATCH, Changed, JobFilter, Store
from packhorse.errors import BadOption

from .making import ERROR, ended, ids, join, new_job, put, running, settle, state, take
from .test_prune import one_in_each_state


def test_all_but_the_running_one_go(store: Store) -> None:
    jobs = one_in_each_state(store)
    dry = store.delete(JobFilter(since=0), dry=True)
    assert len(store.get(list(jobs.values()))) == 8
    real = store.delete(JobFilter(since=0))
    assert (sorted(dry.done), dry.refused) == (sorted(real.done), real.refused)
    assert real.refused == (jobs["running"],)
    assert [job.id for job in store.find(JobFilter()).jobs] == [jobs["running"]]


def test_attempts_and_logs_go_with_it(store: Store) -> None:
    job = running(store)
    settle(store, failed(job, Backoff(0), ERROR)._replace(log="hello"))
    store.delete(ids(job.id))
    assert (store.attempts(job.id), store.log(job.id)) == ([], [])


def test_a_repeat_finds_nothing(store: Store) -> None:
    job = put(store)
    assert store.delete(ids(job)) == Changed(done=(job,))
    assert store.delete(ids(job)) == Changed()


def test_a_deleted_id_can_be_stored_anew(store: Store) -> None:
    job = ended(store)
    store.delete(ids(job.id))
    put(store, id=job.id, payload="[[], {}]")
    assert state(store, job.id) == "queued"
    assert (store.attempts(job.id), store.log(job.id)) == ([], [])


def test_a_deleted_job_is_not_claimed(store: Store) -> None:
    store.delete(ids(put(store)))
    assert take(store, join(store)) == []


def test_the_queue_is_still_known_and_its_counters_follow(store: Store) -> None:
    done = ended(store, queue="mail")
    store.delete(ids(put(store, "mail"), done.id))
    (queue,) = store.queues(["mail"])
    assert (sum(queue.counts.values()), queue.oldest_ready_at) == (0, None)


def test_an_empty_filter_is_refused(store: Store) -> None:
    job = put(store)
    with pytest.raises(BadOption):
        store.delete(JobFilter())
    assert state(store, job) == "queued"


def test_calling_while_there_is_more_ends_with_everything_deleted(store: Store) -> None:
    store.enqueue([new_job() for _ in range(BATCH + 50)])
    which = JobFilter(queue="mail")
    first = store.delete(which)
    assert (len(first.done), first.more) == (BATCH, True)
    second = store.delete(which)
    assert (len(second.done), second.more) == (50, False)
    assert store.find(JobFilter()).jobs == []


def test_a_running_job_ends_as_if_nobody_had_asked(store: Store) -> None:
    job = running(store)
    assert store.delete(ids(job.id)).refused == (job.id,)
    assert settle(store, succeeded(job, "1")) == []
