from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import _runtime
from packhorse._url import parse
from tests.outage.outpost import KINDS, Outpost, Ran, Through, new_server, new_store_url
from tests.outage.proxy import Proxy

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a private server stay in one process."""
    for item in items:
        if HERE in item.path.parents:
            kind = next((kind for kind in KINDS if kind in item.name), "")
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{kind}"))


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A kind of store, and a private server of it for a module."""
    server = new_server(request.param, tmp_path_factory.mktemp(request.param))
    server.start()
    yield request.param, server
    server.stop()


@pytest.fixture
def outpost(served: tuple[str, Any], tmp_path: Path) -> Iterator[Outpost]:
    """A fresh store on it. However the test ends, the server runs afterwards."""
    kind, server = served
    found = Outpost(tmp_path, kind, server, new_store_url(kind, server))
    found.make()
    yield found
    found.close()
    _runtime.forget()
    if running(server):
        server.resume()
    else:
        server.start()


@pytest.fixture
def through(served: tuple[str, Any], tmp_path: Path) -> Iterator[tuple[Through, Proxy]]:
    """A fresh store that users and workers reach through a proxy."""
    kind, server = served
    direct = new_store_url(kind, server)
    ((host, port), *_) = parse(direct).hosts
    proxy = Proxy(host, port or 0)
    found = Through(tmp_path, kind, server, direct)
    found.make()
    found.direct_url = direct
    options = ("&" if "?" in direct else "?") + "pooler=1" if kind == "postgres" else ""
    found.use(direct.replace(f"{host}:{port}", f"{proxy.host}:{proxy.port}") + options)
    yield found, proxy
    proxy.heal()
    found.close()
    _runtime.forget()
    proxy.close()


def running(server: Any) -> bool:
    """Tell whether a server's process lives."""
    process = server._process
    return process is not None and process.poll() is None


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Run Python in a project of its own, with an environment that names no store but what is given."""
    (tmp_path / ".git").mkdir()

    def call(*words: str, **environ: str) -> Ran:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PACKHORSE", "PG")) and name not in ("REDIS_URL", "DATABASE_URL")
        }
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env={**kept, "PYTHONPATH": str(ROOT), **environ},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout + done.stderr)

    return call
