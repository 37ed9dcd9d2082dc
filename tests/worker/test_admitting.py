"""When a worker looks for waiting jobs. Pure: the clock is a number."""

from __future__ import annotations

import pytest

from packhorse._admission import Admitted
from packhorse._record import Claimed
from packhorse._worker.admitting import POLL, SOON, Admitting
from packhorse._worker.mailbox import Done

NOTHING = Admitted(0, 0, False, False, None)
SOMETHING_WAITS = NOTHING._replace(waits=True)


def after(answer: Admitted, now: float = 100.0, *, idle: bool = True) -> Admitting:
    """Return the rule of a worker that has just looked."""
    admitting = Admitting()
    admitting.asked(answer, now, idle)
    return admitting


def test_a_new_worker_looks_at_once() -> None:
    assert Admitting().due <= 0.0


@pytest.mark.parametrize("answer", [NOTHING, SOMETHING_WAITS])
def test_however_quiet_it_is_it_looks_each_second(answer: Admitted) -> None:
    assert after(answer).due == 100.0 + POLL


def test_with_more_to_look_at_it_looks_again_at_once() -> None:
    assert after(NOTHING._replace(more=True)).due == 100.0


def test_a_hint_that_brought_nothing_to_claim_means_one_that_waits() -> None:
    admitting = after(NOTHING)
    admitting.hinted()
    assert admitting.due == 100.0 + POLL, "the claim comes first"
    admitting.claimed(False, 100.2)
    assert admitting.due == 100.2


def test_a_hint_that_brought_something_to_claim_puts_it_off_for_a_moment_and_only_once() -> None:
    admitting = after(NOTHING)
    admitting.hinted()
    admitting.claimed(True, 100.2)
    assert admitting.due == 100.2 + SOON
    admitting.hinted()
    admitting.claimed(True, 100.2 + SOON)
    assert admitting.due == 100.2 + SOON


def test_claims_without_a_hint_cost_nothing() -> None:
    """Jobs without rules, one after the other: no look between them."""
    admitting = after(NOTHING)
    for n in range(9):
        admitting.claimed(n % 2 == 0, 100.0 + n / 10)
    assert admitting.due == 100.0 + POLL


def test_what_was_freed_is_passed_on_before_the_next_claim_if_somebody_waited() -> None:
    admitting = after(SOMETHING_WAITS)
    assert admitting.freed(100.1)
    assert admitting.due == 100.1


def test_as_long_as_claims_find_enough_one_look_serves_many_ends() -> None:
    admitting = after(SOMETHING_WAITS)
    admitting.claimed(True, 100.0, scarce=False)
    assert not admitting.freed(100.1)
    assert not admitting.freed(100.1 + SOON / 2)
    assert admitting.due == 100.1 + SOON
    admitting.claimed(True, 100.1 + SOON / 2, scarce=True)
    assert admitting.freed(100.1 + SOON / 2)


def run(**changes: object) -> Done:
    """Return a run that has ended."""
    zeros = dict.fromkeys(Claimed._fields, 0)
    return Claimed(**{**zeros, "holds": None, **changes}), 0, 1, None  # type: ignore[arg-type]


def test_with_slots_free_the_end_of_a_holder_is_looked_at_between_settle_and_claim() -> None:
    holder, plain = run(holds='[["x", "box"]]'), run()
    admitting = after(SOMETHING_WAITS)
    assert admitting.goes_first([plain, holder], 100.1)
    assert not admitting.goes_first([plain], 100.1), "jobs without rules pay for no look"
    admitting.claimed(True, 100.1, scarce=False)
    assert not admitting.goes_first([holder], 100.1)
    assert admitting.goes_first([plain], 100.0 + POLL), "it is due anyway"
    assert not after(NOTHING).goes_first([holder], 100.1), "nobody waits"


def test_else_it_is_looked_at_in_a_moment_however_often_it_happens() -> None:
    admitting = after(NOTHING)
    assert not admitting.freed(100.1)
    assert not admitting.freed(100.1 + SOON / 2)
    assert admitting.due == 100.1 + SOON


def test_a_rate_sets_the_clock_of_a_worker_with_a_free_slot() -> None:
    admitting = after(SOMETHING_WAITS._replace(next=0.2))
    assert 100.2 <= admitting.due <= 100.211


def test_and_of_one_without_as_soon_as_it_has_one() -> None:
    admitting = after(SOMETHING_WAITS._replace(next=0.2), idle=False)
    assert admitting.due == 100.0 + POLL
    admitting.wanted()
    assert 100.2 <= admitting.due <= 100.211


def test_a_rate_of_long_ago_wakes_nobody() -> None:
    admitting = after(SOMETHING_WAITS._replace(next=0.2))
    admitting.asked(SOMETHING_WAITS, 100.2, True)
    admitting.wanted()
    assert admitting.due == 100.2 + POLL
