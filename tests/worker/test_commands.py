"""Programs as jobs: how they are started, what of them is on record, what becomes of those that misbehave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from packhorse import Job, _ids
from packhorse._record import JobRecord, NewJob
from tests.worker.site import Site


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker without an application that runs every program, for all tests of this module."""
    found = Site(tmp_path_factory.mktemp("commands"))
    found.worker("--threads", "4", "--allow-commands", "*", "--workspaces", f"{found.directory}/spaces", app=None).ready()
    yield found
    found.close()


def run(site: Site, *argv: str, **keys: Any) -> JobRecord:
    return site.end(site.queue.command(argv, **keys))


def sh(site: Site, script: str, **keys: Any) -> JobRecord:
    """Run a script of the shell to its end."""
    return run(site, "sh", "-c", script, **keys)


def usage(site: Site, job: JobRecord | Job[Any]) -> dict[str, Any]:
    """Return what the last attempt has on record."""
    found = site.attempts(job)[-1].usage
    assert found is not None
    said: dict[str, Any] = json.loads(found)
    return said


def error(job: JobRecord) -> dict[str, Any]:
    assert job.error is not None, job.reason
    said: dict[str, Any] = json.loads(job.error)
    return said


def test_a_command_in_its_stored_form_runs_and_ends_with_its_status(shared: Site) -> None:
    job = _ids.new_id()
    payload = json.dumps([["sh", "-c", "echo to out; echo to err >&2; exit 3"], {"ok": [3]}])
    shared.store.enqueue([NewJob(id=job, task="$sh", queue="work", payload=payload)])
    ended = shared.end(job)
    assert (ended.state, ended.result) == ("succeeded", "3")
    assert sorted(shared.log(ended).splitlines()) == ["err: to err", "out: to out"]
    assert usage(shared, ended)["exit"] == 3
