"""The server dies, and another one with the same jobs takes its place under the same address."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.outage.outpost import KINDS, Through, away, back, new_server
from tests.outage.proxy import Proxy
from tests.worker import tasks
from tests.worker.site import eventually

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="no worker runs there")]


@pytest.mark.parametrize("kind", KINDS)
def test_another_server_takes_over(kind: str, tmp_path: Path) -> None:
    """Running jobs are kept, what was acknowledged is there, and the worker needs no restart."""
    first, second = new_server(kind, tmp_path / "first"), new_server(kind, tmp_path / "second")
    first.start()
    proxy = Proxy("127.0.0.1", first.port)
    url = first.url.replace(f":{first.port}", f":{proxy.port}")
    (tmp_path / "site").mkdir()
    site = Through(tmp_path / "site", kind, first, url)
    site.direct_url = url
    try:
        site.make()
        worker = site.worker().ready()
        job = site.enqueue(tasks.held, "job")
        site.marked("job-runs")
        waiting = site.enqueue(tasks.add, 1, 2)
        if kind == "redis":
            follow(first, second)
        first.kill() if kind == "redis" else first.stop()
        away(worker)
        (promote if kind == "redis" else copy)(first, second, proxy)
        began = time.monotonic()
        back(worker, began)
        site.let("job-may-end")
        assert site.end(job).state == "succeeded"
        assert site.end(waiting).result == "3"
        assert len(site.attempts(job)) == 1
        assert worker.stop() == 0
    finally:
        site.close()
        proxy.close()
        for server in (first, second):
            server.stop()


def follow(first: Any, second: Any) -> None:
    """Let the second be a replica that has everything."""
    second.start()
    with second.client() as client, first.client() as master:
        client.execute_command("REPLICAOF", "127.0.0.1", first.port)
        eventually(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
        assert master.wait(1, 5000) == 1


def promote(first: Any, second: Any, proxy: Proxy) -> None:
    """Lead everybody to the replica while it still is one, and then make it the master."""
    before = proxy.accepted
    proxy.retarget("127.0.0.1", second.port)
    eventually(lambda: proxy.accepted > before + 2, "it is tried while it takes no changes")
    with second.client() as client:
        client.execute_command("REPLICAOF", "NO", "ONE")


def copy(first: Any, second: Any, proxy: Proxy) -> None:
    """Start the second on what the first has left on its disk."""
    kept = (second.data / "postgresql.conf").read_bytes()
    owner = second.data.stat()
    shutil.rmtree(second.data)
    shutil.copytree(first.data, second.data)
    (second.data / "postgresql.conf").write_bytes(kept)
    if os.geteuid() == 0:
        for path in (second.data, *second.data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
    second.start()
    proxy.retarget("127.0.0.1", second.port)
