"""A server that is killed in the middle of a move, on either end; and one that comes back having lost everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packhorse._move import Move, reopen
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse.errors import MoveRefused, StoreUnavailable
from tests.conformance.stores import chosen
from tests.conformance.test_moving import everything
from tests.servers.redis import Server

from .making import Watcher, enqueue, how, mover, same

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("redis" not in chosen(), reason="redis is not among the stores under test"),
]


class Killing(Watcher):
    """Does something, once, when so many jobs of a step have been gone through."""

    def __init__(self, step: str, jobs: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._step, self._jobs, self._act = step, jobs, act
        self.acted = False

    def went(self, jobs: int) -> None:
        if self.steps[-1] == self._step and jobs >= self._jobs and not self.acted:
            self.acted = True
            self._act()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "redis", appendonly="yes", appendfsync="everysec")
    found.start()
    yield found
    found.stop()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path}/jobs.db")) as store:
        yield store


@pytest.fixture
def remote(server: Server) -> Iterator[Store]:
    with closing(open_store(server.url)) as store:
        store.migrate()
        store.patience = 2.0
        yield store


@pytest.mark.parametrize("step", ["copying", "comparing"])
def test_a_target_that_dies_and_comes_back(server: Server, file: Store, remote: Store, step: str) -> None:
    enqueue(file, 3000)
    watch = Killing(step, 1000, server.kill)
    with pytest.raises(StoreUnavailable):
        Move(file, remote, watch).run()
    assert watch.acted
    assert how(file) == "moving"
    server.start()
    assert mover(file, remote).run().jobs == 3000
    assert same(file, remote)
    assert (how(file), how(remote)) == ("moved", "open")


@pytest.mark.parametrize("step", ["copying", "comparing"])
def test_a_source_that_dies_and_comes_back(server: Server, file: Store, remote: Store, step: str) -> None:
    for _ in range(3):
        enqueue(remote, 1000)
    watch = Killing(step, 1000, server.kill)
    with pytest.raises(StoreUnavailable):
        Move(remote, file, watch).run()
    server.start()
    assert how(file) == "filling"
    done = mover(remote, file).run()
    assert done.jobs == len(everything(remote)) == 3000
    assert same(remote, file)
    assert (how(remote), how(file)) == ("moved", "open")


def test_a_target_that_comes_back_empty_is_another_store(tmp_path: Path, file: Store) -> None:
    """What was copied is gone, FROM has everything: the move is given up and made anew."""
    server = Server(tmp_path / "forgetful")
    server.start()
    enqueue(file, 3000)
    with closing(open_store(server.url)) as target:
        target.migrate()
        target.patience = 2.0
        with pytest.raises(StoreUnavailable):
            Move(file, target, Killing("copying", 1000, server.kill)).run()
    server.start()
    with closing(open_store(server.url)) as target:
        target.migrate()
        with pytest.raises(MoveRefused, match="moving to another store"):
            mover(file, target).run()
        assert len(everything(file)) == 3000
        reopen(file)
        assert mover(file, target).run().jobs == 3000
        assert same(file, target)
    server.stop()
