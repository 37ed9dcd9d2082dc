from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.stores import FRESH, chosen
from tests.worker.site import Site

HERE = Path(__file__).parent
#: Every kind of store that workers can share. Another way to reach the same one adds nothing here.
KINDS = [name for name in chosen() if name.partition("-")[0] == name != "memory"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if not sys.platform.startswith("linux"):
                item.add_marker(pytest.mark.skip(reason="looks into /proc"))


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own; its workers are killed at the end."""
    found = Site(tmp_path, FRESH[request.param](tmp_path))
    assert found.store.capabilities.processes
    yield found
    found.close()
