"""Work that stays on the host where it began. The hosts are one here, that calls itself otherwise in each worker."""

from __future__ import annotations

from packhorse import Queue
from packhorse._store import JobFilter

from .site import Site, Worker, eventually

NAMED = """
import os, socket
if "HOST_OF_THIS_TEST" in os.environ:
    socket.gethostname = lambda: os.environ["HOST_OF_THIS_TEST"]
"""
STAYING = """
import socket
from packhorse import Queue
def begin(deep):
    if deep:
        Queue.here().enqueue(begin, deep - 1)
    return socket.gethostname()
"""


def worker_of(site: Site, host: str) -> Worker:
    path = str(site.directory)
    return site.worker("-q", "host.%h,work", app="staying", HOST_OF_THIS_TEST=host, PYTHONPATH=_path(path)).ready()


def _path(first: str) -> str:
    import os

    return os.pathsep.join([first, *filter(None, [os.environ.get("PYTHONPATH")])])


def test_what_a_job_enqueues_for_its_host_stays_there(site: Site) -> None:
    site.module("sitecustomize", NAMED)
    site.module("staying", STAYING)
    workers = [worker_of(site, f"{name}.example.org") for name in ("ash", "oak")]
    assert "serves queues host.ash/work" in workers[0].output
    assert "serves queues host.oak/work" in workers[1].output
    work = Queue("work", store=site.url)
    first = [work.enqueue("staying:begin", 2) for _ in range(20)]

    def done() -> bool:
        return _ended(site) == 60

    eventually(done, "the end of sixty jobs")
    jobs = {job.id: job for job in site.store.find(JobFilter(), 100).jobs}
    hosts = {id: (job.result or "").strip('"') for id, job in jobs.items()}
    for job in jobs.values():
        if job.parent is not None:
            assert hosts[job.id] == hosts[job.parent]
            assert job.queue == f"host.{hosts[job.id].partition('.')[0]}"
    assert {hosts[job.id] for job in first} <= {"ash.example.org", "oak.example.org"}


def _ended(site: Site) -> int:
    return sum(queue.counts.get("succeeded", 0) for queue in site.store.queues())
