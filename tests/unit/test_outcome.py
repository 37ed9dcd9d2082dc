"""Every decision about what becomes of an attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._backoff import Backoff
from packhorse._outcome import (
    MAX_CRASHES,
    MAX_LOSSES,
    MAX_SNOOZES,
    cancelled,
    crashed,
    failed,
    lost,
    parked,
    released,
    retried,
    snoozed,
    stopped,
    succeeded,
    untouched,
)
from packhorse._record import TRANSITIONS, Verdict

ERROR = '{"type": "ValueError"}'


@dataclass(frozen=True)
class Job:
    id: str = "j"
    token: str = "t"
    task: str = "m:f"
    crash_fails: bool = False
    failures: int = 0
    crashes: int = 0
    losses: int = 0
    snoozes: int = 0
    generation: int = 0


counts = st.integers(0, 20)
any_job = st.builds(
    Job, crash_fails=st.booleans(), failures=counts, crashes=counts, losses=counts, snoozes=counts, generation=counts
)


# -- success ---------------------------------------------------------------------------------------------------------
def test_a_success_at_the_very_first_attempt_is_plain() -> None:
    assert succeeded(Job(), "3") == Verdict("j", "t", "succeeded", "succeeded", plain=True, result="3")


@pytest.mark.parametrize("counter", ["failures", "crashes", "losses", "snoozes", "generation"])
def test_a_later_success_writes_its_attempt(counter: str) -> None:
    job = Job(**{counter: 1})
    assert not untouched(job)
    assert not succeeded(job, "3").plain


def test_a_success_without_its_result_says_so_in_its_attempt() -> None:
    verdict = succeeded(Job(), None, reason="result cannot be stored")
    assert (verdict.plain, verdict.reason, verdict.result) == (False, "result cannot be stored", None)


def test_a_result_may_be_kept_for_a_time() -> None:
    assert succeeded(Job(), "3", keep=60).keep == 60


# -- failure ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("failures, state", [(0, "retrying"), (1, "retrying"), (2, "failed"), (3, "failed")])
def test_two_retries_are_two_further_attempts(failures: int, state: str) -> None:
    verdict = failed(Job(failures=failures), Backoff(2), ERROR)
    assert (verdict.state, verdict.outcome) == (state, "retry" if state == "retrying" else "failed")
    assert (verdict.failures, verdict.error) == (1, ERROR)


def test_by_default_a_failure_is_final() -> None:
    assert failed(Job(), Backoff(0), ERROR, reason="why") == Verdict(
        "j", "t", "failed", "failed", error=ERROR, reason="why", failures=1
    )


def test_an_unwanted_error_is_final_whatever_is_left() -> None:
    assert failed(Job(), Backoff(9), ERROR, retry=False).state == "failed"


def test_the_delay_is_the_policys_for_that_retry() -> None:
    policy = Backoff(9, base=1, factor=2, jitter=False)
    assert [failed(Job(failures=n), policy, ERROR).delay for n in range(4)] == [1, 2, 4, 8]


def test_jitter_comes_from_the_generator_given() -> None:
    policy = Backoff(9, base=10)
    assert failed(Job(), policy, ERROR, rng=random.Random(1)).delay == policy.delay(1, random.Random(1))


def test_a_retry_asked_for_has_its_own_delay() -> None:
    verdict = retried(Job(), Backoff(2, base=100, jitter=False), ERROR, 7)
    assert (verdict.state, verdict.delay, verdict.failures) == ("retrying", 7, 1)


def test_or_the_policys() -> None:
    assert retried(Job(), Backoff(2, base=100, jitter=False), ERROR, None).delay == 100


def test_a_retry_asked_for_without_delay_comes_at_once() -> None:
    assert retried(Job(), Backoff(2, base=100, jitter=False), ERROR, 0).delay == 0


def test_a_retry_asked_for_ends_when_none_are_left() -> None:
    verdict = retried(Job(failures=2), Backoff(2), ERROR, 7)
    assert (verdict.state, verdict.delay) == ("failed", 0)


# -- snooze, cancel, release -----------------------------------------------------------------------------------------
def test_a_snooze_counts_as_nothing_but_a_snooze() -> None:
    assert snoozed(Job(), 30, "later") == Verdict("j", "t", "snoozed", "scheduled", reason="later", delay=30, snoozes=1)


def test_a_job_cannot_snooze_for_ever() -> None:
    assert snoozed(Job(snoozes=MAX_SNOOZES - 1), 1).state == "scheduled"
    verdict = snoozed(Job(snoozes=MAX_SNOOZES), 1, "not yet")
    assert (verdict.state, verdict.failures) == ("failed", 1)
    assert verdict.reason == "snoozed 1,000 times, last: not yet"
    assert snoozed(Job(snoozes=MAX_SNOOZES), 1).reason == "snoozed 1,000 times"


def test_a_cancel_is_final() -> None:
    assert cancelled(Job(), "x") == Verdict("j", "t", "cancelled", "cancelled", reason="x")


def test_a_release_counts_nothing() -> None:
    assert released(Job(), "busy") == Verdict("j", "t", "released", "queued", reason="busy")


def test_a_forced_shutdown_releases() -> None:
    assert stopped(Job()) == released(Job(), "stopped by shutdown")


def test_a_forced_shutdown_fails_what_must_not_run_twice() -> None:
    verdict = stopped(Job(crash_fails=True))
    assert (verdict.state, verdict.reason) == ("failed", "stopped by shutdown")


def test_an_unknown_task_is_parked_and_says_why() -> None:
    verdict = parked(Job(), "mail")
    assert (verdict.outcome, verdict.state, verdict.line) == ("released", "blocked", "mail#m:f")
    assert verdict.reason == "no live worker knows the task 'm:f'"


# -- crash and loss --------------------------------------------------------------------------------------------------
def test_the_first_crash_runs_again_at_once() -> None:
    assert crashed(Job(), ERROR, "SIGSEGV") == Verdict(
        "j", "t", "crashed", "queued", error=ERROR, reason="SIGSEGV", crashes=1
    )


def test_the_second_waits() -> None:
    verdict = crashed(Job(crashes=1), ERROR, "SIGSEGV", rng=random.Random(1))
    assert (verdict.state, verdict.crashes) == ("retrying", 1)
    assert 0 <= verdict.delay <= 2


def test_the_third_is_poison() -> None:
    verdict = crashed(Job(crashes=MAX_CRASHES - 1), ERROR, "SIGSEGV")
    assert (verdict.state, verdict.outcome, verdict.crashes) == ("failed", "crashed", 1)
    assert verdict.reason == "poison: crashed 3×, last SIGSEGV in m:f"


def test_a_crash_in_company_makes_a_suspect_and_counts_nothing() -> None:
    verdict = crashed(Job(crashes=MAX_CRASHES - 1), ERROR, "SIGSEGV", alone=False)
    assert (verdict.state, verdict.suspect, verdict.crashes) == ("queued", True, 0)


@pytest.mark.parametrize("alone", [True, False])
def test_what_must_not_run_twice_fails_at_its_first_crash(alone: bool) -> None:
    verdict = crashed(Job(crash_fails=True), ERROR, "SIGSEGV", alone=alone)
    assert (verdict.state, verdict.reason) == ("failed", "crashed, not retried: SIGSEGV")


def test_a_loss_runs_again_at_once() -> None:
    assert lost(Job(), "host gone", started=True) == Verdict("j", "t", "lost", "queued", reason="host gone", losses=1)


def test_what_is_not_known_to_have_started_is_released_but_counted() -> None:
    verdict = lost(Job(crash_fails=True), "host gone", started=False)
    assert (verdict.outcome, verdict.state, verdict.losses) == ("released", "queued", 1)


def test_what_must_not_run_twice_fails_when_lost_after_its_start() -> None:
    verdict = lost(Job(crash_fails=True), "host gone", started=True)
    assert (verdict.state, verdict.reason) == ("failed", "lost, not retried: host gone")


@pytest.mark.parametrize("started", [True, False])
def test_ten_losses_are_poison(started: bool) -> None:
    assert lost(Job(losses=MAX_LOSSES - 2), "x", started=started).state == "queued"
    verdict = lost(Job(losses=MAX_LOSSES - 1), "x", started=started)
    assert (verdict.state, verdict.reason) == ("failed", "poison: lost 10×, last: x")


# -- all of them -----------------------------------------------------------------------------------------------------
@given(any_job, st.integers(0, 5), st.booleans(), st.floats(0, 100))
def test_every_verdict_is_a_lawful_move_and_names_its_attempt(job: Any, retries: int, flag: bool, delay: float) -> None:
    verdicts = [
        succeeded(job, "1"),
        failed(job, Backoff(retries), ERROR, retry=flag),
        retried(job, Backoff(retries), ERROR, delay if flag else None),
        snoozed(job, delay),
        cancelled(job, None),
        released(job),
        stopped(job),
        parked(job, "mail"),
        crashed(job, ERROR, "x", alone=flag),
        lost(job, "x", started=flag),
    ]
    for verdict in verdicts:
        assert ("running", "settle", verdict.state) in TRANSITIONS
        assert (verdict.job, verdict.token) == (job.id, job.token)
        assert verdict.failures + verdict.crashes + verdict.losses + verdict.snoozes <= 1
        assert verdict.delay >= 0
        assert (verdict.line is not None) == (verdict.state == "blocked")
        assert verdict.plain == (verdict.state == "succeeded" and untouched(job))


@given(any_job)
def test_crashes_losses_and_failures_come_to_an_end(job: Any) -> None:
    assert crashed(Job(crashes=max(job.crashes, MAX_CRASHES)), ERROR, "x").state == "failed"
    assert lost(Job(losses=max(job.losses, MAX_LOSSES)), "x", started=True).state == "failed"
    assert failed(job, Backoff(job.failures), ERROR).state == "failed"
