"""Somebody else at the same stores while a move is under way: another run of it, who gives it up, people, other clocks."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from packhorse._closed import Closed, read
from packhorse._move import Move, reopen
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock
from packhorse.cli.move import _show_plan
from packhorse.errors import MoveRefused
from tests.conformance.making import HOUR, T0, join, state, take
from tests.conformance.making import ids as which

from .making import Watcher, enqueue, how, mover, same


@pytest.fixture
def source(clock: SettableClock) -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}", clock=clock)


@pytest.fixture
def target(clock: SettableClock) -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}", clock=clock)


class At(Watcher):
    """Lets something happen once, where a step begins."""

    def __init__(self, step: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._at, self._act = step, act

    def step(self, what: str, total: int | None = None) -> None:
        if what == self._at and what not in self.steps:
            self._act()
        super().step(what, total)


@pytest.mark.parametrize("step", ["copying", "comparing", "opening TO"])
def test_what_another_run_has_opened_is_not_overwritten(source: Store, target: Store, step: str) -> None:
    job, *_ = enqueue(source, 40)
    worker = join(target)

    def overtake() -> None:
        mover(source, target).run()
        assert [each.id for each in take(target, worker, 1)] == [job]

    with pytest.raises(MoveRefused, match="Another run of this move .* has ended it"):
        Move(source, target, At(step, overtake)).run()
    assert (how(source), how(target), state(target, job)) == ("moved", "open", "running")


def test_two_runs_at_once_end_as_one(source: Store, target: Store) -> None:
    """The one that began last goes on; the other leaves TO alone."""
    enqueue(source, 40)
    refused = []

    def begin_first() -> None:
        with pytest.raises(MoveRefused, match="Another run") as error:
            Move(source, target, At("comparing", begin_second)).run()
        refused.append(error)

    def begin_second() -> None:
        target.freeze(Closed(source.url, "filling", f"{source.instance}/default", "another").text)

    begin_first()
    assert len(refused) == 1
    assert how(target) == "filling"
    assert mover(source, target).run().jobs == 40
    assert same(source, target)


@pytest.mark.parametrize("step", ["copying", "comparing", "opening TO"])
def test_from_that_was_opened_again_runs_its_jobs_alone(source: Store, target: Store, step: str) -> None:
    job, *_ = enqueue(source, 40)
    worker = join(source)

    def give_up() -> None:
        reopen(source)
        assert [each.id for each in take(source, worker, 1)] == [job]

    with pytest.raises(MoveRefused, match="was opened again meanwhile"):
        Move(source, target, At(step, give_up)).run()
    assert (how(source), how(target), state(source, job)) == ("open", "filling", "running")


def test_who_died_before_to_was_seen_to_be_empty_leaves_it_to_be_opened(source: Store, target: Store) -> None:
    """It may have jobs of its own, and nothing was copied there: no copy can run twice."""
    enqueue(target)
    target.freeze(Closed(source.url, "filling", f"{source.instance}/default?", "a1b2").text)
    assert (reopen(target), how(target)) != (None, "filling")
    assert how(target) == "open"


def test_what_is_changed_in_the_last_moment_is_not_lost(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, *_ = enqueue(source, 3)
    freeze = source.freeze

    def too_late(to: str) -> None:
        if read(to).how == "moved":
            source.cancel(which(job))
        freeze(to)

    with monkeypatch.context() as patch:
        patch.setattr(source, "freeze", too_late)
        with pytest.raises(MoveRefused, match="in the last moment"):
            mover(source, target).run()
    assert (how(source), how(target)) == ("moving", "filling")
    mover(source, target).run()
    assert (how(target), state(target, job)) == ("open", "cancelled")


@pytest.mark.parametrize("ahead, said", [(3600, "1 h ahead of FROM's"), (-90, "behind FROM's"), (1, None)])
def test_other_clocks_are_told_of(
    source: Store, ahead: int, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SettableClock(frozen=T0 + ahead * 1_000_000)
    plan = mover(source, open_store(f"memory://{uuid.uuid4().hex}", clock=clock)).plan()
    assert plan.ahead == ahead
    _show_plan(plan, "a", "b")
    shown = capsys.readouterr().out
    assert ("The clock of TO is" in shown) is (said is not None)
    assert (said or "") in shown


def test_times_are_moved_as_they_are(source: Store) -> None:
    """TO's clock is an hour behind: what was queued can be claimed at once, what is due later waits for its time."""
    clock = SettableClock(frozen=T0 - HOUR)
    target = open_store(f"memory://{uuid.uuid4().hex}", clock=clock)
    (queued,), (later,) = enqueue(source), enqueue(source, delay=60.0)
    mover(source, target).run()
    assert [job.id for job in take(target, join(target))] == [queued]
    clock.advance(3661)
    assert target.promote()[0] == 1
    assert state(target, later) == "queued"


@pytest.mark.parametrize("run", ["", "a1b2"])
def test_the_mark_of_a_run_is_kept_with_the_rest(run: str) -> None:
    closed = Closed("sqlite:////x#y.db", "filling", "17/default", run)
    assert read(closed.text) == closed
