"""Which guard on a settle is enough, shown by visiting every state of the model."""

from __future__ import annotations

import pytest

from .lease_model import GUARDS, Rules, search

OLD = "the result of an old attempt was taken for that of a newer one"


@pytest.mark.parametrize("guard", ["id", "state", "owner"])
def test_less_than_the_claim_itself_is_no_guard(guard: str) -> None:
    found = search(Rules(guard))
    assert found.broken == OLD
    assert found.trace == (
        "slot 0 claims",
        "slot 0 is done",
        "rescued, wrongly",
        "slot 1 claims",
        "slot 0 settles",
    )


@pytest.mark.parametrize("guard", ["fence", "token"])
def test_the_number_or_the_token_of_the_claim_is_enough(guard: str) -> None:
    found = search(Rules(guard))
    assert (found.broken, found.trace, found.stuck) == (None, (), 0)
    assert found.states == 380


def test_a_number_counted_by_the_store_is_not_enough_when_the_store_falls_back() -> None:
    """The older copy hands out the same number again."""
    found = search(Rules("fence", failover=True))
    assert found.broken == OLD
    assert found.trace[2] == "failover to the older copy"
    assert len(found.trace) == 5


def test_a_random_token_is_enough_even_then() -> None:
    found = search(Rules("token", failover=True))
    assert (found.broken, found.stuck) == (None, 0)


def test_without_reconciliation_a_lost_reply_leaves_jobs_stuck_for_ever() -> None:
    found = search(Rules("token", reconcile=False))
    assert (found.broken, found.stuck) == (None, 18)


@pytest.mark.parametrize("guard", GUARDS)
def test_with_it_every_job_can_always_still_end(guard: str) -> None:
    assert search(Rules(guard)).stuck == 0
