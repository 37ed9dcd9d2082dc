"""How a worker bears a store that is away."""

import logging

import pytest

from packhorse._worker.outage import COMPLAIN_EVERY, LONGEST_PAUSE, REFUSED_PAUSE, Outage
from packhorse.errors import BadSchema, SchemaGone, StoreRefused, StoreUnavailable

GONE = StoreUnavailable("connection refused")


@pytest.fixture(autouse=True)
def _all_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "packhorse.store")


def test_pauses_grow_and_stay_within_two_seconds() -> None:
    """So that a worker is back within five seconds of its store: a pause, and a try that may take three."""
    for _ in range(50):
        outage = Outage()
        outage.failed(GONE, 100.0)
        assert 100.0 < outage.not_before <= 100.2
        for _ in range(40):
            outage.failed(GONE, 100.0)
            assert 100.0 < outage.not_before <= 100.0 + LONGEST_PAUSE
    assert LONGEST_PAUSE + 3.0 <= 5.0


def test_many_workers_do_not_knock_at_the_same_moment() -> None:
    """Of a thousand that lost the store together, no twentieth of the longest pause sees more than a tenth come back."""
    moments = []
    for _ in range(1000):
        outage = Outage()
        for _ in range(8):
            outage.failed(GONE, 0.0)
        moments.append(int(outage.not_before / LONGEST_PAUSE * 20))
    assert max(moments.count(slice_) for slice_ in range(20)) < 100


def test_it_is_told_at_first_then_now_and_then_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("redis://h  (from REDIS_URL)")
    assert not outage.begun
    outage.failed(GONE, 0.0)
    outage.failed(GONE, 1.0)
    outage.failed(GONE, COMPLAIN_EVERY + 1.0)
    assert outage.begun
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert caplog.messages[0] == (
        "cannot reach the job store, the running jobs go on.  [E101]\n"
        "  redis://h  (from REDIS_URL)  →  connection refused\n"
        "  retrying … (quiet until it changes)"
    )
    assert "away for 31 s" in caplog.messages[1]
    assert outage.over(40.0, 3)
    assert caplog.messages[2] == "the store is back after 40.0 s, 3 jobs re-checked"
    assert not outage.begun


def test_a_start_that_waits_says_how_not_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    Outage("redis://h").failed(GONE, 0.0, at_start=True)
    assert caplog.messages[0].endswith("  retrying … (quiet until it changes; exits 69 with --no-retry)")
    assert "nothing is served yet" in caplog.messages[0]


def test_data_that_are_gone_are_no_server_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    Outage("redis://h").failed(SchemaGone("The tables are gone: was a dump restored?"), 0.0)
    assert caplog.messages[0].startswith(
        "unhealthy for 0 s: the data of the job store are not those this worker began with"
    )


@pytest.mark.parametrize("error", [StoreRefused("password authentication failed"), BadSchema("schema 3 is newer")])
def test_a_refusal_is_an_error_each_time_and_tried_every_ten_seconds(
    caplog: pytest.LogCaptureFixture, error: StoreRefused | BadSchema
) -> None:
    outage = Outage("redis://h")
    outage.failed(GONE, 0.0)
    for now in (1.0, 11.0, 21.0):
        outage.failed(error, now)
        assert now + REFUSED_PAUSE * 0.9 <= outage.not_before <= now + REFUSED_PAUSE
    assert len(caplog.messages) == 4
    assert caplog.messages[-1].startswith("unhealthy for 21 s: the job store refuses this worker")
    assert str(error).split("  [")[0] in caplog.messages[-1]
    outage.failed(GONE, 31.0)  # refused no more, but away: its kind has changed, so that is said
    assert "away for 31 s" in caplog.messages[-1]
    assert outage.not_before <= 31.0 + LONGEST_PAUSE
    assert outage.over(32.0)


def test_nothing_is_over_that_never_began() -> None:
    assert not Outage().over(1.0)


def test_after_an_outage_the_pauses_are_short_again() -> None:
    outage = Outage()
    for _ in range(20):
        outage.failed(GONE, 0.0)
    outage.over(1.0)
    outage.failed(GONE, 100.0)
    assert outage.not_before <= 100.2
