"""edit: waiting jobs are changed in place; who waits on goes by what they have become."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, parked, succeeded
from packhorse._record import BATCH, DEFAULT_STEP, JobRecord, rank
from packhorse._steering import NEVER, Edit
from packhorse._store import Changed, JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import BadOption

from .making import (
    ERROR,
    HOUR,
    SECOND,
    T0,
    admit,
    ended,
    ids,
    join,
    new_job,
    obstacle,
    park,
    put,
    reserving,
    running,
    settle,
    state,
    take,
    take_one,
    the,
)

#: Every part, with what it makes of a job that does not depend on its state.
PARTS: dict[str, tuple[Edit, dict[str, Any]]] = {
    "priority": (Edit(priority=7), {"priority": 7}),
    "lower priority": (Edit(priority=-100), {"priority": -100}),
    "expires": (Edit(expires=90.5), {"expires_at": T0 + 5 * SECOND + 90_500_000}),
    "expires at": (Edit(expires=1, expires_at=T0 + HOUR), {"expires_at": T0 + HOUR}),
    "expires at a time that is past": (Edit(expires_at=T0 - HOUR), {"expires_at": T0 - HOUR}),
    "expires no more": (Edit(expires_at=NEVER), {"expires_at": None}),
    "tags": (Edit(tags='["new", "\\u00e9"]'), {"tags": '["new", "\\u00e9"]'}),
    "no tags": (Edit(tags="[]"), {"tags": None}),
    "payload": (Edit(payload='[[3], {"b": "\\u00e9"}]'), {"payload": '[[3], {"b": "\\u00e9"}]'}),
}
MERGED: dict[str, tuple[Edit, str, Any]] = {
    "options": (
        Edit(options='{"timeout": 5, "retry": {"n": 0}}'), "options", {"timeout": 5, "retry": {"n": 0}, "k": 1}
    ),
    "no limit of time": (Edit(options='{"timeout": null}'), "options", {"timeout": None, "k": 1}),
    "meta": (
        Edit(meta='{"page": 2, "new": [null]}'), "meta", {"page": 2, "who": "ada", "none": None, "new": [None]}
    ),
    "meta taken away": (Edit(meta='{"page": null, "other": null}'), "meta", {"who": "ada", "none": None}),
    "all meta taken away": (Edit(meta='{"page": null, "who": null, "none": null}'), "meta", None),
}  # fmt: skip


def scheduled(store: Store, **changes: Any) -> str:
    return put(store, **{"delay": 100.0, **changes})


def blocked(store: Store, **changes: Any) -> str:
    put(store, **reserving("held"))
    return put(store, **reserving("held"), **changes)


def retrying(store: Store, **changes: Any) -> str:
    job = running(store, queue="mail", **changes)
    settle(store, failed(job, Backoff(1, base=100, jitter=False), ERROR, reason="boom"))
    return job.id


WAITING: dict[str, Callable[..., str]] = {
    "scheduled": scheduled,
    "blocked": blocked,
    "queued": put,
    "retrying": retrying,
}
waiting = pytest.mark.parametrize("waits", WAITING)


def made(store: Store, clock: SettableClock, waits: str) -> JobRecord:
    """Return a job that waits so; five seconds ago all its parts were given."""
    job = WAITING[waits](
        store, priority=3, expires_at=T0 + 2 * HOUR, tags='["old"]', meta='{"page": 1, "who": "ada", "none": null}',
        options='{"timeout": 9, "k": 1}',
    )  # fmt: skip
    clock.advance(5)
    record = the(store, job)
    assert record.state == waits
    return record


# -- what can be changed ---------------------------------------------------------------------------------------------
@waiting
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_changed_and_nothing_else(store: Store, clock: SettableClock, waits: str, part: str) -> None:
    before = made(store, clock, waits)
    change, expected = PARTS[part]
    if "priority" in expected:
        ready = before.rank + before.priority * DEFAULT_STEP
        expected = {**expected, "rank": rank(ready, expected["priority"])}
    assert store.edit([before.id], change) == Changed(done=(before.id,))
    assert the(store, before.id) == before._replace(**expected)


@waiting
@pytest.mark.parametrize("part", MERGED)
def test_options_and_meta_are_merged_key_by_key(store: Store, clock: SettableClock, waits: str, part: str) -> None:
    before = made(store, clock, waits)
    change, name, expected = MERGED[part]
    assert store.edit([before.id], change).done == (before.id,)
    after = the(store, before.id)
    assert json.loads(getattr(after, name) or "null") == expected
    assert after == before._replace(**{name: getattr(after, name)})


@waiting
def test_another_queue_keeps_state_place_and_ready_time(store: Store, clock: SettableClock, waits: str) -> None:
    before = made(store, clock, waits)
    assert store.edit([before.id], Edit(queue="other")).done == (before.id,)
    assert the(store, before.id) == before._replace(queue="other", line="other")
    assert {queue.name: queue.counts.get(waits, 0) for queue in store.queues()}["other"] == 1


@waiting
def test_all_at_once(store: Store, clock: SettableClock, waits: str) -> None:
    before = made(store, clock, waits)
    change = Edit(
        "other", -5, expires_at=NEVER, options='{"k": 2}', tags='["t"]', meta='{"who": null}', payload="[[], {}]"
    )
    store.edit([before.id], change)
    after = the(store, before.id)
    ready = before.rank + 3 * DEFAULT_STEP
    assert (after.queue, after.line, after.priority, after.rank) == ("other", "other", -5, rank(ready, -5))
    assert (after.state, after.expires_at, after.tags, after.payload) == (waits, None, '["t"]', "[[], {}]")
    assert json.loads(after.options or "") == {"timeout": 9, "k": 2}
    assert json.loads(after.meta or "") == {"page": 1, "none": None}


def test_a_claim_hands_out_what_was_edited(store: Store) -> None:
    job = put(store, expires=1)
    store.edit([job], Edit("other", 4, expires_at=NEVER, options='{"timeout": 3}', tags='["t"]', meta='{"a": 1}'))
    store.edit([job], Edit(payload="[[9], {}]"))
    worker = join(store)
    assert take(store, worker, queues=["mail"]) == []
    claimed = take_one(store, worker, queues=["other"])
    assert (claimed.queue, claimed.priority, claimed.payload, claimed.tags) == ("other", 4, "[[9], {}]", '["t"]')
    assert (json.loads(claimed.options or ""), json.loads(claimed.meta or "")) == ({"timeout": 3}, {"a": 1})


def test_another_priority_is_another_place_in_the_line(store: Store, clock: SettableClock) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(put(store))
        clock.advance(1)
    store.edit([jobs[2]], Edit(priority=1))
    store.edit([jobs[0]], Edit(priority=-1))
    assert [store.ahead(job) for job in jobs] == [2, 1, 0]
    assert [job.id for job in take(store, join(store))] == [jobs[2], jobs[1], jobs[0]]


def test_an_edited_expiry_is_kept(store: Store, clock: SettableClock) -> None:
    never, later, sooner = (put(store, expires=10) for _ in range(3))
    store.edit([never], Edit(expires_at=NEVER))
    store.edit([later], Edit(expires=20))
    store.edit([sooner], Edit(expires=1))
    clock.advance(5)
    assert store.expire() == [sooner]
    clock.advance(10)
    assert store.expire() == []
    clock.advance(10)
    assert store.expire() == [later]
    assert state(store, never) == "queued"


def test_what_a_search_finds_has_changed(store: Store) -> None:
    job = put(store, tags='["old"]', meta='{"page": 1}')
    store.edit([job], Edit(queue="other", tags='["new"]', meta='{"page": "2"}', payload='[["\\u00e9clair"], {}]'))
    found = [
        JobFilter(queue="other"), JobFilter(tag="new"), JobFilter(meta={"page": "2"}), JobFilter(text="\u00e9clair"),
        JobFilter(queue="other", states=("queued",)),
    ]  # fmt: skip
    assert [[one.id for one in store.find(which).jobs] for which in found] == [[job]] * 5
    assert [store.find(which).jobs for which in (JobFilter(queue="mail"), JobFilter(tag="old"))] == [[], []]


# -- put off, or now -----------------------------------------------------------------------------------------------------
LATER = {
    "delay": Edit(delay=50.0),
    "at": Edit(at=T0 + 55 * SECOND),
    "at wins": Edit(delay=1.0, at=T0 + 55 * SECOND),
}
NOW = {"delay 0": Edit(delay=0.0), "at in the past": Edit(at=T0 - HOUR), "at wins": Edit(delay=50.0, at=T0)}


@pytest.mark.parametrize("waits", ["scheduled", "blocked", "queued"])
@pytest.mark.parametrize("how", LATER)
def test_a_job_is_put_off(store: Store, clock: SettableClock, waits: str, how: str) -> None:
    before = made(store, clock, waits)
    store.edit([before.id], LATER[how])
    due = T0 + 55 * SECOND
    assert the(store, before.id) == before._replace(
        state="scheduled", due_at=due, scheduled_at=due, rank=rank(due, before.priority)
    )
    clock.advance(50)
    store.promote()
    assert state(store, before.id) == ("blocked" if waits == "blocked" else "queued")


@pytest.mark.parametrize("how", LATER)
def test_a_retry_is_put_off_and_stays_one(store: Store, clock: SettableClock, how: str) -> None:
    before = made(store, clock, "retrying")
    store.edit([before.id], LATER[how])
    assert the(store, before.id) == before._replace(due_at=T0 + 55 * SECOND)
    assert store.promote() == (0, 50.0)


@pytest.mark.parametrize("how", NOW)
def test_a_scheduled_job_is_ready_now(store: Store, clock: SettableClock, how: str) -> None:
    before = made(store, clock, "scheduled")
    store.edit([before.id], NOW[how])
    assert the(store, before.id) == before._replace(
        state="queued", due_at=None, scheduled_at=None, rank=rank(T0 + 5 * SECOND, 3)
    )
    assert take_one(store, join(store)).id == before.id
    assert store.promote() == (0, None)


@pytest.mark.parametrize("how", NOW)
def test_a_retry_is_ready_now_and_keeps_its_rank(store: Store, clock: SettableClock, how: str) -> None:
    before = made(store, clock, "retrying")
    store.edit([before.id], NOW[how])
    assert the(store, before.id) == before._replace(state="queued", due_at=None, scheduled_at=None)


def test_a_retry_with_rules_that_is_ready_now_waits_for_them(store: Store) -> None:
    worker = join(store)
    job = put(store, **reserving("a"))
    admit(store)
    settle(store, failed(take_one(store, worker), Backoff(1, base=100, jitter=False), ERROR))
    store.admit()
    store.edit([job], Edit(delay=0.0))
    assert store.freed
    assert state(store, job) == "blocked"
    assert admit(store) == (1, 0)


@pytest.mark.parametrize("waits", ["blocked", "queued"])
@pytest.mark.parametrize("how", NOW)
def test_one_that_is_ready_stays_as_it_is(store: Store, clock: SettableClock, waits: str, how: str) -> None:
    before = made(store, clock, waits)
    assert store.edit([before.id], NOW[how]).done == (before.id,)
    assert the(store, before.id) == before


def test_a_scheduled_job_with_rules_waits_for_them(store: Store, clock: SettableClock) -> None:
    before = the(store, put(store, delay=10.0, priority=2, **reserving("a")))
    clock.advance(5)
    store.edit([before.id], Edit(delay=0.0))
    assert the(store, before.id) == before._replace(
        state="blocked", due_at=None, scheduled_at=None, rank=rank(T0 + 5 * SECOND, 2)
    )
    join(store)
    assert admit(store) == (1, 0)


def test_a_new_time_and_a_new_priority_count_together(store: Store) -> None:
    job = put(store)
    store.edit([job], Edit(priority=2, delay=10.0))
    assert the(store, job).rank == rank(T0 + 10 * SECOND, 2)


def test_the_line_goes_on_without_one_that_was_put_off(store: Store, clock: SettableClock) -> None:
    first, second = put(store), put(store)
    clock.advance(5)
    store.edit([first], Edit(delay=100))
    (queue,) = store.queues(["mail"])
    assert (queue.counts, queue.oldest_ready_at) == ({"scheduled": 1, "queued": 1}, T0)
    assert [job.id for job in take(store, join(store))] == [second]


# -- rules ---------------------------------------------------------------------------------------------------------------
def test_what_was_let_go_and_is_put_off_holds_nothing(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    first, second = put(store, **reserving("a")), put(store, **reserving("a"))
    assert admit(store) == (1, 0)
    place = the(store, first).place
    store.edit([first], Edit(delay=60.0))
    assert store.freed
    assert (state(store, first), the(store, first).place) == ("scheduled", place)
    assert admit(store) == (1, 0)
    clock.advance(60)
    store.promote()
    held = obstacle(store, first)
    assert held is not None
    assert (held.kind, held.holder) == ("held", second)
    settle(store, succeeded(take_one(store, worker), None))
    assert admit(store) == (1, 0)


def test_what_was_let_go_is_let_go_in_another_queue_too(store: Store) -> None:
    worker = join(store)
    job, second = put(store, **reserving("a")), put(store, **reserving("a"))
    admit(store)
    store.edit([job], Edit(queue="other", priority=3))
    record = the(store, job)
    assert (record.state, record.line, record.rank) == ("queued", "other", rank(T0, 3))
    assert admit(store) == (0, 0)
    held = obstacle(store, second)
    assert held is not None
    assert held.holder == job
    assert take_one(store, worker, queues=["other"]).id == job


def test_a_waiter_is_let_go_in_the_queue_that_it_was_moved_to(store: Store) -> None:
    join(store)
    store.pause("mail")
    first, second = put(store, **reserving("a")), put(store, **reserving("a"))
    assert admit(store) == (0, 0)
    store.edit([second], Edit(queue="other"))
    assert store.freed
    assert obstacle(store, second) is None
    assert admit(store) == (1, 0)
    assert (state(store, first), state(store, second)) == ("blocked", "queued")


def test_a_waiter_that_is_moved_into_a_paused_queue_lets_others_pass(store: Store) -> None:
    join(store)
    holder, first, second = (put(store, **reserving("a")) for _ in range(3))
    admit(store)
    place = the(store, first).place
    store.pause("shut")
    store.edit([first], Edit(queue="shut"))
    assert the(store, first).place == place
    settle(store, succeeded(take_one(store, join(store, "w2")), None))
    assert admit(store) == (1, 0)
    assert [state(store, job) for job in (holder, first, second)] == ["succeeded", "blocked", "queued"]


def test_parents_are_waited_for_in_any_queue(store: Store) -> None:
    worker = join(store)
    parent = put(store)
    child = put(store, after=(parent,))
    store.edit([child], Edit(queue="other"))
    assert admit(store) == (0, 0)
    store.edit([parent], Edit(queue="other", delay=0.0))
    settle(store, succeeded(take_one(store, worker, queues=["other"]), None))
    assert admit(store) == (1, 0)


def test_the_unique_key_stays(store: Store) -> None:
    job = put(store, unique="k")
    before = the(store, job)
    store.edit([job], Edit(queue="other", payload="[[5], {}]", delay=10.0))
    after = the(store, job)
    assert (after.unique_key, after.unique_held) == ("k", True)
    assert after.generation == before.generation
    assert store.enqueue([new_job(unique="k")])[0].id == job


# -- side lines ----------------------------------------------------------------------------------------------------------
def test_another_queue_takes_a_job_out_of_its_side_line(store: Store) -> None:
    job = park(store)
    store.edit([job], Edit(queue="other"))
    record = the(store, job)
    assert (record.state, record.parked, record.line, record.reason) == ("queued", False, "other", None)
    assert store.resolve(["mail#tasks:unknown"]) == 0
    assert take_one(store, join(store), queues=["other"]).id == job


def test_its_own_queue_does_so_too(store: Store) -> None:
    job = park(store)
    store.edit([job], Edit(queue="mail"))
    assert take_one(store, join(store), queues=["mail"]).id == job


def test_one_with_rules_waits_in_the_other_queue(store: Store) -> None:
    worker = join(store)
    job = put(store, task="tasks:unknown", **reserving("a"))
    admit(store)
    settle(store, parked(take_one(store, worker), "mail"))
    store.edit([job], Edit(queue="other"))
    record = the(store, job)
    assert (record.state, record.waits, record.line) == ("blocked", True, "other")
    assert admit(store) == (1, 0)
    assert take_one(store, worker, queues=["other"]).id == job


def test_a_parked_job_that_is_put_off_leaves_its_side_line(store: Store, clock: SettableClock) -> None:
    job = park(store)
    store.edit([job], Edit(delay=10.0))
    record = the(store, job)
    assert (record.state, record.parked, record.line, record.reason) == ("scheduled", False, "mail", None)
    clock.advance(10)
    assert store.promote() == (1, None)
    assert take_one(store, join(store), queues=["mail"]).id == job


def test_a_parked_job_stays_parked_for_anything_else(store: Store) -> None:
    job = park(store)
    before = the(store, job)
    store.edit([job], Edit(priority=5, tags='["t"]', delay=0.0))
    assert the(store, job) == before._replace(priority=5, rank=rank(T0, 5), tags='["t"]')
    assert store.resolve(["mail#tasks:unknown"]) == 1


def test_a_job_of_a_resolved_line_goes_into_the_line_of_its_new_queue(store: Store) -> None:
    job = park(store)
    store.resolve(["mail#tasks:unknown"])
    store.edit([job], Edit(priority=1))
    assert the(store, job).line == "mail#tasks:unknown"
    store.edit([job], Edit(queue="other"))
    assert the(store, job).line == "other"


# -- what is refused -----------------------------------------------------------------------------------------------------
def test_what_runs_or_has_ended_is_refused(store: Store) -> None:
    runs, done = running(store).id, ended(store).id
    gone = put(store)
    store.cancel(ids(gone))
    waits = put(store)
    before = store.get([runs, done, gone])
    given = [done, waits, "unknown", gone, runs, waits]
    for dry in (True, False):
        assert store.edit(given, Edit(queue="other", delay=9.0), dry=dry) == Changed(
            done=(waits,), refused=(done, gone, runs)
        )
    assert store.get([runs, done, gone]) == before


def test_unknown_ids_and_ends_of_ids_are_absent(store: Store) -> None:
    job = put(store)
    assert store.edit([job[-8:], "unknown", ""], Edit(priority=1)) == Changed()
    assert store.edit([], Edit(priority=1)) == Changed()
    assert the(store, job).priority == 0


def test_a_dry_run_changes_nothing(store: Store) -> None:
    jobs = [put(store), put(store, delay=5.0)]
    before = store.get(jobs)
    assert store.edit(jobs, Edit(queue="other", priority=1), dry=True).done == tuple(jobs)
    assert store.get(jobs) == before
    assert [queue.name for queue in store.queues()] == ["mail"]


@pytest.mark.parametrize("dry", [True, False])
def test_an_edit_of_nothing_is_refused(store: Store, dry: bool) -> None:
    with pytest.raises(BadOption):
        store.edit([put(store)], Edit(), dry=dry)


def test_no_more_jobs_than_a_batch(store: Store) -> None:
    jobs = [job.id for job in store.enqueue([new_job() for _ in range(BATCH + 1)])]
    with pytest.raises(BadOption):
        store.edit(jobs, Edit(priority=1))
    assert the(store, jobs[0]).priority == 0
    assert store.edit(jobs[:BATCH], Edit(queue="other", priority=1, delay=0.0)).done == tuple(jobs[:BATCH])
    assert the(store, jobs[BATCH - 1]).queue == "other"
    assert the(store, jobs[BATCH]).queue == "mail"


def test_the_answer_is_in_the_order_given(store: Store) -> None:
    jobs = [put(store, queue) for queue in ("c", "a", "b", "a", "c")]
    assert store.edit(jobs[::-1], Edit(queue="d")).done == tuple(jobs[::-1])


def test_an_edit_wakes_others(store: Store, other: Store) -> None:
    job = put(store, delay=100.0)
    other.changed()
    store.edit([job], Edit(delay=0.0))
    assert not store.capabilities.hints or other.wait(5.0)


def test_in_a_closed_namespace_jobs_can_be_edited(store: Store) -> None:
    job = put(store)
    store.freeze("elsewhere")
    store.edit([job], Edit(priority=4))
    assert the(store, job).priority == 4
