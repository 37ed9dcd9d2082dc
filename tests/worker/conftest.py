from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.site import Site

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a worker stay in one process; those with processes of their own are slow."""
    for item in items:
        if HERE in item.path.parents and {"site", "shared"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            if "shared" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))
            if not sys.platform.startswith("linux"):
                item.add_marker(pytest.mark.skip(reason="looks into /proc"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own; its workers are killed at the end."""
    found = Site(tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One store with one worker of two children, for all tests of a module that leave it as it was."""
    found = Site(tmp_path_factory.mktemp("shared"))
    found.worker("--processes", "2", "--log-level", "debug").ready()
    yield found
    found.close()
