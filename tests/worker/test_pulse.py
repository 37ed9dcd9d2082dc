"""A24: a supervisor whose main or store thread is stuck stops beating and gives up; one whose store is slow does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from packhorse._worker import beat_thread
from packhorse._worker.beat_thread import CALL_LIMIT, STUCK_AFTER, BeatThread, Pulse
from packhorse._worker.exclusive import Contact


class Threads:
    """A main and a store thread whose turns a test decides."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.main = 0
        self.store: Any = SimpleNamespace(turns=0, calling_since=None)
        monkeypatch.setattr(beat_thread, "monotonic", lambda: self.now)
        self.pulse = Pulse(lambda: self.main, self.store)
        self.pulse.stuck_for()

    def after(self, seconds: float, *, main: bool = True, store: bool = True) -> float:
        self.now += seconds
        self.main += main
        self.store.turns += store
        return self.pulse.stuck_for()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    return Threads(monkeypatch)


def test_while_both_turn_nothing_is_stuck(threads: Threads) -> None:
    assert all(threads.after(10.0) == 0 for _ in range(20))


@pytest.mark.parametrize("stuck", ["main", "store"])
def test_one_that_does_not_turn_is_stuck(threads: Threads, stuck: str) -> None:
    found = [threads.after(10.0, **{stuck: False}) for _ in range(4)]
    assert found == [10.0, 20.0, 30.0, 40.0]
    assert found[-1] > STUCK_AFTER


def test_a_store_call_within_its_deadline_is_not_stuck(threads: Threads) -> None:
    threads.store.calling_since = threads.now
    assert all(threads.after(10.0, store=False) == 0 for _ in range(5))


def test_a_store_call_beyond_its_deadline_is_stuck(threads: Threads) -> None:
    threads.store.calling_since = threads.now
    found = [threads.after(10.0, store=False) for _ in range(12)]
    assert found[-1] > STUCK_AFTER
    assert threads.now - 1000.0 <= CALL_LIMIT + STUCK_AFTER + 30.0


def test_turning_again_is_life(threads: Threads) -> None:
    threads.after(29.0, main=False)
    assert threads.after(1.0) == 0


def test_stuck_means_stacks_and_exit_70(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    class Exited(BaseException):
        pass

    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(beat_thread.os, "_exit", leave)
    pulse: Any = SimpleNamespace(stuck_for=lambda: STUCK_AFTER + 1)
    thread = BeatThread(lambda: None, None, None, None, None, pulse, Contact())  # type: ignore[arg-type, return-value]
    with pytest.raises(Exited) as caught:
        thread.run()
    assert caught.value.args == (70,)
    told = capfd.readouterr().err
    assert "has not turned for 31 s" in told
    assert "test_pulse.py" in told
