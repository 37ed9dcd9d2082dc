"""Jobs that reserve something are stopped by a worker that is cut off from its store, in time; others go on."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse import _outcome
from packhorse._record import Claimed
from packhorse._rescue import EXCLUSIVE_PATIENCE, KILL
from packhorse._worker import exclusive
from packhorse._worker.child_process import Observed
from packhorse._worker.exclusive import CUT_OFF, REASON, Exclusive, has_reservation, told

ALONE, SHARED, LIMITED = '[["x", "disk"]]', '[["s", "disk"]]', '[["l", "smtp"]]'


class Child:
    """One slot: the first job runs, the others have not started."""

    last_result = last_given = 1

    def __init__(self, *jobs: Any) -> None:
        self.jobs = dict(enumerate(jobs))
        self.observed: dict[int, Observed] = {}

    def running(self) -> list[int]:
        return [0] if 0 in self.jobs else []

    def withdraw(self) -> list[Any]:
        return [self.jobs.pop(index) for index in list(self.jobs) if index]


class Supervisor:
    """Takes down what it is told."""

    def __init__(self, *children: Child, waiting: tuple[Any, ...] = ()) -> None:
        self.waiting = list(waiting)
        self.children = dict(enumerate(children))
        self.stopped: list[tuple[str, str, float]] = []
        self.back: list[tuple[str, str | None]] = []
        self.crew = self.dispatch = self.timers = self

    def take_waiting(self) -> list[Any]:
        jobs, self.waiting = self.waiting, []
        return jobs

    def give_back(self, jobs: list[Any], reason: str | None) -> None:
        self.back += [(job.id, reason) for job in jobs]

    def stop(self, child: Child, index: int, seen: Observed, reason: str, now: int, react: float) -> None:
        seen.stop_at, seen.stopped = now + int(react * 1e9), reason
        self.stopped.append((child.jobs[index].id, reason, react))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(exclusive, "boottime", found)
    return found


def job(name: str, holds: str | None = None, crash_fails: bool = False) -> Any:
    given = {"id": name, "token": "t", "holds": holds, "crash_fails": crash_fails}
    numbers = dict.fromkeys(("failures", "crashes", "losses", "snoozes", "generation"), 0)
    return Claimed._make({**given, **numbers}.get(field) for field in Claimed._fields)


def rule(supervisor: Supervisor) -> Exclusive:
    return Exclusive(supervisor, EXCLUSIVE_PATIENCE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "holds, alone",
    [(None, False), (SHARED, True), (LIMITED, False), (ALONE, True), ('[["l", "a"], ["x", "b"]]', True)],
)
def test_which_jobs_are_meant(holds: str | None, alone: bool) -> None:
    assert has_reservation(job("j", holds)) is alone


def test_an_outage_of_a_minute_stops_nothing(clock: Clock) -> None:
    supervisor = Supervisor(Child(job("a", ALONE)))
    watch = rule(supervisor)
    clock.now += EXCLUSIVE_PATIENCE - 0.1
    watch.look(0)
    assert not supervisor.stopped


def test_a_longer_one_stops_what_reserves_and_nothing_else(clock: Clock) -> None:
    plain, alone = Child(job("plain")), Child(job("alone", ALONE), job("behind"))
    supervisor = Supervisor(plain, alone, Child(job("limited", LIMITED)))
    watch = rule(supervisor)
    clock.now += EXCLUSIVE_PATIENCE
    watch.look(0)
    watch.look(1)
    assert supervisor.stopped == [("alone", CUT_OFF, KILL)]
    assert supervisor.back == [("behind", REASON)]


def test_what_has_not_started_does_not_start(clock: Clock) -> None:
    child = Child(job("plain"), job("alone", ALONE))
    supervisor = Supervisor(child, waiting=(job("waits", ALONE),))
    watch = rule(supervisor)
    clock.now += EXCLUSIVE_PATIENCE
    watch.look(0)
    assert supervisor.back == [("waits", REASON), ("alone", REASON)]
    assert not supervisor.stopped


def test_what_was_claimed_before_a_long_pause_does_not_start_after_it(clock: Clock) -> None:
    supervisor = Supervisor()
    watch, claimed = rule(supervisor), [job("plain"), job("alone", ALONE), job("limited", LIMITED)]
    assert watch.still_ours(claimed) == claimed
    clock.now += EXCLUSIVE_PATIENCE
    assert [each.id for each in watch.still_ours(claimed)] == ["plain", "limited"]
    assert supervisor.back == [("alone", REASON)]


def test_a_beat_in_between_gives_it_all_the_time_again(clock: Clock) -> None:
    supervisor = Supervisor(Child(job("a", ALONE)))
    watch = rule(supervisor)
    clock.now += 90.0
    watch.contact.since = clock.now
    clock.now += 90.0
    watch.look(0)
    assert not supervisor.stopped
    clock.now += 10.0
    watch.look(0)
    assert supervisor.stopped


def test_a_host_that_slept_knows_at_once(clock: Clock) -> None:
    supervisor = Supervisor(Child(job("a", ALONE)))
    watch = rule(supervisor)
    watch.look(0)
    clock.now += 8 * 3600.0
    watch.look(1)
    assert [name for name, _, _ in supervisor.stopped] == ["a"]


def test_the_record_tells_the_true_reason() -> None:
    released = told(_outcome.stopped(job("a", ALONE)))
    assert (released.outcome, released.state, released.reason) == ("released", "queued", REASON)
    failed = told(_outcome.stopped(job("b", ALONE, crash_fails=True)))
    assert (failed.state, failed.reason) == ("failed", REASON)
    assert told(_outcome.succeeded(job("c"), "1")).reason is None
