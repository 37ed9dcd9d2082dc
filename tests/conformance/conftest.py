from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packhorse._store import Clock, Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock

from .making import T0
from .stores import FRESH, chosen

#: Opens one more connection to the data of the test's store; it is closed when the test ends.
Open = Callable[..., Store]


@pytest.fixture
def clock() -> SettableClock:
    """The time of the stores under test: it stands still until a test advances it."""
    return SettableClock(frozen=T0)


@pytest.fixture(params=chosen())
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return FRESH[request.param](tmp_path)


@pytest.fixture
def open_another(url: str, clock: SettableClock) -> Iterator[Open]:
    opened: list[Store] = []

    def open_it(*, namespace: str = "default", clock: Clock | None = clock) -> Store:
        store = open_store(url, namespace=namespace, clock=clock)
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: Open) -> Store:
    opened = open_another()
    opened.migrate()
    return opened


@pytest.fixture
def other(store: Store, open_another: Open) -> Store:
    """A second connection to the same data."""
    return open_another()
