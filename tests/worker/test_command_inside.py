"""``packhorse.command`` within real workers: its log is the job's, and nothing of it outlives the job."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.worker.site import Site, alive, descendants, eventually

CODE = """
import os, packhorse
from packhorse import current_job

def encode(script, **keys):
    return packhorse.command(["/bin/sh", "-c", script], **keys)
"""
#: One that says who it is, has a helper of its own, and wants to end in its own way.
LONG = "trap 'echo stopped >&2; exit 9' TERM; sleep 600 & echo $! >> helper.new; mv helper.new helper; echo begun; wait; wait"


@pytest.fixture(params=["--threads=1", "--threads=2"])
def encoding(site: Site, request: pytest.FixtureRequest) -> Site:
    site.worker(request.param, "--grace", "1s", app=site.module("encoding", CODE)).ready()
    return site


def helper(site: Site) -> int:
    return int(eventually(lambda: site.mark("helper").exists() and site.mark("helper").read_text(), "the helper"))


def test_what_it_says_is_in_the_jobs_log(encoding: Site) -> None:
    script = 'echo one; echo two >&2; echo "progress 40/100 page 12" >&3; echo "log three" >&3; echo $PACKHORSE_JOB_ID; exit 3'
    job = encoding.queue.enqueue("encoding:encode", script, ok=[0, 3])
    ended = encoding.end(job)
    assert (ended.state, ended.result) == ("succeeded", "3")
    assert {"out: one", "err: two", "log: three", f"out: {job.id}"} <= set(encoding.log(job).splitlines())
    assert json.loads(str(ended.progress))[""] == {"done": 40.0, "total": 100.0, "note": "page 12"}


def test_a_status_that_is_not_accepted_fails_the_job(encoding: Site) -> None:
    ended = encoding.end(encoding.queue.enqueue("encoding:encode", "echo why >&2; exit 4"))
    error = json.loads(str(ended.error))
    assert (ended.state, error["type"]) == ("failed", "CommandFailed")
    assert "exit status 4.\n  why" in error["message"]


def test_a_limit_of_the_job_ends_all_of_it(encoding: Site) -> None:
    ended = encoding.end(encoding.queue.using(timeout="1s").enqueue("encoding:encode", LONG))
    assert json.loads(str(ended.error))["type"] == "TimeLimit"
    assert "err: stopped" in encoding.log(ended)
    eventually(lambda: not alive(helper(encoding)), "the end of its helper")


def test_a_cancel_ends_all_of_it(encoding: Site) -> None:
    job = encoding.queue.enqueue("encoding:encode", LONG)
    pid = helper(encoding)
    job.cancel()
    assert encoding.end(job).state == "cancelled"
    eventually(lambda: not alive(pid), "the end of its helper")


@pytest.mark.parametrize("who", ["worker stops", "child dies", "worker dies"])
def test_whoever_ends_leaves_nothing_of_it(encoding: Site, who: str) -> None:
    encoding.queue.enqueue("encoding:encode", "sleep 600 & echo $! > helper.new; mv helper.new helper; sleep 600; :")
    pid = helper(encoding)
    (worker,) = encoding.workers
    if who == "child dies":
        (child,) = [each for each in worker.children() if pid in descendants(each)]
        os.kill(child, signal.SIGKILL)
    else:
        os.kill(worker.pid, signal.SIGTERM if who == "worker stops" else signal.SIGKILL)
        worker.process.wait()
    eventually(lambda: not alive(pid), "the end of its helper")
