"""The command, killed at every call that changes a store, before it and after it: run again, it ends as if nothing had been."""

from __future__ import annotations

import signal
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest

from packhorse._record import Parcel
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock
from packhorse.errors import StoreMoved
from tests.conformance.making import join, take
from tests.conformance.test_moving import bare, everything

from .conftest import Command
from .making import enqueue, fill_with_ended_lives, how, same

pytestmark = pytest.mark.slow

#: The calls of a move of this test's jobs, in order.
CALLS = (
    ["freeze"] * 3  # TO with a mark, TO, FROM
    + ["pause"]
    + ["import_jobs"] * 3
    + ["freeze", "thaw"]  # FROM for good, TO
)
DEATHS = [(nth, when) for nth in range(1, len(CALLS) + 1) for when in ("before", "after")]


class Two(NamedTuple):
    """The two stores of a move, by their URLs, and what the first had."""

    source: str
    target: str
    before: list[Parcel]

    @property
    def words(self) -> tuple[str, ...]:
        return ("move", self.source, self.target, "--yes", "--json")

    def opened(self) -> tuple[Store, Store]:
        return open_store(self.source), open_store(self.target)


def fresh(folder: Path, clock: SettableClock) -> Two:
    """Make a store with jobs of every kind in it, and name an empty one."""
    url = f"sqlite:///{folder}/from.db"
    store = open_store(url, clock=clock)
    fill_with_ended_lives(store, clock)
    enqueue(store, 120)
    store.pause("mail", by="ada", reason="the printer burns")
    before = everything(store)
    store.close()
    return Two(url, f"sqlite:///{folder}/to.db", before)


@pytest.fixture
def two(tmp_path: Path, clock: SettableClock) -> Two:
    return fresh(tmp_path, clock)


def killed(command: Command, two: Two, nth: int, when: str) -> None:
    died = command(str(nth), when, *two.words, module="tests.moving.entry")
    assert died.returncode == -signal.SIGKILL, died.stderr


def nothing_runs_twice(two: Two) -> None:
    """Between death and resumption: the jobs can be had in at most one place."""
    source, target = two.opened()
    try:
        givers = [store for store in (source, target) if everything(store) and gives(store)]
        assert len(givers) <= 1
        assert bare(everything(source)) == bare(two.before)
        assert how(source) != "open" or not everything(target)
    finally:
        source.close()
        target.close()


def gives(store: Store) -> bool:
    """Tell whether a worker could claim: of a queue that has no jobs, so that nothing is changed by asking."""
    try:
        take(store, join(store, uuid.uuid4().hex), queues=["none"])
    except StoreMoved:
        return False
    return True


def complete(command: Command, two: Two) -> None:
    done = command(*two.words)
    assert done.returncode == 0, done.stderr
    source, target = two.opened()
    try:
        assert same(source, target)
        assert bare(everything(target)) == bare(two.before)
        assert (how(source), how(target)) == ("moved", "open")
        assert [(queue.name, queue.paused_by) for queue in target.queues() if queue.paused_at] == [("mail", "ada")]
        assert {q.name: q.counts for q in target.queues()} == {q.name: q.counts for q in source.queues()}
    finally:
        source.close()
        target.close()


def test_these_are_the_calls(command: Command, two: Two) -> None:
    ran = command("0", "count", *two.words, module="tests.moving.entry")
    assert ran.stdout.split("\n")[-2].split() == CALLS


@pytest.mark.parametrize("nth, when", DEATHS)
def test_killed_at_any_call_it_goes_on(command: Command, two: Two, nth: int, when: str) -> None:
    killed(command, two, nth, when)
    nothing_runs_twice(two)
    complete(command, two)


def test_killed_again_and_again_it_ends(command: Command, two: Two) -> None:
    """Each run dies one call further on; none gets to its end but the last."""
    for nth in range(2, 7):
        killed(command, two, nth, "after")
        nothing_runs_twice(two)
    complete(command, two)


@pytest.mark.parametrize("nth", range(1, len(CALLS)))
def test_killed_and_given_up_from_is_as_it_was(command: Command, two: Two, nth: int) -> None:
    """Until FROM was frozen for good, it can be had back."""
    killed(command, two, nth, "before")
    assert command("move", "--reopen", two.source).returncode == 0
    source, target = two.opened()
    assert (how(source), bare(everything(source))) == ("open", bare(two.before))
    assert not everything(target) or how(target) == "filling"
    enqueue(source)
    source.close()
    target.close()
