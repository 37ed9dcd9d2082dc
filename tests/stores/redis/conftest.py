from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse._store import Store
from packhorse._stores import open_store
from tests.servers.redis import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, which writes down what it is told."""
    started = Server(tmp_path / "redis", appendonly="yes")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    opened = open_store(server.url)
    yield opened
    opened.close()


@pytest.fixture
def other(server: Server) -> Iterator[Store]:
    opened = open_store(server.url)
    yield opened
    opened.close()
