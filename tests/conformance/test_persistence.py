"""What is stored outlives the connection, and the processes where the store says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed
from packhorse._store import Store

from .conftest import Open
from .making import ERROR, beat, ids, join, put, running, settle, the
from .test_prune import one_in_each_state

ENQUEUE_AND_DIE = """
import os, sys
from packhorse._stores import open_store
from packhorse._record import NewJob
store = open_store(sys.argv[1])
store.migrate()
store.enqueue([NewJob(sys.argv[2], "m:f", "mail", "[[], {}]")])
os._exit(9)
"""


def test_every_part_of_a_job_is_the_same_on_another_connection(store: Store, other: Store) -> None:
    jobs = list(one_in_each_state(store).values())
    assert other.get(jobs) == store.get(jobs)
    assert [other.attempts(job) for job in jobs] == [store.attempts(job) for job in jobs]
    assert other.queues() == store.queues()
    assert other.workers() == store.workers()


def test_every_part_of_a_job_is_the_same_after_reopening(store: Store, open_another: Open) -> None:
    if not store.capabilities.durable:
        pytest.skip("this store dies with its process")
    worker = join(store)
    job = running(store, worker)
    settle(store, failed(job, Backoff(0), ERROR)._replace(log="hello"))
    held = running(store, worker)
    store.cancel(ids(held.id), by="ada", reason="wrong file")
    store.pause("mail", by="ada", reason="x")
    before = (store.get([job.id, held.id]), store.attempts(job.id), store.log(job.id), store.queues(), store.workers())
    instance = store.instance
    store.close()
    again = open_another()
    after = (again.get([job.id, held.id]), again.attempts(job.id), again.log(job.id), again.queues(), again.workers())
    assert after == before
    assert again.instance == instance
    assert beat(again, worker, [held]).cancelled == [(held.id, held.token, "wrong file")]


def test_numbers_go_on_after_reopening(store: Store, open_another: Open) -> None:
    if not store.capabilities.durable:
        pytest.skip("this store dies with its process")
    first = the(store, put(store)).seq
    store.delete(ids(put(store)))
    store.close()
    again = open_another()
    assert the(again, put(again)).seq > first


def test_a_job_enqueued_by_a_process_that_died_at_once_is_stored(url: str, store: Store) -> None:
    if not store.capabilities.processes:
        pytest.skip("this store belongs to one process")
    job = "0198a2b4-0000-7000-8000-000000000001"
    died = subprocess.run([sys.executable, "-c", ENQUEUE_AND_DIE, url, job], timeout=60, check=False)
    assert died.returncode == 9
    assert the(store, job).state == "queued"
