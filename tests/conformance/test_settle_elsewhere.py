"""settle, where the run says that it ended its job itself, in a transaction of the user's own."""

from __future__ import annotations

from packhorse._backoff import Backoff
from packhorse._outcome import failed, released, succeeded
from packhorse._store import Store

from .making import ERROR, SECOND, ended, join, put, running, settle, state, take_one, the


def test_a_job_that_has_ended_under_the_token_has_ended(store: Store) -> None:
    """The outcome given is for the case that it was not committed; it was."""
    job = ended(store)
    (answer,) = settle(store, failed(job, Backoff(0), ERROR)._replace(elsewhere=True))
    assert (answer.how, answer.state) == ("repeated", "succeeded")
    assert (the(store, job.id).failures, the(store, job.id).result) == (0, "3")
    assert [row.late for row in store.attempts(job.id)] == [None]


def test_so_has_one_whose_end_has_an_attempt_of_its_own(store: Store) -> None:
    worker = join(store)
    put(store, "mail")
    first = take_one(store, worker)
    settle(store, released(first, "shutdown")._replace(started=1.0))
    second = take_one(store, worker, claim_no=2)
    settle(store, succeeded(second, "1")._replace(log="done\n", plain=False))
    (answer,) = settle(store, failed(second, Backoff(0), ERROR)._replace(elsewhere=True))
    assert (answer.how, answer.state) == ("repeated", "succeeded")
    assert [(row.outcome, row.late) for row in store.attempts(second.id)] == [("released", None), ("succeeded", None)]


def test_a_job_that_runs_still_was_not_committed(store: Store) -> None:
    job = running(store)
    assert settle(store, failed(job, Backoff(0), ERROR, reason="not committed")._replace(elsewhere=True)) == []
    assert (state(store, job.id), the(store, job.id).reason) == ("failed", "not committed")


def test_a_job_that_was_given_to_another_run_is_that_ones(store: Store, clock) -> None:  # type: ignore[no-untyped-def]
    worker = join(store)
    put(store, "mail")
    first = take_one(store, worker)
    decided = failed(first, Backoff(1, base=1, jitter=False), ERROR)
    settle(store, decided)
    clock.advance(60)
    store.promote()
    second = take_one(store, worker, claim_no=2)
    (answer,) = settle(store, decided._replace(elsewhere=True))
    assert (answer.how, answer.state) == ("repeated", "running")  # its own outcome was written before
    assert settle(store, succeeded(second, "1")) == []
    (answer,) = settle(store, succeeded(first, "2")._replace(elsewhere=True))
    assert (answer.how, answer.state) == ("stale", "succeeded")
    assert the(store, first.id).result == "1"


def test_a_second_word_of_it_is_repeated(store: Store) -> None:
    job = running(store)
    verdict = failed(job, Backoff(0), ERROR)._replace(elsewhere=True)
    assert settle(store, verdict) == []
    before = the(store, job.id)
    assert [answer.how for answer in settle(store, verdict)] == ["repeated"]
    assert the(store, job.id) == before
    assert before.finished_at is not None
    assert before.finished_at % SECOND == 0
