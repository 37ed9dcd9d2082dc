"""settle: the fence, batches, a cancel that was asked for, logs."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, crashed, failed, lost, parked, released, snoozed, succeeded
from packhorse._record import Verdict
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, T0, beat, die, ended, ids, join, put, running, settle, state, take_one, the

ONCE_MORE = Backoff(1, base=10, jitter=False)
NEVER = Backoff(0)


# -- the fence -------------------------------------------------------------------------------------------------------
def test_the_token_stays_until_the_next_claim(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, released(job))
    assert (the(store, job.id).token, the(store, job.id).worker) == (job.token, worker)
    again = take_one(store, worker)
    assert the(store, job.id).token == again.token != job.token


def every_verdict() -> list[Any]:
    return [
        pytest.param(lambda job: succeeded(job, "1"), id="succeeded"),
        pytest.param(lambda job: succeeded(job, None, reason="x"), id="succeeded with a row"),
        pytest.param(lambda job: failed(job, NEVER, ERROR), id="failed"),
        pytest.param(lambda job: failed(job, ONCE_MORE, ERROR), id="retry"),
        pytest.param(lambda job: snoozed(job, 5), id="snoozed"),
        pytest.param(lambda job: cancelled(job, "x"), id="cancelled"),
        pytest.param(lambda job: released(job), id="released"),
        pytest.param(lambda job: released(job)._replace(started=1.0), id="released, started"),
        pytest.param(lambda job: parked(job, "mail"), id="parked"),
        pytest.param(lambda job: crashed(job, ERROR, "x"), id="crashed"),
        pytest.param(lambda job: lost(job, "x", started=True), id="lost"),
        pytest.param(lambda job: lost(job, "x", started=False), id="lost, never started"),
    ]


@pytest.mark.parametrize("attempt", ["first", "second"])
def test_a_run_that_ended_its_job_elsewhere_changes_nothing_more(store: Store, attempt: str) -> None:
    """Whatever is said of a run after its job has ended by its own hand; only its log is kept."""
    worker = join(store)
    job = running(store, worker, queue="mail")
    if attempt == "second":
        settle(store, released(job)._replace(started=1.0))
        job = take_one(store, worker)
    settle(store, succeeded(job, '"mine"')._replace(plain=attempt == "first"))
    before, rows = the(store, job.id), store.attempts(job.id)
    late = failed(job, NEVER, ERROR, reason="the transaction was not committed")._replace(
        elsewhere=True, log="its log\n"
    )
    assert settle(store, late) == [(job.id, job.token, "repeated", "succeeded")]
    assert (the(store, job.id), store.attempts(job.id)) == (before, rows)
    assert store.log(job.id) == [(job.token, "its log\n", 0)]


@pytest.mark.parametrize("verdict", every_verdict())
def test_without_such_an_end_the_verdict_of_the_run_stands(store: Store, verdict: Any) -> None:
    one, two = running(store), running(store)
    assert settle(store, verdict(one)) == settle(store, verdict(two)._replace(elsewhere=True)) == []
    first, second = the(store, one.id), the(store, two.id)
    assert (first.state, first.failures, first.reason) == (second.state, second.failures, second.reason)


@pytest.mark.parametrize("verdict", every_verdict())
def test_a_repeated_settle_changes_nothing_and_says_so(store: Store, clock: SettableClock, verdict: Any) -> None:
    """The reply was lost, so the same call comes again."""
    job = running(store, queue="mail")
    assert settle(store, verdict(job)) == []
    before, rows = the(store, job.id), store.attempts(job.id)
    clock.advance(1)
    assert settle(store, verdict(job)) == [(job.id, job.token, "repeated", before.state)]
    assert the(store, job.id) == before
    assert store.attempts(job.id) == rows


@pytest.mark.parametrize("verdict", every_verdict())
def test_a_token_of_an_earlier_claim_changes_nothing(store: Store, verdict: Any) -> None:
    worker = join(store)
    job = running(store, worker, queue="mail")
    settle(store, released(job))
    take_one(store, worker)
    before = the(store, job.id)
    (answer,) = settle(store, verdict(job))
    assert answer == (job.id, job.token, "stale", "running")
    assert the(store, job.id) == before


def test_a_foreign_token_changes_nothing(store: Store) -> None:
    job = running(store)
    before = the(store, job.id)
    assert settle(store, succeeded(job, "1")._replace(token="0" * 32)) == [(job.id, "0" * 32, "stale", "running")]
    assert the(store, job.id) == before
    assert store.attempts(job.id) == []


def test_a_job_that_is_not_stored_is_stale(store: Store) -> None:
    job = running(store)
    settle(store, succeeded(job, "1"))
    store.delete(ids(job.id))
    assert settle(store, succeeded(job, "1")) == [(job.id, job.token, "stale", None)]


def test_a_late_result_is_kept_with_the_attempt_that_was_given_up(store: Store) -> None:
    job = running(store)
    settle(store, lost(job, "host gone", started=True))
    (answer,) = settle(store, succeeded(job, '"late"'))
    assert answer == (job.id, job.token, "stale", "queued")
    (row,) = store.attempts(job.id)
    assert (row.outcome, row.late) == ("lost", '"late"')
    assert the(store, job.id).result is None


def test_a_late_error_is_kept_too(store: Store) -> None:
    job = running(store)
    settle(store, lost(job, "host gone", started=True))
    settle(store, failed(job, NEVER, ERROR))
    assert [row.late for row in store.attempts(job.id)] == [ERROR]


def test_a_late_result_never_touches_the_next_run(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, lost(job, "gone", started=True))
    again = take_one(store, worker)
    settle(store, succeeded(job, '"old"'))
    assert state(store, job.id) == "running"
    settle(store, succeeded(again, '"new"'))
    assert the(store, job.id).result == '"new"'
    assert [row.late for row in store.attempts(job.id)] == ['"old"', None]


def test_a_late_result_after_a_cancel_is_stale(store: Store) -> None:
    """The job is final and bears the token still, but what ended it was not this verdict."""
    job = running(store)
    settle(store, lost(job, "gone", started=True))
    store.cancel(ids(job.id))
    assert settle(store, succeeded(job, "9")) == [(job.id, job.token, "stale", "cancelled")]
    assert [row.late for row in store.attempts(job.id)] == ["9"]


def test_a_verdict_that_comes_second_with_another_outcome_is_stale(store: Store) -> None:
    job = running(store)
    settle(store, failed(job, NEVER, ERROR))
    assert settle(store, succeeded(job, "1"))[0].how == "stale"
    assert (state(store, job.id), the(store, job.id).result) == ("failed", None)


def test_a_repeat_is_known_even_while_the_job_runs_again(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "x"))
    take_one(store, worker)
    assert settle(store, crashed(job, ERROR, "x")) == [(job.id, job.token, "repeated", "running")]
    assert the(store, job.id).crashes == 1


def test_a_repeat_is_known_after_a_requeue(store: Store) -> None:
    job = ended(store)
    store.requeue(ids(job.id))
    assert settle(store, succeeded(job, "3")) == [(job.id, job.token, "repeated", "queued")]
    assert state(store, job.id) == "queued"


def test_a_condemned_workers_result_still_counts_until_the_rescue_has_decided(store: Store) -> None:
    """The fence is job, token and running; a run that ended well before its job was taken away ended well."""
    worker = join(store)
    job = running(store, worker)
    die(store, worker)
    assert store.settle(worker, [succeeded(job, "1")]) == []
    assert state(store, job.id) == "succeeded"


def test_a_ghost_that_was_put_back_cannot_be_settled(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    beat(store, worker)
    assert settle(store, succeeded(job, "1")) == [(job.id, job.token, "stale", "queued")]


# -- batches ---------------------------------------------------------------------------------------------------------
def test_only_what_was_not_applied_as_asked_is_answered(store: Store) -> None:
    good, stale, again = running(store), running(store), ended(store)
    verdicts = [succeeded(good, "1"), succeeded(stale, "1")._replace(token="f" * 32), succeeded(again, "3")]
    answers = {answer.job: answer.how for answer in settle(store, *verdicts)}
    assert answers == {stale.id: "stale", again.id: "repeated"}
    assert (state(store, good.id), state(store, stale.id)) == ("succeeded", "running")


def test_the_same_verdict_twice_in_one_batch_is_applied_once(store: Store) -> None:
    job = running(store)
    answers = settle(store, crashed(job, ERROR, "x"), crashed(job, ERROR, "x"))
    assert [answer.how for answer in answers] == ["repeated"]
    assert the(store, job.id).crashes == 1
    assert len(store.attempts(job.id)) == 1


def test_three_hundred_verdicts_at_once(store: Store) -> None:
    jobs = [running(store, queue="mail") for _ in range(3)]
    worker = join(store, "busy")
    for _ in range(297):
        put(store, "mail")
    jobs += store.claim(["mail"], 300, 0, worker, 1).jobs
    assert len(jobs) == 300
    assert settle(store, *(succeeded(job, "1") for job in reversed(jobs))) == []
    assert store.queues(["mail"])[0].counts["succeeded"] == 300


def test_nothing_to_settle_is_fine(store: Store) -> None:
    assert store.settle(None, []) == []


def test_an_outcome_that_cannot_be_stored_fails_its_job_and_no_other(store: Store) -> None:
    before, bad, after = running(store), running(store), running(store)
    verdicts = [succeeded(before, "1"), failed(bad, ONCE_MORE, ERROR, reason="\ud800"), succeeded(after, "1")]
    assert settle(store, *verdicts) == [(bad.id, bad.token, "unstorable", "failed")]
    record = the(store, bad.id)
    assert (record.state, record.failures) == ("failed", 1)
    assert (record.reason or "").startswith("outcome cannot be stored: ")
    assert [row.outcome for row in store.attempts(bad.id)] == ["failed"]
    assert (state(store, before.id), state(store, after.id)) == ("succeeded", "succeeded")


def test_one_that_cannot_be_stored_beside_one_that_is_stale(store: Store, other: Store) -> None:
    mine, bad, good = running(store), running(store), running(store)
    settle(other, lost(mine, "taken for dead", started=True))
    verdicts = [succeeded(mine, "1"), failed(bad, ONCE_MORE, ERROR, reason="\ud800"), succeeded(good, "1")]
    answers = settle(store, *verdicts)
    assert {(each.job, each.how) for each in answers} == {(mine.id, "stale"), (bad.id, "unstorable")}
    assert [state(store, job.id) for job in (mine, bad, good)] == ["queued", "failed", "succeeded"]


# -- a cancel that was asked for -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "verdict",
    [
        lambda job: failed(job, ONCE_MORE, ERROR),
        lambda job: failed(job, NEVER, ERROR),
        released,
        lambda job: snoozed(job, 5),
        lambda job: crashed(job, ERROR, "x", alone=False),
        lambda job: lost(job, "x", started=True),
        lambda job: parked(job, job.queue),
    ],
    ids=["retry", "failed", "release", "snooze", "crash", "loss", "parked"],
)
def test_a_requested_cancel_takes_precedence_over_all_but_a_success(store: Store, verdict: Any) -> None:
    job = running(store)
    store.cancel(ids(job.id), by="ada", reason="wrong file")
    given: Verdict = verdict(job)._replace(started=1.0)
    assert settle(store, given) == [(job.id, job.token, "cancelled", "cancelled")]
    record = the(store, job.id)
    assert (record.state, record.reason, record.cancel_by) == ("cancelled", "wrong file", "ada")
    assert (record.finished_at, record.due_at, record.suspect) == (T0, None, False)
    assert record.failures == given.failures
    assert [row.outcome for row in store.attempts(job.id)] == [given.outcome]


def test_a_success_comes_before_a_requested_cancel(store: Store) -> None:
    job = running(store)
    store.cancel(ids(job.id))
    assert settle(store, succeeded(job, "1")) == []
    assert (state(store, job.id), the(store, job.id).result) == ("succeeded", "1")


def test_a_run_that_was_stopped_on_request_is_cancelled_as_asked(store: Store) -> None:
    job = running(store)
    store.cancel(ids(job.id), reason="wrong file")
    assert settle(store, cancelled(job, None)) == []
    assert (state(store, job.id), the(store, job.id).reason) == ("cancelled", "wrong file")


def test_a_request_does_not_outlive_its_run(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    store.cancel(ids(job.id), reason="wrong file")
    settle(store, released(job))
    store.requeue(ids(job.id))
    again = take_one(store, worker)
    assert settle(store, released(again)) == []
    assert state(store, job.id) == "queued"


# -- logs ------------------------------------------------------------------------------------------------------------
def test_the_log_is_kept_by_attempt(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "x")._replace(log="one\n", log_dropped=5))
    again = take_one(store, worker)
    settle(store, succeeded(again, "1")._replace(log="two é\n"))
    assert store.log(job.id) == [(job.token, "one\n", 5), (again.token, "two é\n", 0)]
    assert store.log(job.id, job.token) == [(job.token, "one\n", 5)]
    assert store.log(job.id, "unknown") == []
    assert store.log("unknown") == []


def test_a_plain_success_keeps_its_log(store: Store) -> None:
    job = running(store)
    settle(store, succeeded(job, "1")._replace(log="hello\n"))
    assert store.log(job.id) == [(job.token, "hello\n", 0)]
