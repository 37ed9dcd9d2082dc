"""prune: only what ended, never before an hour has passed."""

from __future__ import annotations

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import crashed, failed, lost, parked, snoozed, succeeded
from packhorse._record import FINAL, STATES, State
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, beat, die, ended, ids, join, put, running, settle, state, the

#: On tables of its own: prune goes through the tables of all namespaces.
pytestmark = pytest.mark.usefixtures("url")

EVERY: dict[State, float] = dict.fromkeys(FINAL, 7200.0)
FAILED = Backoff(0)


def one_in_each_state(store: Store) -> dict[str, str]:
    """Return state → id of jobs in all eight states."""
    jobs: dict[str, str] = {"queued": put(store), "scheduled": put(store, delay=1e6), "running": running(store).id}
    retrying, blocked, bad = running(store), running(store), running(store)
    later = failed(retrying, Backoff(1, base=800, jitter=False), ERROR)
    settle(store, later, parked(blocked, blocked.queue), failed(bad, FAILED, ERROR))
    jobs |= {"retrying": retrying.id, "blocked": blocked.id, "succeeded": ended(store).id}
    jobs |= {"failed": bad.id, "cancelled": put(store)}
    store.cancel(ids(jobs["cancelled"]))
    assert {name: state(store, job) for name, job in jobs.items()} == {name: name for name in STATES}
    return jobs


def test_only_final_jobs_go(store: Store, clock: SettableClock) -> None:
    jobs = one_in_each_state(store)
    clock.advance(7201)
    everything: dict[State, float] = dict.fromkeys(STATES, 0.0)
    assert store.prune(everything) == 3
    assert {name for name, job in jobs.items() if store.get([job])} == set(STATES) - FINAL


def test_each_state_has_a_time_of_its_own(store: Store, clock: SettableClock) -> None:
    jobs = one_in_each_state(store)
    clock.advance(8000)
    assert store.prune({"succeeded": 7200, "failed": 9000}) == 1
    assert store.get([jobs["succeeded"]]) == []
    assert len(store.get([jobs["failed"], jobs["cancelled"]])) == 2


def test_a_state_that_is_not_named_is_kept(store: Store, clock: SettableClock) -> None:
    ended(store)
    clock.advance(1e8)
    assert store.prune({"failed": 0, "cancelled": 0}) == 0
    assert store.prune({}) == 0


def test_nothing_goes_within_an_hour(store: Store, clock: SettableClock) -> None:
    """An id must stay known for a while: a lost reply is asked again."""
    job = ended(store)
    clock.advance(3599)
    assert store.prune({"succeeded": 0}) == 0
    clock.advance(2)
    assert store.prune({"succeeded": 0}) == 1
    assert store.get([job.id]) == []


def test_the_time_runs_from_the_end(store: Store, clock: SettableClock) -> None:
    job = running(store)
    clock.advance(1e6)
    settle(store, succeeded(job, "1"))
    clock.advance(7000)
    assert store.prune(EVERY) == 0
    clock.advance(201)
    assert store.prune(EVERY) == 1


def test_a_job_that_may_be_sent_again_stays_for_as_long_as_it_says(store: Store, clock: SettableClock) -> None:
    """It came from an outbox, whose relay may have died before it knew that the job had arrived."""
    kept, other = '{"retry":{"retries":1},"kept_for":604800}', '{"retry":{"retries":1}}'
    long = [ended(store, options=kept).id, ended(store, options=kept).id]
    short = [ended(store, options=other).id, ended(store).id]
    bad = running(store, options=kept)
    settle(store, failed(bad, FAILED, ERROR))
    clock.advance(7201)
    assert store.prune(EVERY) == 2
    assert len(store.get([*long, bad.id])) == 3
    assert store.get(short) == []
    late = ended(store)
    clock.advance(604_800 - 7202)
    assert store.prune(EVERY) == 1
    assert store.get([late.id]) == []
    clock.advance(2)
    assert store.prune(EVERY) == 3
    assert store.get([*long, bad.id]) == []


def test_attempts_and_logs_go_with_the_job(store: Store, clock: SettableClock) -> None:
    job = running(store)
    settle(store, failed(job, FAILED, ERROR)._replace(log="hello"))
    clock.advance(7201)
    store.prune(EVERY)
    assert (store.attempts(job.id), store.log(job.id), store.get([job.id])) == ([], [], [])


def test_no_more_than_the_limit(store: Store, clock: SettableClock) -> None:
    for _ in range(5):
        ended(store)
    clock.advance(7201)
    assert [store.prune(EVERY, 3), store.prune(EVERY, 3), store.prune(EVERY, 3)] == [3, 2, 0]


def test_a_pruned_id_can_be_stored_anew(store: Store, clock: SettableClock) -> None:
    job = ended(store)
    clock.advance(7201)
    store.prune(EVERY)
    assert put(store, id=job.id, payload="[[], {}]") == job.id
    assert (state(store, job.id), the(store, job.id).fence) == ("queued", 0)
    assert store.attempts(job.id) == []


def test_results_go_when_their_time_is_over_and_the_job_stays(store: Store, clock: SettableClock) -> None:
    job, lasting = running(store), running(store)
    settle(store, succeeded(job, "1", keep=60), succeeded(lasting, "2"))
    clock.advance(59)
    store.prune({})
    assert the(store, job.id).result == "1"
    clock.advance(1)
    assert store.prune({}) == 0
    record = the(store, job.id)
    assert (record.state, record.result, record.result_until is not None) == ("succeeded", None, True)
    assert the(store, lasting.id).result == "2"


def test_counters_follow(store: Store, clock: SettableClock) -> None:
    ended(store, queue="mail")
    put(store, "mail")
    clock.advance(7201)
    store.prune(EVERY)
    (queue,) = store.queues(["mail"])
    assert {name: count for name, count in queue.counts.items() if count} == {"queued": 1}


@pytest.mark.parametrize("verdict", [snoozed, crashed, lost])
def test_what_came_back_is_not_pruned(store: Store, clock: SettableClock, verdict: object) -> None:
    job = running(store)
    made = {
        snoozed: lambda: snoozed(job, 1),
        crashed: lambda: crashed(job, ERROR, "x"),
        lost: lambda: lost(job, "x", started=True),
    }[verdict]()  # type: ignore[index]
    settle(store, made)
    clock.advance(1e8)
    assert store.prune(EVERY) == 0


def test_dead_workers_go_after_a_day(store: Store, clock: SettableClock) -> None:
    dead, live = join(store, "dead"), join(store, "live")
    die(store, dead)
    clock.advance(23 * 3600)
    store.prune({})
    assert {row.id for row in store.workers(dead=True)} == {dead, live}
    clock.advance(3601)
    store.prune({})
    assert {row.id for row in store.workers(dead=True)} == {live}
    assert beat(store, live).alive
    assert not beat(store, dead).alive


def test_the_jobs_of_a_forgotten_worker_are_orphans_still(store: Store, clock: SettableClock) -> None:
    dead = join(store, "dead")
    job = running(store, dead)
    die(store, dead)
    clock.advance(25 * 3600)
    store.prune(EVERY)
    assert [orphan.job for orphan in store.orphans()] == [job.id]
