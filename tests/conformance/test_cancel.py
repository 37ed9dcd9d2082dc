"""cancel: at once where a job waits, as a request where it runs."""

from __future__ import annotations

import pytest

from packhorse._store import BATCH, Changed, JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import BadOption

from .making import SECOND, T0, beat, ended, ids, join, new_job, put, running, state, take, the
from .test_prune import one_in_each_state


@pytest.mark.parametrize("waiting", ["queued", "scheduled", "retrying", "blocked"])
def test_a_waiting_job_is_cancelled_at_once(store: Store, waiting: str) -> None:
    job = one_in_each_state(store)[waiting]
    assert store.cancel(ids(job), by="ada", reason="not needed") == Changed(done=(job,))
    record = the(store, job)
    assert (record.state, record.reason, record.cancel_by) == ("cancelled", "not needed", "ada")
    assert (record.finished_at, record.due_at, record.cancel_at) == (T0, None, None)


def test_without_a_reason_it_says_what_happened(store: Store) -> None:
    job = put(store)
    store.cancel(ids(job))
    assert (the(store, job).reason, the(store, job).cancel_by) == ("cancelled", None)


def test_a_running_job_is_asked(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    job = running(store, worker)
    clock.advance(1)
    assert store.cancel(ids(job.id), by="ada", reason="wrong file") == Changed(asked=(job.id,))
    record = the(store, job.id)
    assert (record.state, record.cancel_at, record.cancel_by) == ("running", T0 + SECOND, "ada")
    assert record.finished_at is None
    assert beat(store, worker, [job]).cancelled == [(job.id, job.token, "wrong file")]


def test_asking_again_changes_nothing(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    job = running(store, worker)
    store.cancel(ids(job.id), by="ada", reason="first")
    before = the(store, job.id)
    clock.advance(1)
    assert store.cancel(ids(job.id), by="bob", reason="second") == Changed(asked=(job.id,))
    assert the(store, job.id) == before
    assert beat(store, worker, [job]).cancelled == [(job.id, job.token, "first")]


@pytest.mark.parametrize("final", ["succeeded", "failed", "cancelled"])
def test_what_has_ended_is_refused(store: Store, final: str) -> None:
    job = one_in_each_state(store)[final]
    before = the(store, job)
    assert store.cancel(ids(job)) == Changed(refused=(job,))
    assert the(store, job) == before


def test_cancelling_twice_is_refused_the_second_time(store: Store) -> None:
    job = put(store)
    store.cancel(ids(job), reason="first")
    assert store.cancel(ids(job), reason="second") == Changed(refused=(job,))
    assert the(store, job).reason == "first"


def test_an_unknown_id_is_absent(store: Store) -> None:
    assert store.cancel(ids("unknown")) == Changed()


def test_an_empty_filter_is_refused(store: Store) -> None:
    job = put(store)
    for dry in (False, True):
        with pytest.raises(BadOption):
            store.cancel(JobFilter(), dry=dry)
    assert state(store, job) == "queued"


def test_a_cancelled_job_is_never_claimed(store: Store) -> None:
    store.cancel(ids(put(store)))
    assert take(store, join(store)) == []


def test_a_dry_run_says_what_would_be_done_and_does_nothing(store: Store) -> None:
    jobs = one_in_each_state(store)
    before = store.get(list(jobs.values()))
    which = JobFilter(since=0)
    dry = store.cancel(which, dry=True)
    assert store.get(list(jobs.values())) == before
    real = store.cancel(which)
    assert tuple(map(sorted, (dry.done, dry.asked, dry.refused))) == tuple(
        map(sorted, (real.done, real.asked, real.refused))
    )
    assert set(real.done) == {jobs[name] for name in ("queued", "scheduled", "retrying", "blocked")}
    assert set(real.asked) == {jobs["running"]}
    assert set(real.refused) == {jobs[name] for name in ("succeeded", "failed", "cancelled")}


def test_by_filter_only_what_matches(store: Store) -> None:
    mail, other = put(store, "mail", tags='["a"]'), put(store, "other", tags='["a"]')
    assert store.cancel(JobFilter(queue="mail", tag="a")).done == (mail,)
    assert state(store, other) == "queued"


def test_calling_while_there_is_more_ends_with_everything_cancelled(store: Store) -> None:
    """However many jobs match that need no change."""
    store.enqueue([new_job() for _ in range(BATCH + 50)])
    which = JobFilter(queue="mail")
    first = store.cancel(which)
    assert (len(first.done), first.more) == (BATCH, True)
    second = store.cancel(which)
    assert (len(second.done), second.more) == (50, False)
    third = store.cancel(which)
    assert (third.done, third.more) == ((), False)
    assert store.queues(["mail"])[0].counts["cancelled"] == BATCH + 50


def test_ended_jobs_by_the_thousand_do_not_hide_the_one_that_waits(store: Store) -> None:
    store.enqueue([new_job() for _ in range(BATCH + 50)])
    which = JobFilter(queue="mail")
    while store.cancel(which).more:
        pass
    job = put(store)
    assert store.cancel(which).done == (job,)


def test_a_job_that_ended_in_the_meantime_stays_as_it_is(store: Store) -> None:
    job = ended(store)
    assert store.cancel(ids(job.id)).refused == (job.id,)
    assert the(store, job.id).result == "3"
