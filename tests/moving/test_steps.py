"""The step machine over memory stores: what it does, what it refuses, and how it goes on."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from packhorse import _tally
from packhorse._closed import Closed
from packhorse._move import Move, reopen
from packhorse._outcome import succeeded
from packhorse._record import DEFAULT_STEP, NewJob
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock
from packhorse._why import explain
from packhorse.errors import MoveRefused, StoreMoved
from tests.conformance.making import T0, join, running, settle, take
from tests.conformance.test_moving import everything

from .making import Watcher, enqueue, fill_with_ended_lives, how, ids, mover, same, why_closed


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(frozen=T0)


@pytest.fixture
def source(clock: SettableClock) -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}", clock=clock)


@pytest.fixture
def target(clock: SettableClock) -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}", namespace="new", clock=clock)


class Stop(Exception):
    """The process dies here."""


def dying(move: Move, step: str) -> Move:
    """Make a move die where a step begins."""

    def die(self: Move) -> None:
        raise Stop

    setattr(move, step, die.__get__(move))
    return move


# -- a move ---------------------------------------------------------------------------------------------------------------
def test_a_move_takes_everything_along(source: Store, target: Store, clock: SettableClock) -> None:
    number = fill_with_ended_lives(source, clock)
    watch = Watcher()
    done = Move(source, target, watch).run()
    assert (done.jobs, done.copied, sum(done.states.values())) == (number, number, number)
    assert same(source, target)
    assert (how(source), how(target)) == ("moved", "open")
    assert watch.steps == ["closing both stores", "copying", "comparing", "opening TO"]
    assert watch.done[-1] == number


def test_an_empty_store_moves_too(source: Store, target: Store) -> None:
    done = mover(source, target).run()
    assert (done.jobs, done.blocks) == (0, ())
    assert (how(source), how(target)) == ("moved", "open")


def test_from_names_to_for_good(source: Store, target: Store) -> None:
    mover(source, target).run()
    with pytest.raises(StoreMoved, match=f"have moved to {target.url}.namespace=new; "):
        enqueue(source)


@pytest.mark.parametrize("state, words", [("moving", "are moving to"), ("moved", "have moved to"), ("filling", "copy")])
def test_why_tells_of_it(source: Store, state: str, words: str) -> None:
    jobs = [*enqueue(source), *enqueue(source, delay=900.0), running(source).id]
    source.freeze(Closed("sqlite:////c.db", state, "17/default").text)  # type: ignore[arg-type]
    queued, scheduled, runs = (explain(source, record) for record in source.get(jobs))
    assert queued == scheduled
    assert (queued.kind, queued.facts, words in queued.text) == ("moved", {"store": "sqlite:////c.db"}, True)
    assert runs.kind == "running"


def test_paused_queues_stay_paused(source: Store, target: Store) -> None:
    enqueue(source)
    source.pause("mail", by="ada", reason="the printer burns")
    source.pause("empty")
    mover(source, target).run()
    queues = {queue.name: queue for queue in target.queues()}
    assert (queues["mail"].paused_by, queues["mail"].paused_reason) == ("ada", "the printer burns")
    assert queues["empty"].paused_at is not None
    assert take(target, join(target)) == []


def test_a_plan_counts_and_changes_nothing(source: Store, target: Store, clock: SettableClock) -> None:
    number = fill_with_ended_lives(source, clock)
    source.pause("mail")
    plan = mover(source, target).plan()
    assert (plan.stage, plan.jobs, plan.there, plan.paused) == ("new", number, 0, ("mail",))
    assert plan.states == {state: sum(queue.counts.get(state, 0) for queue in source.queues()) for state in plan.states}
    assert (how(source), how(target), everything(target)) == ("open", "open", [])


def test_each_10000_jobs_have_a_hash_of_their_own(source: Store, target: Store) -> None:
    for _ in range(21):
        enqueue(source, 1000)
    done = mover(source, target).run()
    assert len(done.blocks) == 3
    assert all(len(block) == 64 for block in set(done.blocks))


# -- refused --------------------------------------------------------------------------------------------------------------
def test_a_store_does_not_move_into_itself(source: Store) -> None:
    with pytest.raises(MoveRefused, match="the same store"):
        mover(source, open_store(source.url)).plan()
    assert how(source) == "open"


def test_a_namespace_moves_into_another_of_the_same_store(source: Store) -> None:
    enqueue(source, 3)
    there = open_store(source.url, namespace="there")
    mover(source, there).run()
    assert same(source, there)


def test_jobs_of_another_are_not_mixed_in(source: Store, target: Store) -> None:
    (mine,) = enqueue(target)
    enqueue(source)
    with pytest.raises(MoveRefused, match=r"1 job of its own; nothing was moved"):
        mover(source, target).run()
    assert (how(source), how(target)) == ("open", "open")
    assert ids(everything(target)) == [mine]


def test_a_job_that_comes_at_the_last_moment_is_not_mixed_in(source: Store, target: Store) -> None:
    enqueue(source)
    move = mover(source, target)
    plan = move.plan
    move.plan = lambda: (plan(), enqueue(target))[0]  # type: ignore[method-assign]
    with pytest.raises(MoveRefused, match="of its own"):
        move.run()
    assert (how(source), how(target)) == ("open", "open")
    assert len(everything(target)) == 1


def test_who_died_before_it_saw_to_empty_does_not_take_its_jobs_for_copies(source: Store, target: Store) -> None:
    """TO was closed, a job was in it, and the process died before it looked."""
    enqueue(target)
    with pytest.raises(Stop):
        dying(_as_if_empty(mover(source, target)), "_see_it_empty").run()
    assert how(target) == "filling"
    with pytest.raises(MoveRefused, match="of its own"):
        mover(source, target).run()
    assert (how(source), how(target), len(everything(target))) == ("open", "open", 1)


def _as_if_empty(move: Move) -> Move:
    move._refuse_others_jobs = lambda: None  # type: ignore[method-assign]
    return move


@pytest.mark.parametrize("state", ["moving", "moved", "filling"])
def test_who_takes_part_in_another_move_is_left_alone(source: Store, target: Store, state: str) -> None:
    other = Closed("sqlite:////c.db", state, "17/default")  # type: ignore[arg-type]
    source.freeze(other.text)
    with pytest.raises(MoveRefused, match="sqlite:////c.db"):
        mover(source, target).run()
    source.thaw()
    target.freeze(other.text)
    with pytest.raises(MoveRefused, match="sqlite:////c.db"):
        mover(source, target).run()
    assert (how(source), why_closed(target)) == ("open", other)


# -- what runs ------------------------------------------------------------------------------------------------------------
def test_what_runs_is_waited_for(source: Store, target: Store) -> None:
    job = running(source)
    watch = Watcher()

    class Ending(Watcher):
        def waits(self, *what: object) -> None:
            watch.waits(*what)  # type: ignore[arg-type]
            assert how(source) == "moving"
            settle(source, succeeded(job, '"done"'))

    Move(source, target, Ending()).run()
    assert watch.waited == [1]
    assert target.get([job.id])[0].result == '"done"'


def test_waiting_has_an_end_if_one_was_given(source: Store, target: Store) -> None:
    job = running(source)
    enqueue(source)
    with pytest.raises(MoveRefused, match=f"1 job runs still in FROM after 0 s.*{job.id}"):
        mover(source, target, timeout=0.0).run()
    assert (how(source), how(target), everything(target)) == ("moving", "filling", [])
    settle(source, succeeded(job, "3"))
    assert mover(source, target, timeout=0.0).run().jobs == 2


def test_jobs_of_the_dead_are_taken_back_if_asked(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running(source)
    # As if six beats of four seconds had passed at each look.
    times = iter(range(0, 100_000, 5))
    monkeypatch.setattr("packhorse._move.monotonic", lambda: float(next(times)))
    monkeypatch.setattr("packhorse._move._LOOK_EVERY", 0.0)
    done = mover(source, target, release=True).run()
    assert done.released == 1
    record = target.get([job.id])[0]
    assert (record.state, record.losses) == ("queued", 1)


def test_jobs_of_the_living_are_not_taken_back(source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = join(source)
    job = running(source, worker)
    times = iter(range(0, 100_000, 5))
    monkeypatch.setattr("packhorse._move.monotonic", lambda: float(next(times)))
    monkeypatch.setattr("packhorse._move._LOOK_EVERY", 0.0)

    class Beating(Watcher):
        def waits(self, *what: object) -> None:
            assert source.beat(worker, 1, [(job.id, job.token)]).alive

    with pytest.raises(MoveRefused, match="1 job runs still"):
        Move(source, target, Beating(), release=True, timeout=500.0).run()
    assert source.get([job.id])[0].state == "running"


# -- interrupted ------------------------------------------------------------------------------------------------------------
STEPS = ("_see_it_empty", "_wait", "_switch_queues", "_copy", "_compare", "_open")


@pytest.mark.parametrize("step", STEPS)
def test_it_goes_on_where_it_died(source: Store, target: Store, clock: SettableClock, step: str) -> None:
    number = fill_with_ended_lives(source, clock)
    with pytest.raises(Stop):
        dying(mover(source, target), step).run()
    assert how(target) == "filling"
    assert mover(source, target).plan().stage == ("new" if step == "_see_it_empty" else "resumed")
    done = mover(source, target).run()
    assert done.jobs == number
    assert done.copied == (0 if step in STEPS[4:] else number)
    assert same(source, target)
    assert (how(source), how(target)) == ("moved", "open")


def test_a_copy_goes_on_after_the_last_batch(source: Store, target: Store) -> None:
    enqueue(source, 500)
    source_jobs = everything(source)
    target.freeze(Closed(source.url, "filling", f"{source.instance}/default").text)
    target.import_jobs(source_jobs[:100])
    watch = Watcher()
    done = Move(source, target, watch).run()
    assert done.copied == 400
    assert watch.done[0] == 100
    assert same(source, target)


def test_once_moved_it_is_moved(source: Store, target: Store) -> None:
    enqueue(source, 3)
    mover(source, target).run()
    take(target, join(target))
    done = mover(source, target).run()
    assert (done.already, done.jobs, done.copied) == (True, 3, 0)
    assert how(target) == "open"


def test_what_died_before_to_was_opened_is_compared_again(source: Store, target: Store) -> None:
    enqueue(source, 3)

    class Dying(Watcher):
        def step(self, what: str, total: int | None = None) -> None:
            if what == "opening TO":
                source.freeze(Closed(target.url, "moved", f"{target.instance}/new").text)
                raise Stop

    with pytest.raises(Stop):
        Move(source, target, Dying()).run()
    assert (how(source), how(target)) == ("moved", "filling")
    done = mover(source, target).run()
    assert (done.already, done.copied, how(target)) == (False, 0, "open")


# -- compared ---------------------------------------------------------------------------------------------------------------
def test_a_difference_is_found_and_mended(source: Store, target: Store, clock: SettableClock) -> None:
    fill_with_ended_lives(source, clock)
    with pytest.raises(Stop):
        dying(mover(source, target), "_compare").run()
    target.delete(JobFilter(queue="tried"))
    target.cancel(JobFilter(queue="letters"))
    alien = enqueue_closed(target)
    done = mover(source, target).run()
    assert done.copied >= 2
    assert alien not in ids(everything(target))
    assert sorted(ids(everything(source))) == sorted(ids(everything(target)))
    assert _tally.compare(source, target, lambda jobs: None).same


def enqueue_closed(store: Store) -> str:
    """Put a job into a closed store, as an earlier copy would have."""
    closed = store.frozen()
    store.thaw()
    (job,) = enqueue(store)
    assert closed is not None
    store.freeze(closed)
    return job


def test_who_changes_jobs_all_the_time_is_told(source: Store, target: Store) -> None:
    enqueue(source, 50)

    class Meddling(Watcher):
        def step(self, what: str, total: int | None = None) -> None:
            if what == "comparing":
                source.cancel(JobFilter(ids=(ids(everything(source))[0],)))
                source.requeue(JobFilter(ids=(ids(everything(source))[0],)))

    with pytest.raises(MoveRefused, match="still differ after 5 rounds"):
        Move(source, target, Meddling()).run()
    assert (how(source), how(target)) == ("moving", "filling")
    mover(source, target).run()
    assert same(source, target)


PARTS: dict[str, Callable[[Store, str], object]] = {
    "deleted": lambda store, job: store.delete(JobFilter(ids=(job,))),
    "cancelled": lambda store, job: store.cancel(JobFilter(ids=(job,))),
    "requeued": lambda store, job: store.requeue(JobFilter(ids=(job,))),
}


@pytest.mark.parametrize("change", PARTS)
@pytest.mark.parametrize("place", [0, 17, -1])
def test_a_comparison_sees_every_change(source: Store, target: Store, change: str, place: int) -> None:
    job = enqueue(source, 40, delay=900.0)[place]
    target.import_jobs(everything(source))
    assert _tally.compare(source, target, lambda jobs: None).same
    PARTS[change](source, job)
    tally = _tally.compare(source, target, lambda jobs: None)
    assert (len(tally.differing), tally.extra) == ((0, (job,)) if change == "deleted" else (1, ()))
    tally = _tally.compare(target, source, lambda jobs: None)
    assert (len(tally.differing), tally.extra) == (1, ())


def test_batches_become_small_where_jobs_are_large(source: Store) -> None:
    enqueue(source, 600)
    sizes = [len(batch) for batch in _tally.parcels(source)]
    assert sizes[0] < sizes[1] <= 1000
    large = open_store("memory://")
    for _ in range(30):
        large.enqueue([_large()])
    assert max(len(batch) for batch in list(_tally.parcels(large))[1:]) <= 8


def _large() -> NewJob:
    return NewJob(str(uuid.uuid4()), "m:f", "mail", '[["' + "x" * 1_000_000 + '"], {}]')


# -- undone -------------------------------------------------------------------------------------------------------------------
def test_a_move_can_be_given_up_until_to_is_open(source: Store, target: Store) -> None:
    enqueue(source, 3)
    with pytest.raises(Stop):
        dying(mover(source, target), "_compare").run()
    closed = reopen(source)
    assert closed is not None
    assert closed.how == "moving"
    assert (how(source), how(target)) == ("open", "filling")
    assert len(take(source, join(source))) == 3
    with pytest.raises(StoreMoved):
        take(target, join(target))


def test_a_move_that_was_given_up_can_be_made_again(source: Store, target: Store) -> None:
    first, second, third = enqueue(source, 3)
    with pytest.raises(Stop):
        dying(mover(source, target), "_open").run()
    reopen(source)
    worker = join(source)
    jobs = {job.id: job for job in take(source, worker)}
    settle(source, succeeded(jobs[first], "1"), succeeded(jobs[second], "2"), succeeded(jobs[third], "3"))
    source.delete(JobFilter(ids=(second,)))
    (fourth,) = enqueue(source)
    mover(source, target).run()
    assert ids(everything(target)) == [first, third, fourth]
    assert same(source, target)


def test_an_open_store_is_left_open(source: Store) -> None:
    assert reopen(source) is None
    assert how(source) == "open"


def test_a_store_whose_jobs_may_run_elsewhere_is_opened_only_by_force(source: Store, target: Store) -> None:
    mover(source, target).run()
    with pytest.raises(MoveRefused, match="may have run them"):
        reopen(source)
    assert how(source) == "moved"
    assert reopen(source, force=True) is not None
    assert how(source) == "open"


def test_a_store_that_is_being_filled_is_opened_only_by_force(source: Store, target: Store) -> None:
    with pytest.raises(Stop):
        dying(mover(source, target), "_compare").run()
    with pytest.raises(MoveRefused, match="copies"):
        reopen(target)
    assert reopen(target, force=True) is not None


def test_a_move_can_be_made_back(source: Store, target: Store, clock: SettableClock) -> None:
    fill_with_ended_lives(source, clock)
    mover(source, target).run()
    worker = join(target)
    settle(target, *[succeeded(job, "1") for job in take(target, worker)])
    target.delete(JobFilter(queue="letters"))
    enqueue(target, 20)
    clock.advance(100_000)
    target.promote()
    mover(target, source).run()
    assert sorted(ids(everything(source))) == sorted(ids(everything(target)))
    assert _tally.compare(source, target, lambda jobs: None).same
    assert (how(target), how(source)) == ("moved", "open")


# -- settings ---------------------------------------------------------------------------------------------------------------
def test_limits_steps_and_pauses_go_along(source: Store, target: Store, clock: SettableClock) -> None:
    enqueue(source, 3)
    source.set_limits({"smtp": "4", "api": "1/1m"}, by="ada")
    source.set_step("letters", 60_000_000)
    source.pause("letters", by="ada", reason="deploy", seconds=600)
    source.pause("over", seconds=60)
    target.set_step("old", 60_000_000)
    target.pause("old")
    clock.advance(90)
    mover(source, target).run()
    assert [(each.name, each.value, each.by) for each in target.limits()] == [
        ("api", "1/1m", "ada"), ("smtp", "4", "ada")
    ]  # fmt: skip
    assert target.export_settings() == source.export_settings()
    switched = {queue.name: queue for queue in target.queues() if queue.paused_at is not None}
    assert [*switched] == ["letters"]
    letters = switched["letters"]
    assert (letters.paused_by, letters.paused_reason, letters.paused_until) == ("ada", "deploy", T0 + 600_000_000)
    clock.advance(600)
    target.promote()
    assert [queue.name for queue in target.queues() if queue.paused_at is not None] == []


def test_settings_that_change_between_two_runs_go_along(source: Store, target: Store) -> None:
    enqueue(source, 3)
    source.set_step("letters", 60_000_000)
    source.pause("letters", seconds=600)
    with pytest.raises(Stop):
        dying(mover(source, target), "_copy").run()
    source.set_step("letters", None)
    source.pause("letters", reason="for good")
    mover(source, target).run()
    (letters,) = target.queues(["letters"])
    assert (letters.step, letters.paused_reason, letters.paused_until) == (DEFAULT_STEP, "for good", None)
