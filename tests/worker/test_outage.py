"""How a worker bears a store that is away."""

import logging

import pytest

from packhorse._worker.outage import COMPLAIN_EVERY, LONGEST_PAUSE, Outage


def test_pauses_grow_and_stay_within_ten_seconds() -> None:
    for _ in range(50):
        outage = Outage()
        outage.failed(OSError("gone"), 100.0)
        assert 100.0 < outage.not_before <= 100.2
        for _ in range(40):
            outage.failed(OSError("gone"), 100.0)
            assert 100.0 < outage.not_before <= 100.0 + LONGEST_PAUSE


def test_it_is_told_at_first_then_now_and_then_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "packhorse.store")
    outage = Outage()
    outage.failed(OSError("gone"), 0.0)
    outage.failed(OSError("gone"), 1.0)
    outage.failed(OSError("gone"), COMPLAIN_EVERY + 1.0)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "away for 31 s" in caplog.messages[1]
    assert outage.over(40.0)
    assert "back after 40.0 s" in caplog.messages[2]


def test_nothing_is_over_that_never_began() -> None:
    assert not Outage().over(1.0)


def test_after_an_outage_the_pauses_are_short_again() -> None:
    outage = Outage()
    for _ in range(20):
        outage.failed(OSError("gone"), 0.0)
    outage.over(1.0)
    outage.failed(OSError("gone"), 100.0)
    assert outage.not_before <= 100.2
