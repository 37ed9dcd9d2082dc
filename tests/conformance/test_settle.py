"""settle: outcomes fenced by (job, token, running); what was decided elsewhere is applied, once."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, crashed, failed, lost, parked, released, snoozed, succeeded
from packhorse._record import Report, rank
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import ERROR, SECOND, T0, join, put, running, settle, state, take_one, the

ONCE_MORE = Backoff(1, base=10, jitter=False)
NEVER = Backoff(0)


# -- where each verdict leads ----------------------------------------------------------------------------------------
def test_a_success_keeps_its_result_and_times(store: Store, clock: SettableClock) -> None:
    job = running(store)
    clock.advance(10)
    assert settle(store, succeeded(job, '"ok"')._replace(started=4.0, ended=1.5)) == []
    record = the(store, job.id)
    assert (record.state, record.result, record.result_until) == ("succeeded", '"ok"', None)
    assert (record.started_at, record.finished_at) == (T0 + 6 * SECOND, T0 + 8_500_000)
    assert (record.failures, record.error, record.reason) == (0, None, None)


def test_a_result_may_have_a_time(store: Store) -> None:
    job = running(store)
    settle(store, succeeded(job, "1", keep=60))
    assert the(store, job.id).result_until == T0 + 60 * SECOND


def test_a_failure_with_retries_left_waits_for_its_time(store: Store) -> None:
    job = running(store)
    settle(store, failed(job, ONCE_MORE, ERROR, reason="boom")._replace(started=1.0))
    record = the(store, job.id)
    assert (record.state, record.due_at, record.failures) == ("retrying", T0 + 10 * SECOND, 1)
    assert (record.error, record.reason, record.finished_at) == (ERROR, "boom", None)
    assert record.started_at == T0 - SECOND


def test_a_failure_without_is_final(store: Store) -> None:
    job = running(store)
    settle(store, failed(job, NEVER, ERROR))
    record = the(store, job.id)
    assert (record.state, record.failures, record.error, record.finished_at) == ("failed", 1, ERROR, T0)
    assert record.due_at is None


def test_a_cancelled_run_is_final(store: Store) -> None:
    job = running(store)
    assert settle(store, cancelled(job, "not needed")) == []
    record = the(store, job.id)
    assert (record.state, record.reason, record.finished_at) == ("cancelled", "not needed", T0)


def test_a_snooze_is_scheduled_and_not_counted(store: Store) -> None:
    job = running(store)
    settle(store, snoozed(job, 30, "later"))
    record = the(store, job.id)
    assert (record.state, record.due_at, record.snoozes, record.attempt) == ("scheduled", T0 + 30 * SECOND, 1, 1)
    assert record.reason == "later"


def test_a_release_goes_back_uncounted(store: Store) -> None:
    job = running(store)
    settle(store, released(job, "busy"))
    record = the(store, job.id)
    assert (record.state, record.attempt, record.reason, record.started_at) == ("queued", 1, "busy", None)


def test_a_release_forgets_the_start(store: Store) -> None:
    job = running(store)
    settle(store, released(job)._replace(started=2.0))
    assert the(store, job.id).started_at is None


def test_a_parked_job_is_blocked_in_its_side_line(store: Store) -> None:
    job = running(store, queue="mail")
    settle(store, parked(job, "mail"))
    record = the(store, job.id)
    assert (record.state, record.line, record.queue) == ("blocked", "mail#tasks:add", "mail")
    assert "no live worker knows" in (record.reason or "")


def test_a_crash_counts_and_keeps_its_reason(store: Store) -> None:
    job = running(store)
    settle(store, crashed(job, ERROR, "SIGSEGV"))
    record = the(store, job.id)
    assert (record.state, record.crashes, record.reason, record.error) == ("queued", 1, "SIGSEGV", ERROR)


def test_a_suspect_is_marked_until_it_has_run(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "SIGSEGV", alone=False))
    assert (the(store, job.id).suspect, the(store, job.id).crashes) == (True, 0)
    settle(store, succeeded(take_one(store, worker), "1"))
    assert not the(store, job.id).suspect


def test_a_loss_counts(store: Store) -> None:
    job = running(store)
    settle(store, lost(job, "host gone", started=True))
    assert (the(store, job.id).state, the(store, job.id).losses) == ("queued", 1)


def test_counters_add_up(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    for verdict in (crashed, crashed):
        settle(store, verdict(job, ERROR, "x")._replace(state="queued"))
        job = take_one(store, worker)
    settle(store, lost(job, "x", started=True))
    settle(store, snoozed(take_one(store, worker), 0))
    record = the(store, job.id)
    assert (record.crashes, record.losses, record.snoozes, record.failures, record.attempt) == (2, 1, 1, 0, 4)


def test_a_success_clears_the_error_but_a_release_does_not(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "x"))
    settle(store, released(take_one(store, worker)))
    assert the(store, job.id).error == ERROR
    settle(store, succeeded(take_one(store, worker), "1"))
    assert the(store, job.id).error is None


def test_the_reason_is_always_the_latest(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, crashed(job, ERROR, "x"))
    settle(store, released(take_one(store, worker)))
    assert the(store, job.id).reason is None


# -- ranks -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "verdict",
    [
        lambda job: failed(job, ONCE_MORE, ERROR),
        released,
        lambda job: crashed(job, ERROR, "x"),
        lambda job: lost(job, "x", started=True),
        lambda job: parked(job, job.queue),
    ],
    ids=["retry", "release", "crash", "loss", "parked"],
)
def test_whoever_was_put_back_keeps_the_rank(store: Store, clock: SettableClock, verdict: Any) -> None:
    job = running(store, priority=2)
    clock.advance(50)
    settle(store, verdict(job))
    assert the(store, job.id).rank == rank(T0, 2)


def test_a_snooze_gets_a_new_rank_from_its_due_time(store: Store, clock: SettableClock) -> None:
    job = running(store, priority=2)
    clock.advance(50)
    settle(store, snoozed(job, 10))
    assert the(store, job.id).rank == rank(T0 + 60 * SECOND, 2)


# -- the attempt row -------------------------------------------------------------------------------------------------
def test_a_failure_writes_its_attempt(store: Store, clock: SettableClock) -> None:
    worker = join(store, host="elm")
    job = running(store, worker)
    clock.advance(5)
    settle(store, failed(job, NEVER, ERROR, reason="why")._replace(started=3.0, ended=1.0, usage='{"cpu": 1}'))
    (row,) = store.attempts(job.id)
    assert (row.job, row.token, row.generation, row.number) == (job.id, job.token, 0, 1)
    assert (row.worker, row.host) == (worker, "elm")
    assert (row.started_at, row.ended_at) == (T0 + 2 * SECOND, T0 + 4 * SECOND)
    assert (row.outcome, row.error, row.reason, row.usage, row.late) == ("failed", ERROR, "why", '{"cpu": 1}', None)


def test_every_outcome_is_in_the_history_oldest_first(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    job = running(store, worker)
    for verdict in (
        crashed(job, ERROR, "a"),
        lost(job, "b", started=True),
        snoozed(job, 0, "c"),
        failed(job, Backoff(5, base=0), ERROR, reason="d"),
        succeeded(job, "1", reason="e"),
    ):
        settle(store, verdict._replace(token=the(store, job.id).token, started=0.0))
        if state(store, job.id) != "succeeded":
            clock.advance(1)
            store.promote()
            take_one(store, worker)
    rows = store.attempts(job.id)
    assert [row.outcome for row in rows] == ["crashed", "lost", "snoozed", "retry", "succeeded"]
    assert [row.reason for row in rows] == ["a", "b", "c", "d", "e"]
    assert [row.number for row in rows] == [1, 2, 3, 3, 4]
    assert len({row.token for row in rows}) == 5


def test_a_plain_success_has_an_attempt_all_the_same(store: Store, clock: SettableClock) -> None:
    """It is made up from the job: no row was written."""
    worker = join(store, host="elm")
    job = running(store, worker)
    clock.advance(3)
    settle(store, succeeded(job, "1")._replace(started=2.0, ended=1.0))
    (row,) = store.attempts(job.id)
    assert (row.token, row.outcome, row.number, row.generation) == (job.token, "succeeded", 1, 0)
    assert (row.worker, row.host) == (worker, "elm")
    assert (row.started_at, row.ended_at) == (T0 + SECOND, T0 + 2 * SECOND)


def test_a_release_that_never_started_leaves_no_attempt(store: Store) -> None:
    job = running(store)
    settle(store, released(job))
    assert store.attempts(job.id) == []


def test_a_release_that_had_started_is_in_the_history(store: Store) -> None:
    job = running(store)
    settle(store, released(job, "stopped by shutdown")._replace(started=1.0))
    (row,) = store.attempts(job.id)
    assert (row.outcome, row.reason, row.started_at) == ("released", "stopped by shutdown", T0 - SECOND)


def test_a_start_that_was_only_reported_counts_as_started(store: Store, clock: SettableClock) -> None:
    job = running(store)
    store.report("w", [Report(job.id, job.token, started=0.5)])
    clock.advance(1)
    settle(store, released(job))
    (row,) = store.attempts(job.id)
    assert row.started_at == T0 - SECOND // 2


def test_an_unfinished_job_has_no_attempts(store: Store) -> None:
    assert store.attempts(put(store)) == []
    assert store.attempts(running(store).id) == []
    assert store.attempts("unknown") == []


def test_the_host_is_left_out_when_the_worker_is_forgotten(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    store.leave(worker)
    settle(store, failed(job, NEVER, ERROR))
    (row,) = store.attempts(job.id)
    assert (row.worker, row.host) == (worker, None)
