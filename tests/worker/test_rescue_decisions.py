"""Who counts as dead, and what becomes of the jobs of the dead. Pure: the clock is a number."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse._record import Orphan, WorkerRecord
from packhorse._rescue import (
    BEATS,
    EXCLUSIVE_PATIENCE,
    KILL,
    SPACING,
    Observer,
    Spaced,
    Vigil,
    decide,
    further_beats,
)


def worker(beats: int, name: str = "w") -> WorkerRecord:
    return WorkerRecord(id=name, name=name, host="ash", pid=1, boot_id="b", beats=beats)


def orphan(**changes: Any) -> Orphan:
    fields: dict[str, Any] = {
        "job": "j", "token": "t", "task": "m:f", "worker": "w", "host": "ash", "started": True, "crash_fails": False,
        "failures": 0, "crashes": 0, "losses": 0, "generation": 0, "snoozes": 0,
    }  # fmt: skip
    return Orphan(**{**fields, **changes})


def watch(observer: Observer, rounds: int, beats: int = 3, begin: float = 0.0, step: float = SPACING) -> list[str]:
    """Beat so often, always seeing the same worker; return who counted as dead at the last one."""
    dead: list[WorkerRecord] = []
    for n in range(rounds):
        dead = observer.beat([worker(beats)], begin + n * step)
    return [each.id for each in dead]


class TestObserver:
    def test_dead_after_six_unchanged_beats(self) -> None:
        assert watch(Observer(), BEATS) == []
        assert watch(Observer(), BEATS + 1) == ["w"]

    def test_one_beat_of_its_own_is_life(self) -> None:
        observer = Observer()
        watch(observer, BEATS)
        assert observer.beat([worker(4)], BEATS * SPACING) == []
        assert watch(observer, BEATS - 1, beats=4, begin=(BEATS + 1) * SPACING) == []
        assert watch(observer, 1, beats=4, begin=2 * BEATS * SPACING) == ["w"]

    def test_hurried_beats_do_not_count(self) -> None:
        """An observer that was paused and catches up must not blame the others."""
        assert watch(Observer(), 100, step=SPACING / 100) == []

    def test_an_error_of_the_store_clears_the_count(self) -> None:
        observer = Observer()
        watch(observer, BEATS)
        observer.clear()
        assert watch(observer, BEATS, begin=1000.0) == []

    def test_each_is_counted_for_itself(self) -> None:
        observer = Observer()
        for n in range(BEATS):
            observer.beat([worker(3, "still"), worker(n, "lively")], n * SPACING)
        assert [w.id for w in observer.beat([worker(3, "still"), worker(99, "lively")], BEATS * SPACING)] == ["still"]

    def test_one_that_was_gone_is_counted_anew(self) -> None:
        observer = Observer()
        watch(observer, BEATS)
        observer.beat([], BEATS * SPACING)
        assert watch(observer, BEATS, begin=1000.0) == []


class TestVigil:
    """A job that reserves something is taken back only when it has surely stopped."""

    MUST_STOP = EXCLUSIVE_PATIENCE + KILL

    def ripe(self, vigil: Vigil, beats: int, *orphans: Orphan, of: dict[str, float] | None = None) -> list[str]:
        return [each.job for each in vigil.ripe(orphans, beats, EXCLUSIVE_PATIENCE, of or {})]

    def test_twenty_two_further_beats_by_default(self) -> None:
        assert further_beats(EXCLUSIVE_PATIENCE) == 22

    @pytest.mark.parametrize("patience", [0.1, 1.0, 19.0, 20.0, 60.0, 100.0, 101.0, 600.0, 3601.5])
    def test_they_take_longer_than_the_job_may_go_on(self, patience: float) -> None:
        """Even if the first of them comes as soon as the job was seen."""
        assert (BEATS + further_beats(patience) - 1) * SPACING >= patience + KILL - 1e-9

    def test_others_are_taken_back_at_once(self) -> None:
        assert self.ripe(Vigil(), 7, orphan(), orphan(job="k", reserves=True, proved=True)) == ["j", "k"]

    def test_one_that_reserves_waits(self) -> None:
        vigil, waiting = Vigil(), orphan(reserves=True)
        assert [self.ripe(vigil, 100 + n, waiting) for n in range(22)] == [[]] * 22
        assert vigil.waits == 1
        assert self.ripe(vigil, 122, waiting) == ["j"]

    def test_each_is_counted_for_itself(self) -> None:
        vigil, first, second = Vigil(), orphan(reserves=True), orphan(job="k", reserves=True)
        self.ripe(vigil, 0, first)
        self.ripe(vigil, 10, first, second)
        assert self.ripe(vigil, 22, first, second) == ["j"]
        assert self.ripe(vigil, 32, first, second) == ["j", "k"]

    def test_one_that_was_gone_meanwhile_is_counted_anew(self) -> None:
        vigil, waiting = Vigil(), orphan(reserves=True)
        self.ripe(vigil, 0, waiting)
        self.ripe(vigil, 10)
        assert vigil.waits == 0
        assert self.ripe(vigil, 25, waiting) == []
        assert self.ripe(vigil, 25 + 22, waiting) == ["j"]

    def test_another_run_of_the_same_job_is_counted_anew(self) -> None:
        vigil = Vigil()
        self.ripe(vigil, 0, orphan(reserves=True))
        assert self.ripe(vigil, 30, orphan(reserves=True, token="u")) == []

    def test_the_longer_patience_holds(self) -> None:
        vigil, waiting = Vigil(), orphan(reserves=True)
        assert further_beats(200.0) == 47
        self.ripe(vigil, 0, waiting)
        assert self.ripe(vigil, 46, waiting, of={"w": 200.0}) == []
        assert self.ripe(vigil, 47, waiting, of={"w": 200.0}) == ["j"]
        assert self.ripe(vigil, 22, waiting, of={"w": 1.0}) == ["j"], "mine is the longer one"

    def test_proof_that_comes_later_ends_the_wait(self) -> None:
        vigil = Vigil()
        self.ripe(vigil, 0, orphan(reserves=True))
        assert self.ripe(vigil, 1, orphan(reserves=True, proved=True)) == ["j"]


def test_hurried_beats_of_the_rescuer_do_not_count() -> None:
    spaced = Spaced()
    for n in range(100):
        spaced.beat(n * SPACING / 100)
    assert spaced.count == 1
    spaced.beat(SPACING)
    assert spaced.count == 2


def test_by_then_the_worker_itself_has_stopped_it() -> None:
    """The whole story in simulated time: a worker is cut off, others find it dead, wait, and take the job back."""
    for late in (0.0, 0.5, 3.9):
        observer, spaced, vigil = Observer(), Spaced(), Vigil()
        now, dead_at, taken_at = late, None, None
        while taken_at is None:
            spaced.beat(now)
            if dead_at is None and observer.beat([worker(3)], now):
                dead_at = now
            if dead_at is not None and vigil.ripe([orphan(reserves=True)], spaced.count, EXCLUSIVE_PATIENCE, {}):
                taken_at = now
            now += SPACING
        assert taken_at > EXCLUSIVE_PATIENCE + KILL
        assert taken_at < 160.0


class TestDecide:
    def test_started_here_is_a_crash(self) -> None:
        verdict = decide(orphan(), "ash")
        assert (verdict.outcome, verdict.state, verdict.crashes, verdict.losses) == ("crashed", "queued", 1, 0)
        assert verdict.reason == "the worker process died on ash"

    def test_started_elsewhere_is_a_loss(self) -> None:
        verdict = decide(orphan(host="elm"), "ash")
        assert (verdict.outcome, verdict.state, verdict.crashes, verdict.losses) == ("lost", "queued", 0, 1)
        assert "elm" in (verdict.reason or "")

    def test_a_worker_without_a_row_is_a_loss(self) -> None:
        assert decide(orphan(host=None), "ash").outcome == "lost"

    def test_not_known_to_have_started_is_a_loss_with_an_attempt_of_its_own(self) -> None:
        verdict = decide(orphan(started=False), "ash")
        assert (verdict.outcome, verdict.state, verdict.crashes, verdict.losses) == ("lost", "queued", 0, 1)
        assert verdict.started is None
        assert "before it was known to have started" in (verdict.reason or "")

    @pytest.mark.parametrize("started", [True, False])
    @pytest.mark.parametrize("host", ["ash", "elm", None])
    def test_what_must_not_run_twice_fails(self, started: bool, host: str | None) -> None:
        verdict = decide(orphan(started=started, host=host, crash_fails=True), "ash")
        assert verdict.state == "failed"
        assert "not retried" in (verdict.reason or "")

    def test_the_third_crash_is_poison(self) -> None:
        verdict = decide(orphan(crashes=2), "ash")
        assert verdict.state == "failed"
        assert (verdict.reason or "").startswith("poison: crashed 3×")

    def test_the_second_crash_waits(self) -> None:
        verdict = decide(orphan(crashes=1), "ash")
        assert verdict.state == "retrying"
        assert verdict.delay >= 0

    @pytest.mark.parametrize("started", [True, False])
    def test_the_tenth_loss_is_poison(self, started: bool) -> None:
        verdict = decide(orphan(losses=9, host="elm", started=started), "ash")
        assert verdict.state == "failed"
        assert (verdict.reason or "").startswith("poison: lost 10×")
