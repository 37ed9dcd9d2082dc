"""get and find: what is stored, newest first, page by page."""

from __future__ import annotations

import json
import uuid

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed
from packhorse._record import JobRecord
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import AmbiguousId

from .making import SECOND, T0, ended, ids, join, new_job, put, running, settle, take
from .test_prune import one_in_each_state


def found(store: Store, **conditions: object) -> list[str]:
    """Return the ids that a filter finds, over all pages of two."""
    which = JobFilter(**conditions)  # type: ignore[arg-type]
    jobs: list[JobRecord] = []
    after: int | None = None
    while True:
        page = store.find(which, 2, after)
        assert len(page.jobs) <= 2
        jobs += page.jobs
        after = page.next
        if after is None:
            return [job.id for job in jobs]


# -- get -------------------------------------------------------------------------------------------------------------
def test_jobs_come_in_the_order_asked_for(store: Store) -> None:
    a, b, c = put(store), put(store), put(store)
    assert [job.id for job in store.get([c, a, b])] == [c, a, b]


def test_unknown_ids_are_absent(store: Store) -> None:
    job = put(store)
    assert [record.id for record in store.get(["unknown", job, str(uuid.uuid4())])] == [job]
    assert store.get([]) == []


def test_the_last_eight_characters_are_enough(store: Store) -> None:
    job = put(store)
    put(store)
    assert [record.id for record in store.get([job[-8:]])] == [job]
    assert store.get(["00000000"]) == []


def test_seven_or_nine_are_not(store: Store) -> None:
    job = put(store)
    assert store.get([job[-7:]]) == []
    assert store.get([job[-9:]]) == []
    assert store.get([job[:8]]) == []


def test_eight_characters_of_two_jobs_mean_none(store: Store) -> None:
    first, second = f"{uuid.uuid4()}"[:-8] + "deadbeef", f"{uuid.uuid4()}"[:-8] + "deadbeef"
    put(store, id=first)
    put(store, id=second)
    with pytest.raises(AmbiguousId):
        store.get(["deadbeef"])
    assert [job.id for job in store.get([first])] == [first]
    store.delete(ids(second))
    assert [job.id for job in store.get(["deadbeef"])] == [first]


def test_many_ids_at_once(store: Store) -> None:
    jobs = [answer.id for answer in store.enqueue([new_job() for _ in range(1000)])]
    assert [job.id for job in store.get(jobs)] == jobs


# -- find ------------------------------------------------------------------------------------------------------------
def test_newest_first(store: Store) -> None:
    jobs = [put(store, priority=number) for number in range(5)]
    assert [job.id for job in store.find(JobFilter()).jobs] == jobs[::-1]


def test_pages_hold_every_job_once(store: Store) -> None:
    jobs = [put(store) for _ in range(7)]
    assert found(store) == jobs[::-1]


def test_a_page_continues_below_the_last_job_seen_whatever_came_meanwhile(store: Store) -> None:
    jobs = [put(store) for _ in range(6)]
    page = store.find(JobFilter(), 3)
    put(store)
    store.delete(ids(jobs[3]))
    rest = store.find(JobFilter(), 10, page.next)
    assert [job.id for job in rest.jobs] == [jobs[2], jobs[1], jobs[0]]
    assert rest.next is None


def test_fifty_are_a_page(store: Store) -> None:
    store.enqueue([new_job() for _ in range(60)])
    page = store.find(JobFilter())
    assert len(page.jobs) == 50
    assert page.next == page.jobs[-1].seq


def test_an_empty_store_has_one_empty_page(store: Store) -> None:
    page = store.find(JobFilter())
    assert (page.jobs, page.next, page.searched, page.total) == ([], None, 0, 0)


def test_a_page_says_how_far_it_looked(store: Store) -> None:
    for number in range(10):
        put(store, tags=json.dumps([f"t{number}"]))
    page = store.find(JobFilter(tag="t0"), 5)
    assert len(page.jobs) == 1
    assert 0 < page.searched <= page.total
    assert page.next is None


def test_by_ids(store: Store) -> None:
    a, _, c = put(store), put(store), put(store)
    assert found(store, ids=(a, c, "unknown")) == [c, a]


def test_by_state(store: Store) -> None:
    jobs = one_in_each_state(store)
    for name, job in jobs.items():
        assert found(store, states=(name,)) == [job]
    assert set(found(store, states=("queued", "failed"))) == {jobs["queued"], jobs["failed"]}


