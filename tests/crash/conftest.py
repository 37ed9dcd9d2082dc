from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.site import Site

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if not sys.platform.startswith("linux"):
                item.add_marker(pytest.mark.skip(reason="looks into /proc"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own; its workers are killed at the end."""
    found = Site(tmp_path)
    yield found
    found.close()
