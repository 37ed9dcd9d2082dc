from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packhorse._store import Clock, Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock

from .making import T0
from .stores import FRESH, SHARED, chosen, says_nothing_new

HERE = Path(__file__).parent

#: Opens one more connection to the data of the test's store; it is closed when the test ends.
Open = Callable[..., Store]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would be said twice (``stores.POOLED``)."""
    left_out = [item for item in items if item.path.parent == HERE and _repeats(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def _repeats(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and says_nothing_new(call.params.get("kind", ""), item.path.stem)


@pytest.fixture
def clock() -> SettableClock:
    """The time of the stores under test: it stands still until a test advances it."""
    return SettableClock(frozen=T0)


@pytest.fixture(params=chosen())
def kind(request: pytest.FixtureRequest) -> str:
    """Which store is under test."""
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    """Where the store is: an empty place of the test's own."""
    return FRESH[kind](tmp_path)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> tuple[str, str]:
    """The URL, and what the names of the test's namespaces begin with.

    A test that does not ask for the URL shares tables with others where new ones are dear, and has namespaces of its own.
    """
    if kind in SHARED and "url" not in request.fixturenames:
        return SHARED[kind](), f"{uuid.uuid4().hex}-"
    return request.getfixturevalue("url"), ""


@pytest.fixture
def open_another(place: tuple[str, str], clock: SettableClock) -> Iterator[Open]:
    opened: list[Store] = []
    url, own = place

    def open_it(*, namespace: str = "default", clock: Clock | None = clock) -> Store:
        store = open_store(url, namespace=own + namespace, clock=clock)
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
