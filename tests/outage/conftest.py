from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import _runtime
from packhorse._url import parse
from tests.outage.outpost import KINDS, Outpost, Through, new_server, new_store_url
from tests.outage.proxy import Proxy


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
