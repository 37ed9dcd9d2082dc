"""Races about what waits: between connections in threads, and between processes where the store allows it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from packhorse._outcome import succeeded
from packhorse._record import Claimed
from packhorse._rules import held_names
from packhorse._store import Store
from packhorse.errors import UnknownParent

from .conftest import Open
from .making import admit, ids, join, limited, new_job, put, reserving, settle, sharing, state, take
from .test_races import race

PAIRS = 100


class Watch:
    """Sees what several workers run at the same time, and counts how often two had what only one may have."""

    def __init__(self, places: int = 1) -> None:
        self._lock = threading.Lock()
        self._modes: dict[str, list[str]] = {}
        self._places = places
        self.overlaps: list[str] = []
        self.seen = 0

    def enter(self, job: Claimed) -> None:
        with self._lock:
            self.seen += 1
            for mode, name in held_names(job.holds):
                there = self._modes.setdefault(name, [])
                there.append(mode)
                if ("x" in there and len(there) > 1) or there.count("l") > self._places:
                    self.overlaps.append(f"{name}: {there}")

    def leave(self, job: Claimed) -> None:
        with self._lock:
            for mode, name in held_names(job.holds):
                self._modes[name].remove(mode)


def work(store: Store, name: str, watch: Watch, total: int) -> None:
    """Admit, claim and settle like a worker, until all have been seen."""
    worker = join(store, name)
    for call in range(1, 5000):
        store.admit(10)
        claimed = take(store, worker, 3, claim_no=call)
        for job in claimed:
            watch.enter(job)
        for job in claimed:
            watch.leave(job)
        settle(store, *(succeeded(job, None) for job in claimed))
        if watch.seen >= total:
            return
    raise AssertionError(f"only {watch.seen} of {total} jobs were ever let go")


def test_several_who_admit_never_let_two_have_what_one_reserves(store: Store, open_another: Open) -> None:
    join(store, "always there")
    shapes = (reserving("a"), sharing("a"), reserving("a", "b"), sharing("b"), sharing("a", "b"), reserving("b"))
    store.enqueue([new_job(**shapes[number % 6]) for number in range(120)])
    watch = Watch()
    race(open_another, 3, lambda mine, number: work(mine, f"w{number}", watch, 120))
    assert (watch.seen, watch.overlaps) == (120, [])
    assert store.queues()[0].counts == {"succeeded": 120}


def test_nor_more_than_a_limit_allows(store: Store, open_another: Open) -> None:
    join(store, "always there")
    store.set_limits({"a": "2"})
    store.enqueue([new_job(**limited("a")) for _ in range(60)])
    watch = Watch(places=2)
    race(open_another, 3, lambda mine, number: work(mine, f"w{number}", watch, 60))
    assert (watch.seen, watch.overlaps) == (60, [])


def test_no_child_hangs_that_is_stored_while_its_parent_ends(store: Store, open_another: Open) -> None:
    worker = join(store)
    store.enqueue([new_job() for _ in range(PAIRS)])
    parents = take(store, worker)
    children = [new_job("letters", after=(parent.id,)) for parent in parents]
    together, over = threading.Barrier(2), threading.Event()

    def act(mine: Store, number: int) -> None:
        if number == 2:
            while not over.is_set():
                mine.admit()
            return
        try:
            for parent, child in zip(parents, children, strict=True):
                together.wait(30)
                settle(mine, succeeded(parent, None)) if number else mine.enqueue([child])
        finally:
            over.set()

    race(open_another, 3, act)
    admit(store)
    assert Counter(job.state for job in store.get([child.id for child in children])) == {"queued": PAIRS}


def test_no_follower_hangs_that_is_stored_while_the_last_members_end(store: Store, open_another: Open) -> None:
    worker = join(store)
    members = [[new_job(flow=f"f{pair}") for _ in range(2)] for pair in range(PAIRS // 2)]
    store.enqueue([job for pair in members for job in pair])
    claimed = {job.id: job for job in take(store, worker, PAIRS)}
    followers = [new_job("letters", after_flow=f"f{pair}") for pair in range(PAIRS // 2)]
    together = threading.Barrier(3)

    def act(mine: Store, number: int) -> None:
        for pair, follower in zip(members, followers, strict=True):
            together.wait(30)
            if number == 2:
                mine.enqueue([follower])
                mine.admit()
            else:
                settle(mine, succeeded(claimed[pair[number].id], None))

    race(open_another, 3, act)
    admit(store)
    assert Counter(job.state for job in store.get([job.id for job in followers])) == {"queued": PAIRS // 2}


def test_no_waiter_hangs_that_is_stored_while_the_holder_ends(store: Store, open_another: Open) -> None:
    worker = join(store)
    names = [f"n{number}" for number in range(PAIRS)]
    store.enqueue([new_job(**reserving(name)) for name in names])
    admit(store)
    holders = take(store, worker)
    waiters = [new_job("letters", **reserving(held_names(job.holds)[0][1])) for job in holders]
    together, over = threading.Barrier(2), threading.Event()

    def act(mine: Store, number: int) -> None:
        if number == 2:
            while not over.is_set():
                mine.admit()
            return
        try:
            for holder, waiter in zip(holders, waiters, strict=True):
                together.wait(30)
                settle(mine, succeeded(holder, None)) if number else mine.enqueue([waiter])
        finally:
            over.set()

    race(open_another, 3, act)
    admit(store)
    assert Counter(job.state for job in store.get([job.id for job in waiters])) == {"queued": PAIRS}


def test_a_parent_is_either_deleted_or_has_a_child(store: Store, open_another: Open) -> None:
    parents = [put(store) for _ in range(30)]

    def act(mine: Store, number: int) -> list[bool]:
        done = []
        for parent in parents:
            try:
                done.append(bool(mine.delete(ids(parent)).done if number else put(mine, after=(parent,))))
            except UnknownParent:
                done.append(False)
        return done

    stored, deleted = race(open_another, 2, act)
    assert [a != b for a, b in zip(stored, deleted, strict=True)] == [True] * 30  # type: ignore[call-overload]


def test_of_many_with_one_key_one_is_stored(store: Store, open_another: Open) -> None:
    def act(mine: Store, number: int) -> list[tuple[str, bool]]:
        answers = (mine.enqueue([new_job(unique=f"k{key}")])[0] for key in range(25))
        return [(answer.id, answer.existing) for answer in answers]

    answers: list[list[tuple[str, bool]]] = race(open_another, 4, act)  # type: ignore[assignment]
    for key in range(25):
        assert len({each[key][0] for each in answers}) == 1
        assert Counter(each[key][1] for each in answers) == {True: 3, False: 1}
    assert store.queues()[0].counts == {"queued": 25}


def test_of_many_who_replace_each_other_one_is_left(store: Store, open_another: Open) -> None:
    def act(mine: Store, number: int) -> list[str]:
        return [mine.enqueue([new_job(unique="k", on_conflict="replace")])[0].id for _ in range(15)]

    stored = [job for each in race(open_another, 4, act) for job in each]  # type: ignore[attr-defined]
    assert Counter(state(store, job) for job in stored) == {"queued": 1, "cancelled": 59}
    (left,) = (job for job in store.get(stored) if job.unique_held)
    assert left.state == "queued"


WORK = """
import fcntl, os, sys
from packhorse._outcome import succeeded
from packhorse._record import WorkerRecord
from packhorse._rules import held_names
from packhorse._stores import open_store
url, worker, directory = sys.argv[1:]
store = open_store(url)
store.register(WorkerRecord(worker, worker, "ash", 1, "b"))
print("ready", flush=True)
sys.stdin.readline()
call = 0
while store.admit().waits or store.queues()[0].counts.get("queued"):
    call += 1
    for job in store.claim(None, 2, 0, worker, call).jobs:
        locks = []
        for mode, name in held_names(job.holds):
            locks.append(os.open(os.path.join(directory, name), os.O_CREAT | os.O_RDWR))
            # Whoever has the name meanwhile, in whatever process, makes this fail.
            fcntl.flock(locks[-1], (fcntl.LOCK_EX if mode == "x" else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        for lock in locks:
            os.close(lock)
        assert not store.settle(worker, [succeeded(job, None)])
"""


def test_processes_that_admit_never_let_two_have_what_one_reserves(url: str, store: Store, tmp_path: Path) -> None:
    if not store.capabilities.processes:
        pytest.skip("this store belongs to one process")
    join(store, "always there")
    shapes = (reserving("a"), sharing("a", "b"), reserving("b", "c"), sharing("c"))
    store.enqueue([new_job(**shapes[number % 4]) for number in range(80)])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, url, f"w{number}", str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert store.queues()[0].counts["succeeded"] == 80
