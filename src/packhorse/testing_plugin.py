"""The pytest plugin: the fixture ``jobs``. It imports nothing until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import Kit


@pytest.fixture
def jobs(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """``packhorse.testing.memory()`` for one test; ``@pytest.mark.packhorse(app=…, eager=True)`` passes arguments."""
    from .testing import memory

    marker = request.node.get_closest_marker("packhorse")
    with memory(**(marker.kwargs if marker else {})) as kit:
        yield kit


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "packhorse(app=None, eager=False, raises=True): arguments of the fixture jobs")
