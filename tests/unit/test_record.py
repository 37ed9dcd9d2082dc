"""The states, their one table, and the shapes of the contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._record import DEFAULT_STEP, FINAL, STATES, TRANSITIONS, WAITING, Orphan, rank, side_line

MICROSECONDS = st.integers(0, 2**51)
PRIORITIES = st.integers(-100, 100)


def targets(source: str | None, verb: str) -> set[str]:
    return {target for start, by, target in TRANSITIONS if (start, by) == (source, verb)}


def test_there_are_eight_states_each_waiting_running_or_final() -> None:
    assert len(STATES) == len(set(STATES)) == 8
    assert WAITING | FINAL | {"running"} == set(STATES)
    assert not WAITING & FINAL


def test_every_state_can_be_reached_and_every_move_is_between_states() -> None:
    assert {target for _, _, target in TRANSITIONS} == set(STATES)
    assert {source for source, _, _ in TRANSITIONS} - {None} == set(STATES)


def test_only_a_requeue_leaves_a_final_state() -> None:
    assert {verb for source, verb, _ in TRANSITIONS if source in FINAL} == {"requeue"}


def test_only_a_claim_makes_a_job_run_and_only_from_queued() -> None:
    assert {(source, verb) for source, verb, target in TRANSITIONS if target == "running"} == {("queued", "claim")}


def test_only_settle_and_beat_end_a_run() -> None:
    assert {verb for source, verb, _ in TRANSITIONS if source == "running"} == {"settle", "beat"}
    assert targets("running", "settle") == set(STATES) - {"running"}
    assert targets("running", "beat") == {"queued", "cancelled"}


def test_success_and_failure_come_from_a_run_alone() -> None:
    ends = {(source, verb) for source, verb, target in TRANSITIONS if target in ("succeeded", "failed")}
    assert ends == {("running", "settle")}


@pytest.mark.parametrize("verb", ["cancel", "expire"])
def test_all_that_waits_can_be_cancelled_and_expire(verb: str) -> None:
    assert {source for source, by, _ in TRANSITIONS if by == verb} == WAITING
    assert {target for _, by, target in TRANSITIONS if by == verb} == {"cancelled"}


def test_a_new_job_is_queued_scheduled_or_blocked() -> None:
    assert {(verb, target) for source, verb, target in TRANSITIONS if source is None} == {
        (verb, state) for verb in ("enqueue", "fire") for state in ("queued", "scheduled", "blocked")
    }


def test_one_that_is_replaced_waits_still() -> None:
    assert {source for source, verb, _ in TRANSITIONS if source and verb == "enqueue"} == WAITING
    assert targets("queued", "enqueue") == {"cancelled"}


def test_what_waits_is_let_go_by_admit_alone_or_gives_up() -> None:
    assert targets("blocked", "admit") == {"queued", "cancelled"}
    assert {source for source, verb, _ in TRANSITIONS if verb == "admit"} == {"blocked"}


def test_what_is_on_its_way_is_not_requeued() -> None:
    assert {source for source, verb, _ in TRANSITIONS if verb == "requeue"} == FINAL | {"scheduled", "retrying"}


@given(MICROSECONDS, MICROSECONDS, PRIORITIES)
def test_among_equals_the_earlier_comes_first(one: int, other: int, priority: int) -> None:
    assert (rank(one, priority) < rank(other, priority)) == (one < other)


@given(MICROSECONDS, PRIORITIES, PRIORITIES)
def test_of_one_time_the_higher_priority_comes_first(ready: int, one: int, other: int) -> None:
    assert (rank(ready, one) < rank(ready, other)) == (one > other)


@given(MICROSECONDS, PRIORITIES)
def test_a_rank_gives_back_its_time_and_fits_a_double(ready: int, priority: int) -> None:
    place = rank(ready, priority)
    assert place + priority * DEFAULT_STEP == ready
    assert abs(place) < 2**53


@given(st.integers(0, 10**15), st.integers(1, DEFAULT_STEP - 1))
def test_within_a_step_priority_wins_and_after_it_age(ready: int, later: int) -> None:
    assert rank(ready + later, 1) < rank(ready, 0) < rank(ready + DEFAULT_STEP + later, 1)


def test_a_side_line_is_no_queues_name() -> None:
    assert side_line("mail", "tasks:add") == "mail#tasks:add"


def test_an_orphan_is_known_to_the_decisions_by_its_id() -> None:
    orphan = Orphan("j", "t", "m:f", "w", None, True, False, 0, 0, 0, 0, 0)
    assert orphan.id == orphan.job == "j"
