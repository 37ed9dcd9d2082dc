from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store of the test's own; its workers are killed at the end."""
    found = Site(tmp_path)
    yield found
    found.close()
