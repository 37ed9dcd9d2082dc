"""enqueue: stored once, all or none, in the order given."""

from __future__ import annotations

import json

import pytest

from packhorse._record import rank
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import IdConflict

from .conftest import Open
from .making import SECOND, T0, ended, join, new_job, put, take, the


def test_a_new_job_is_queued_and_everything_given_is_stored(store: Store) -> None:
    given = new_job(
        priority=5,
        options='{"retry": 3}',
        crash_fails=True,
        tags='["a"]',
        meta='{"k": 1}',
        by='{"user": "ada"}',
        parent="p",
    )
    (answer,) = store.enqueue([given])
    assert answer == (given.id, "queued", T0, None, False)
    job = the(store, given.id)
    for name in (
        "id",
        "task",
        "queue",
        "payload",
        "priority",
        "options",
        "crash_fails",
        "tags",
        "meta",
        "by",
        "parent",
    ):
        assert getattr(job, name) == getattr(given, name), name


def test_a_new_job_has_a_clean_record(store: Store) -> None:
    job = the(store, put(store))
    assert (job.failures, job.crashes, job.losses, job.snoozes, job.generation, job.attempt) == (0, 0, 0, 0, 0, 1)
    assert job.line == job.queue
    assert (job.created_at, job.rank) == (T0, rank(T0, 0))
    empty = (
        "due_at scheduled_at started_at finished_at expires_at token worker result result_until error reason progress "
        "cancel_at cancel_by"
    )
    assert [name for name in empty.split() if getattr(job, name) is not None] == []
    assert not job.suspect


def test_jobs_are_stored_in_the_order_given(store: Store) -> None:
    jobs = [new_job() for _ in range(20)]
    assert [answer.id for answer in store.enqueue(jobs)] == [job.id for job in jobs]
    seqs = [job.seq for job in store.get([job.id for job in jobs])]
    assert seqs == sorted(set(seqs))
    assert [job.id for job in take(store, join(store))] == [job.id for job in jobs]


def test_nothing_to_enqueue_is_fine(store: Store) -> None:
    assert store.enqueue([]) == []


def test_a_delay_makes_a_job_scheduled(store: Store) -> None:
    (answer,) = store.enqueue([new_job(delay=1.5, priority=2)])
    due = T0 + 1_500_000
    assert answer == (answer.id, "scheduled", T0, due, False)
    job = the(store, answer.id)
    assert (job.due_at, job.scheduled_at, job.rank) == (due, due, rank(due, 2))


def test_an_absolute_time_is_stored_as_given(store: Store) -> None:
    job = the(store, put(store, at=T0 + 7))
    assert (job.state, job.due_at, job.scheduled_at, job.rank) == ("scheduled", T0 + 7, T0 + 7, rank(T0 + 7, 0))


@pytest.mark.parametrize("at", [0, T0 - 1, T0])
def test_an_absolute_time_that_is_over_means_now(store: Store, at: int) -> None:
    """Else whoever names an early time would overtake everybody."""
    job = the(store, put(store, at=at))
    assert (job.state, job.due_at, job.scheduled_at, job.rank) == ("queued", None, None, rank(T0, 0))


def test_an_absolute_time_wins_over_a_delay(store: Store) -> None:
    assert the(store, put(store, at=T0 + 9, delay=50)).due_at == T0 + 9


def test_expiry_is_counted_from_now_or_given_absolutely(store: Store) -> None:
    assert the(store, put(store, expires=2.5)).expires_at == T0 + 2_500_000
    assert the(store, put(store, expires_at=T0 + 3)).expires_at == T0 + 3


def test_a_known_id_with_the_same_content_is_stored_once(store: Store, clock: SettableClock) -> None:
    """The reply was lost, so the same call comes again."""
    job = new_job(delay=10)
    (first,) = store.enqueue([job])
    clock.advance(20)
    (again,) = store.enqueue([job])
    assert again == first._replace(existing=True)
    assert len(store.find(JobFilter()).jobs) == 1


def test_a_known_id_answers_with_the_stored_state(store: Store) -> None:
    done = ended(store)
    (answer,) = store.enqueue([new_job(done.queue, id=done.id, task=done.task, payload=done.payload, delay=5)])
    assert answer == (done.id, "succeeded", T0, None, True)
    assert the(store, done.id).result == "3"


@pytest.mark.parametrize("change", [{"task": "other:one"}, {"queue": "other"}, {"payload": "[[3], {}]"}])
def test_a_known_id_with_another_content_is_refused_and_nothing_is_stored(store: Store, change: dict[str, str]) -> None:
    known, fresh = new_job(), new_job()
    store.enqueue([known])
    with pytest.raises(IdConflict) as caught:
        store.enqueue([fresh, known._replace(**change)])
    assert caught.value.job_id == known.id
    assert store.get([fresh.id]) == []
    assert the(store, known.id).payload == known.payload


def test_other_options_are_no_other_content(store: Store) -> None:
    job = new_job(priority=1)
    store.enqueue([job])
    assert store.enqueue([job._replace(priority=9, tags='["x"]')])[0].existing
    assert the(store, job.id).priority == 1


def test_an_id_twice_in_one_call_is_stored_once(store: Store) -> None:
    job = new_job()
    assert [answer.existing for answer in store.enqueue([job, job])] == [False, True]
    assert len(store.find(JobFilter()).jobs) == 1


def test_an_id_twice_in_one_call_with_other_content_stores_nothing(store: Store) -> None:
    job = new_job()
    with pytest.raises(IdConflict):
        store.enqueue([job, job._replace(payload="[[], {}]")])
    assert store.find(JobFilter()).jobs == []


@pytest.mark.parametrize(
    "text", ["grün", "日本", "\x00nul", "\ud800 lone", "a\nb", "'; DROP TABLE jobs; --", "{}%_\\", "😀", ""]
)
def test_any_text_survives_in_a_payload(store: Store, text: str) -> None:
    """Payloads are ASCII-escaped JSON, so that no store's idea of text matters."""
    payload = json.dumps([[text], {}])
    job = the(store, put(store, payload=payload, tags=json.dumps([text]), meta=json.dumps({"k": text})))
    assert json.loads(job.payload) == [[text], {}]
    assert json.loads(job.tags or "") == [text]
    assert json.loads(job.meta or "") == {"k": text}


def test_a_megabyte_is_stored_whole(store: Store) -> None:
    payload = json.dumps([["x" * 1_000_000], {}])
    assert the(store, put(store, payload=payload)).payload == payload


def test_a_thousand_jobs_are_stored_by_one_call(store: Store) -> None:
    answers = store.enqueue([new_job() for _ in range(1000)])
    assert len({answer.id for answer in answers}) == 1000
    (queue,) = store.queues()
    assert queue.counts["queued"] == 1000


def test_namespaces_do_not_see_each_other(store: Store, open_another: Open) -> None:
    elsewhere = open_another(namespace="elsewhere")
    elsewhere.migrate()
    job = new_job()
    store.enqueue([job])
    assert elsewhere.get([job.id]) == []
    assert elsewhere.queues() == []
    assert take(elsewhere, join(elsewhere)) == []
    assert not elsewhere.enqueue([job._replace(payload="[[9], {}]")])[0].existing
    assert the(store, job.id).payload == job.payload


def test_the_store_keeps_its_own_time(store: Store, clock: SettableClock) -> None:
    assert store.now() == T0
    clock.advance(2)
    assert store.now() == T0 + 2 * SECOND
    assert the(store, put(store)).created_at == T0 + 2 * SECOND
