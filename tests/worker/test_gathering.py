"""How long outcomes wait for what may come with them. Pure: the clock is a number."""

from __future__ import annotations

import pytest

from packhorse._worker.gathering import MOST, PART, SETTLE_AFTER, SETTLE_AT, WISH, Gathering


def gathering(*, idle: bool = False, call: float = 0.0, run: float = 0.0) -> Gathering:
    """Return the rule after a call that took so long, and one outcome at 100 s of a run that took so long."""
    found = Gathering()
    if call:
        found.took(call, [(None, 0, round(run * 1e9), None)])  # type: ignore[list-item]
    found.oldest, found.idle = 100.0, idle
    return found


def test_before_anything_was_measured_a_free_slot_waits_for_nothing() -> None:
    assert gathering().exchange_at(True) == 100.0


def test_outcomes_of_short_runs_wait_a_part_of_a_call_for_each_other() -> None:
    assert gathering(call=0.004, run=0.0001).exchange_at(True) == pytest.approx(100.0 + 0.004 * PART)


def test_but_never_long() -> None:
    assert gathering(call=5.0, run=0.0001).exchange_at(True) == 100.0 + MOST


def test_a_slot_whose_jobs_run_longer_than_a_call_waits_for_nothing() -> None:
    assert gathering(call=0.004, run=0.1).exchange_at(True) == 100.0


def test_when_nothing_else_runs_there_is_nobody_to_wait_for() -> None:
    assert gathering(idle=True, call=0.004, run=0.0001).exchange_at(True) == 100.0


def test_but_main_may_be_about_to_ask_for_jobs() -> None:
    busy = gathering(idle=True)
    assert busy.settle_at(1, wanted=False) == 100.0 + WISH
    assert busy.settle_at(1, wanted=True) == 100.0


def test_where_no_slot_is_free_many_are_settled_together() -> None:
    busy = gathering()
    assert busy.settle_at(SETTLE_AT - 1, wanted=False) == 100.0 + SETTLE_AFTER
    assert busy.settle_at(SETTLE_AT, wanted=False) == 100.0
