"""last_attempts and drop_logs: what reports read, and what need not be kept as long as the record."""

from __future__ import annotations

import uuid

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, snoozed, succeeded
from packhorse._record import Claimed
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse._told import last_attempt

from .making import ERROR, ended, ids, join, new_job, put, running, settle, take_one, the

pytestmark = pytest.mark.usefixtures("url")  # drop_logs goes through the tables

FINAL, AGAIN = Backoff(0), Backoff(5, base=1, jitter=False)
DAY = 86400.0


# -- last_attempts ---------------------------------------------------------------------------------------------------
def test_the_last_row_of_each_job_in_the_order_asked_for(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    first, second = running(store, worker), running(store, worker)
    settle(store, failed(first, AGAIN, ERROR), failed(second, FINAL, ERROR)._replace(usage='{"exit":3}'))
    clock.advance(5)
    store.promote()
    again = take_one(store, worker, queues=[first.queue])
    settle(store, failed(again, FINAL, ERROR)._replace(usage='{"exit":4}'))
    rows = store.last_attempts([second.id, first.id])
    assert [(row.job, row.number, row.usage, row.host) for row in rows] == [
        (second.id, 1, '{"exit":3}', "ash"),
        (first.id, 2, '{"exit":4}', "ash"),
    ]
    assert rows == [store.attempts(second.id)[-1], store.attempts(first.id)[-1]]


def test_jobs_without_a_row_are_absent(store: Store) -> None:
    waiting, works, plain = put(store), running(store), ended(store)
    assert store.last_attempts([waiting, works.id, plain.id, str(uuid.uuid4())]) == []
    assert store.last_attempts([]) == []


def test_a_success_that_wrote_no_row_is_made_up_as_attempts_does(store: Store) -> None:
    worker = join(store, "w7", host="elm")
    plain = running(store, worker)
    settle(store, succeeded(plain, "3"))
    hosts = {row.id: row.host for row in store.workers()}
    assert [last_attempt(the(store, plain.id), None, hosts)] == store.attempts(plain.id)


def test_a_row_that_was_written_is_the_last(store: Store) -> None:
    job = running(store)
    settle(store, succeeded(job, "0")._replace(plain=False, usage='{"exit":0}'))
    (row,) = store.last_attempts([job.id])
    assert row.usage == '{"exit":0}'
    assert last_attempt(the(store, job.id), row, {}) == row


def test_many_at_once(store: Store) -> None:
    worker = join(store)
    jobs = [running(store, worker) for _ in range(50)]
    settle(store, *(failed(job, FINAL, ERROR) for job in jobs))
    wanted = [job.id for job in jobs][::-1]
    assert [row.job for row in store.last_attempts(wanted)] == wanted


def test_jobs_of_other_namespaces_are_not_seen(store: Store, open_another: object) -> None:
    job = running(store)
    settle(store, failed(job, FINAL, ERROR))
    other = open_another(namespace="elsewhere")  # type: ignore[operator]
    assert other.last_attempts([job.id]) == []


# -- drop_logs -------------------------------------------------------------------------------------------------------
def logged(store: Store, job: Claimed) -> Claimed:
    settle(store, failed(job, FINAL, ERROR)._replace(log="hello"))
    return job


def test_logs_go_after_their_time_and_all_else_stays(store: Store, clock: SettableClock) -> None:
    old = logged(store, running(store))
    clock.advance(DAY)
    young = logged(store, running(store))
    before = the(store, old.id), store.attempts(old.id)
    assert store.drop_logs(DAY - 1) == 1
    assert (store.log(old.id), store.log(young.id)) == ([], [(young.token, "hello", 0)])
    assert (the(store, old.id), store.attempts(old.id)) == before
    assert store.drop_logs(DAY - 1) == 0


def test_nothing_goes_at_the_very_moment(store: Store, clock: SettableClock) -> None:
    job = logged(store, running(store))
    clock.advance(60)
    assert store.drop_logs(60) == 0
    clock.advance(0.000001)
    assert store.drop_logs(60) == 1
    assert store.log(job.id) == []


def test_only_of_what_has_ended(store: Store, clock: SettableClock) -> None:
    works, back = running(store), running(store)
    settle(store, snoozed(back, 1e6)._replace(log="later"))
    late = running(store)
    clock.advance(DAY)
    settle(store, succeeded(late, "1")._replace(plain=False, log="it took a day"))
    again = logged(store, running(store))
    clock.advance(DAY)
    store.requeue(ids(again.id))
    assert store.drop_logs(1.5 * DAY) == 0
    assert store.log(back.id)
    assert store.log(late.id)
    assert store.log(again.id)
    assert store.log(works.id) == []


def test_every_log_is_come_to_though_others_lie_before_it(store: Store, clock: SettableClock) -> None:
    """A few at a time; those that stay are passed over."""
    worker = join(store)
    stay = [running(store, worker) for _ in range(5)]
    settle(store, *(snoozed(job, 1e6)._replace(log="hi") for job in stay))
    old = [logged(store, running(store, worker)) for _ in range(5)]
    clock.advance(DAY)
    young = [logged(store, running(store, worker)) for _ in range(5)]
    assert sum(store.drop_logs(60, 2) for _ in range(20)) == 5
    assert [job.id for job in [*stay, *old, *young] if store.log(job.id)] == [job.id for job in [*stay, *young]]


def test_other_namespaces_keep_theirs(store: Store, clock: SettableClock, open_another: object) -> None:
    mine = logged(store, running(store))
    other = open_another(namespace="elsewhere")  # type: ignore[operator]
    other.migrate()
    theirs = logged(other, running(other))
    clock.advance(DAY)
    assert other.drop_logs(60) == 1
    assert (len(store.log(mine.id)), other.log(theirs.id)) == (1, [])


def test_it_rests_in_a_closed_namespace(store: Store, clock: SettableClock) -> None:
    job = logged(store, running(store))
    clock.advance(DAY)
    store.freeze("sqlite:///elsewhere.db")
    assert store.drop_logs(60) == 0
    store.thaw()
    assert store.drop_logs(60) == 1
    assert store.log(job.id) == []


# -- prune, where many are kept --------------------------------------------------------------------------------------
@pytest.mark.slow
def test_what_may_go_goes_though_many_that_stay_lie_before_it(store: Store, clock: SettableClock) -> None:
    """No call looks at all of them; calling again and again comes to all."""
    worker = join(store)
    kept = '{"kept_for":31536000}'
    for options in (kept,) * 12 + (None,):
        store.enqueue([new_job("books", options=options) for _ in range(500)])
        while jobs := store.claim(["books"], 500, 0, worker, 1).jobs:
            settle(store, *(succeeded(job, "0") for job in jobs))
    clock.advance(2 * DAY)
    done = 0
    for _ in range(60):
        done += store.prune({"succeeded": DAY})
    assert done == 500
    assert store.queues(["books"])[0].counts == {"succeeded": 6000}