def test_by_queue_and_task(store: Store) -> None:
    a, b = put(store, "a", task="m:f"), put(store, "b", task="m:f")
    put(store, "a", task="m:g")
    assert found(store, queue="a", task="m:f") == [a]
    assert found(store, task="m:f") == [b, a]
    assert found(store, task="m") == []


def test_by_tag_whole(store: Store) -> None:
    job = put(store, tags='["red", "it\'s, \\"so\\""]')
    put(store)
    assert found(store, tag="red") == [job]
    assert found(store, tag="re") == []
    assert found(store, tag='it\'s, "so"') == [job]


def test_by_meta_every_key(store: Store) -> None:
    job = put(store, meta='{"customer": 7, "kind": "a", "deep": {"x": [1, null]}}')
    put(store, meta='{"customer": 7}')
    put(store)
    assert found(store, meta={"customer": 7, "kind": "a"}) == [job]
    assert found(store, meta={"customer": "7"}) == []
    assert found(store, meta={"deep": {"x": [1, None]}}) == [job]
    assert found(store, meta={"missing": None}) == []


def test_by_parent(store: Store) -> None:
    child = put(store, parent="p")
    put(store)
    assert found(store, parent="p") == [child]


def test_by_time_from_inclusive_to_exclusive(store: Store, clock: SettableClock) -> None:
    jobs = []
    for _ in range(4):
        jobs.append(put(store))
        clock.advance(1)
    assert found(store, since=T0 + SECOND, until=T0 + 3 * SECOND) == [jobs[2], jobs[1]]


@pytest.mark.parametrize(
    "column, value, text",
    [
        ("task", "shop.orders:ship", "orders:sh"),
        ("payload", '[["Paris"], {}]', "Paris"),
        ("payload", json.dumps([["grün %_"], {}]), "grün"),
        ("payload", json.dumps([["grün %_"], {}]), "%_"),
        ("payload", json.dumps([['say "hi"'], {}]), '"hi"'),
        ("meta", '{"city": "Oslo"}', "Oslo"),
        ("tags", '["blue"]', "blue"),
    ],
)
def test_text_is_found_in_what_was_given(store: Store, column: str, value: str, text: str) -> None:
    job = put(store, **{column: value})
    put(store)
    assert found(store, text=text) == [job]


def test_text_is_found_in_the_id_the_error_and_the_reason(store: Store) -> None:
    job = running(store)
    settle(store, failed(job, Backoff(0), '{"type": "Kaboom"}', reason="gave up"))
    put(store)
    assert found(store, text=job.id[10:30]) == [job.id]
    assert found(store, text="Kaboom") == [job.id]
    assert found(store, text="gave up") == [job.id]
    assert found(store, text="nowhere") == []


def test_all_conditions_must_hold(store: Store) -> None:
    job = put(store, "a", tags='["x"]', meta='{"k": 1}', parent="p")
    put(store, "b", tags='["x"]', meta='{"k": 1}', parent="p")
    put(store, "a", tags='["y"]', meta='{"k": 1}', parent="p")
    assert found(store, queue="a", tag="x", meta={"k": 1}, parent="p", states=("queued",), text="add") == [job]


def test_what_a_job_is_now_decides(store: Store) -> None:
    job = ended(store)
    assert found(store, states=("queued", "running")) == []
    assert found(store, states=("succeeded",)) == [job.id]


# -- ahead -----------------------------------------------------------------------------------------------------------
def test_ahead_counts_who_would_be_claimed_before(store: Store) -> None:
    first, second = put(store), put(store)
    urgent = put(store, priority=1)
    put(store, "other")
    assert [store.ahead(job) for job in (urgent, first, second)] == [0, 1, 2]


def test_ahead_of_what_does_not_wait_in_line_is_nobody(store: Store) -> None:
    put(store)
    late = put(store, delay=10)
    assert (store.ahead(late), store.ahead("unknown"), store.ahead(running(store).id)) == (0, 0, 0)


def test_expired_jobs_are_not_ahead(store: Store, clock: SettableClock) -> None:
    put(store, expires=5)
    job = put(store)
    assert store.ahead(job) == 1
    clock.advance(5)
    assert store.ahead(job) == 0


def test_ahead_falls_as_jobs_are_claimed(store: Store) -> None:
    worker = join(store)
    jobs = [put(store) for _ in range(5)]
    take(store, worker, 2)
    assert store.ahead(jobs[4]) == 2


def test_ahead_stops_counting_at_ten_thousand(store: Store) -> None:
    for _ in range(11):
        store.enqueue([new_job() for _ in range(1000)])
    last = put(store)
    assert store.ahead(last) == 10_000
