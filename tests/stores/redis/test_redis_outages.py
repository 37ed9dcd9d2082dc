"""Redis: a server that is killed, silent, loading, made a replica, or comes back with less than it had acknowledged."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
import uuid
from collections import Counter
from typing import Any

import pytest

from packhorse._outcome import succeeded
from packhorse._record import NewJob, WorkerRecord
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse.errors import EnqueueUnknown, StoreError, StoreUnavailable
from tests.conformance.making import beat, join, new_job, put, running, settle, state, take
from tests.servers.redis import Server

_LONG = 30.0


def persist(act: Any) -> Any:
    """Do something again until the server answers."""
    late = time.monotonic() + _LONG
    while True:
        try:
            return act()
        except StoreUnavailable:
            assert time.monotonic() < late
            time.sleep(0.01)


# -- killed ------------------------------------------------------------------------------------------------------------
def test_a_server_that_is_killed_under_load_loses_nothing(server: Server, store: Store) -> None:
    """Everything that was acknowledged is there, and every job ends once: the log was written before each answer."""
    acknowledged: list[str] = []
    over, produced = threading.Event(), threading.Event()

    def produce() -> None:
        mine = open_store(server.url)
        while not over.is_set():
            jobs = [new_job("load", id=str(uuid.uuid4())) for _ in range(3)]
            persist(lambda jobs=jobs: mine.enqueue(jobs))
            acknowledged.extend(job.id for job in jobs)
        produced.set()
        mine.close()

    ended: Counter[str] = Counter()

    def work() -> None:
        mine = open_store(server.url)
        worker, number = persist(lambda: join(mine, uuid.uuid4().hex)), 0
        while not produced.is_set() or persist(lambda: mine.queues(["load"]))[0].counts.get("queued"):
            number += 1
            jobs = persist(lambda number=number: mine.claim(["load"], 20, 0, worker, number).jobs)
            answers = persist(lambda jobs=jobs: mine.settle(worker, [succeeded(job, "1") for job in jobs]))
            assert all(answer.how == "repeated" for answer in answers), answers
            ended.update(job.id for job in jobs)
            persist(lambda number=number: beat(mine, worker, claim_no=number))
        mine.close()

    threads = [threading.Thread(target=produce), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    for kill in range(4):
        seen = len(acknowledged)
        late = time.monotonic() + _LONG
        while len(acknowledged) < seen + 60:
            assert time.monotonic() < late
            time.sleep(0.005)
        server.kill()
        server.start()
        assert kill < 4
    over.set()
    for thread in threads:
        thread.join(_LONG)
    assert len(acknowledged) > 200
    stored = {}
    for start in range(0, len(acknowledged), 500):
        some = acknowledged[start : start + 500]
        stored.update((job.id, job) for job in persist(lambda some=some: store.get(some)))
    assert set(acknowledged) == set(stored)
    worker = join(store, "last")
    assert beat(store, worker).alive
    assert Counter(job.state for job in stored.values()) == {"succeeded": len(acknowledged)}


def test_a_lost_answer_to_an_enqueue_says_that_it_may_be_stored(server: Server, store: Store) -> None:
    put(store)
    store.patience = 0.3
    server.pause()
    job = new_job()
    with pytest.raises(EnqueueUnknown, match=r"may have been stored.*never stored twice.*E106") as caught:
        store.enqueue([job])
    assert caught.value.job_id == job.id
    server.resume()
    store.patience = 15.0
    answer = persist(lambda: store.enqueue([job]))
    assert answer[0].id == job.id
    assert len(store.find(JobFilter(ids=(job.id,))).jobs) == 1


def test_a_server_that_is_not_there_stores_nothing_for_sure(server: Server, store: Store) -> None:
    put(store)
    server.kill()
    with pytest.raises(StoreUnavailable):
        store.queues()
    with pytest.raises(StoreUnavailable, match=r"cannot reach the job store.*refused.*Nothing was stored") as caught:
        put(store)
    assert not isinstance(caught.value, EnqueueUnknown)
    server.start()
    put(store)


# -- silent -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("verb", ["claim", "queues", "changed", "now", "wait"])
def test_a_silent_server_is_given_up_in_time(server: Server, store: Store, verb: str) -> None:
    worker = join(store)
    store.wait(0)
    store.patience = 0.4
    calls: dict[str, Any] = {
        "claim": lambda: take(store, worker),
        "queues": store.queues,
        "changed": store.changed,
        "now": store.now,
        "wait": lambda: store.wait(0.2),
    }
    server.pause()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        calls[verb]()
    assert time.monotonic() - began < 10  # and not the 15 s of a store that has all the time
    server.resume()
    persist(calls[verb])


# -- not ready, or not the one any more ------------------------------------------------------------------------------------
def test_a_server_that_is_loading_is_waited_for(server: Server, store: Store) -> None:
    for _ in range(2000):
        put(store)
    server.stop()
    server.config.write_text(server.config.read_text() + "key-load-delay 100\n")
    server.start(ready=False)
    said: list[str] = []

    def attempt() -> None:
        try:
            put(store)
        except StoreUnavailable as error:
            said.append(str(error))
            raise

    persist(attempt)
    assert any("still loading its data" in each for each in said), said
    assert store.queues()[0].counts["queued"] == 2001


def test_a_master_that_became_a_replica(server: Server, store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    with server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", 1)
        for call in (lambda: put(store), lambda: settle(store, succeeded(job, "1")), lambda: take(store, worker)):
            with pytest.raises(StoreUnavailable, match="replica"):
                call()
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert settle(store, succeeded(job, "1")) == []
    assert state(store, job.id) == "succeeded"


def test_changes_that_were_lost_are_reported(server: Server, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """As after a failover to a replica that lagged behind."""
    put(store)
    with server.client() as client:
        client.config_set("appendonly", "no")
        client.save()
        put(store)
        put(store)
    server.config.write_text(server.config.read_text().replace("appendonly yes", "appendonly no"))
    server.kill()
    server.start()
    with caplog.at_level(logging.WARNING, "packhorse.store"):
        assert persist(lambda: store.queues())[0].counts == {"queued": 1}
        persist(lambda: store.queues())
    said = [record.getMessage() for record in caplog.records if "lost changes" in record.getMessage()]
    assert len(said) == 1
    assert "at least 2" in said[0]
    put(store)


# -- processes ----------------------------------------------------------------------------------------------------------
def drain(url: str, name: str, queue: Any) -> None:
    """Work until nothing is left; runs in a process of its own."""
    store = open_store(url)
    worker = uuid.uuid4().hex
    store.register(WorkerRecord(worker, name, "ash", os.getpid(), "b"))
    number, done = 0, []
    while True:
        number += 1
        jobs = store.claim(None, 13, 0, worker, number).jobs
        if not jobs:
            break
        assert store.settle(worker, [succeeded(job, f'"{name}"') for job in jobs]) == []
        done += [job.id for job in jobs]
    queue.put((name, done))


def test_no_job_is_taken_twice_by_many_processes(server: Server, store: Store) -> None:
    for number in range(5):
        store.enqueue([new_job(f"q{number}", priority=place % 3) for place in range(400)])
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=drain, args=(server.url, f"w{number}", answers)) for number in range(3)]
    for process in processes:
        process.start()
    done = dict(answers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    taken = Counter(job for jobs in done.values() for job in jobs)
    assert len(taken) == 2000
    assert set(taken.values()) == {1}
    assert sum(queue.counts["succeeded"] for queue in store.queues()) == 2000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_a_connection_of_its_own(server: Server, store: Store) -> None:
    put(store)
    store.wait(0.01)
    store.changed()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            for _ in range(50):
                put(store, "child")
            store.wait(0.01)
            os.write(writing, b"done")
        finally:
            os._exit(0)
    for _ in range(50):
        put(store, "parent")
    os.waitpid(pid, 0)
    os.close(writing)
    assert os.read(reading, 10) == b"done"
    os.close(reading)
    assert {queue.name: queue.counts["queued"] for queue in store.queues()} == {"child": 50, "mail": 1, "parent": 50}


# -- hints --------------------------------------------------------------------------------------------------------------
def test_a_hint_comes_at_once(server: Server, store: Store) -> None:
    """Far sooner than any block or poll would end."""
    other = open_store(server.url)
    times: list[float] = []
    for _ in range(30):
        store.wait(0)
        while store.changed():
            continue
        woken = threading.Event()
        thread = threading.Thread(target=lambda woken=woken: store.wait(_LONG) and woken.set())
        thread.start()
        wait_until_blocked(server)
        began = time.monotonic()
        put(other)
        assert woken.wait(_LONG)
        times.append(time.monotonic() - began)
        thread.join()
    other.close()
    assert sorted(times)[len(times) // 2] < 0.25


def wait_until_blocked(server: Server) -> None:
    """Wait until a client blocks on the server."""
    late = time.monotonic() + _LONG
    with server.client() as client:
        while not client.info("clients")["blocked_clients"]:
            assert time.monotonic() < late


def test_all_who_wait_are_woken_and_leave_nothing_behind(server: Server, store: Store) -> None:
    waiters = [open_store(server.url) for _ in range(4)]
    woken: list[bool] = []
    for each in waiters:
        each.wait(0)
        each.changed()
    threads = [threading.Thread(target=lambda each=each: woken.append(each.wait(_LONG))) for each in waiters]
    for thread in threads:
        thread.start()
    put(store)
    for thread in threads:
        thread.join(_LONG)
    assert woken == [True] * 4
    for each in waiters:
        each.close()
    put(store)
    with server.client() as client:
        assert not client.hexists("packhorse:{default}", "waiting")
        assert all(client.ttl(key) > 0 for key in client.keys("*:wake:*"))


def test_a_block_that_was_left_goes_on(server: Server, store: Store) -> None:
    """What happens between two waits ends the second one at once, though the first has given up."""
    other = open_store(server.url)
    store.changed()
    assert not store.wait(0.05) or not store.wait(0.05)
    put(other)
    began = time.monotonic()
    assert store.wait(_LONG)
    assert time.monotonic() - began < _LONG / 2
    other.close()


def test_an_answer_that_comes_together_with_another_one_is_not_overlooked(server: Server, store: Store) -> None:
    """A hint that was there before the block: its answer is read from the network along with the one before it."""
    other = open_store(server.url)
    other.wait(0)  # the server knows the script from now on
    other.close()
    store.changed()
    with server.client() as client:
        client.rpush(f"packhorse:{{default}}:wake:{store._me}", 1)  # type: ignore[attr-defined]
    began = time.monotonic()
    assert store.wait(_LONG)
    assert time.monotonic() - began < _LONG / 2


def test_a_killed_waiter_is_forgotten(server: Server, store: Store) -> None:
    other = open_store(server.url)
    other.wait(0.01)
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    persist(lambda: put(store))
    for _ in range(3):
        persist(lambda: other.wait(0.01))
    assert issubclass(StoreUnavailable, StoreError)
    persist(lambda: put(store))
    assert other.wait(5)
    other.close()


def test_new_jobs_of_old_ids_are_answered_by_both_ways_of_storing(store: Store) -> None:
    """The short script hands over to the long one what it does not do."""
    job = NewJob(str(uuid.uuid4()), "m:f", "mail", "[[], {}]")
    assert not store.enqueue([job])[0].existing
    fresh = new_job("mail", task="m:f")
    assert [answer.existing for answer in store.enqueue([job])] == [True]
    assert [answer.existing for answer in store.enqueue([fresh, job, fresh])] == [False, True, True]
    assert store.queues()[0].counts == {"queued": 2}
