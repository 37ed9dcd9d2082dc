"""A random story told by several connections and processes, some of them killed: every sum, mark and reference still holds.

Run as a script, this tells one process's part of the story until it is killed.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from packhorse._inside import Steps
from packhorse._outcome import succeeded
from packhorse._record import STATES, Claimed, NewJob, Report, Verdict, WorkerRecord
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse.errors import IdConflict, StoreMoved, StoreUnavailable
from tests.stores.sqlite_checker import NEVER, problems

QUEUES, TASKS, NAMESPACES = ("a", "b"), ("m:f", "m:g"), ("one", "two")
LINES = tuple(f"{queue}#{task}" for queue in QUEUES for task in TASKS)
HOUR = 3_600_000_000
ROOT = Path(__file__).parents[2]
#: What may become of a run, beside a plain success.
ENDS = (
    Verdict("", "", "retry", "retrying", error="{}", failures=1, delay=0.01),
    Verdict("", "", "retry", "retrying", 0.1, error="{}", failures=1, delay=5000, log="out", usage="{}"),
    Verdict("", "", "failed", "failed", error="{}", reason="\ud800", failures=1),
    Verdict("", "", "failed", "failed", error="{}", reason="no", failures=1),
    Verdict("", "", "snoozed", "scheduled", delay=0.02, snoozes=1),
    Verdict("", "", "cancelled", "cancelled", reason="enough"),
    Verdict("", "", "released", "queued"),
    Verdict("", "", "released", "blocked", reason="unknown"),
    Verdict("", "", "crashed", "queued", error="{}", reason="died", suspect=True),
    Verdict("", "", "crashed", "queued", 0.2, error="{}", crashes=1),
    Verdict("", "", "succeeded", "succeeded", 0.2, result='"kept for a while"', keep=2000),
)


class Clock:
    """The host's clock, moved by hand or by a while in each process: hosts are never of one mind."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead

    def __call__(self) -> int:
        return time.time_ns() // 1000 + self.ahead


class Teller:
    """One connection a namespace, one of the user's own, and a worker; does anything there is to do, at random."""

    def __init__(self, url: str, rng: random.Random, ids: list[str], clock: Clock) -> None:
        self.rng, self.ids, self.clock = rng, ids, clock
        self.stores = [open_store(url, namespace=name, clock=clock) for name in NAMESPACES]
        self.path = url.removeprefix("sqlite:///").partition("?")[0]
        self.workers: dict[str, str] = {}
        self.calls = 0
        self.held: dict[str, list[Claimed]] = {store.namespace: [] for store in self.stores}
        self.past: list[Verdict] = []
        for store in self.stores:
            self.join(store)

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def step(self) -> None:
        """Do one thing, whatever comes of it that may come of it."""
        act = self.rng.choice(self.acts)
        with suppress(StoreMoved, IdConflict):
            act(self, self.rng.choice(self.stores))

    # -- producing ------------------------------------------------------------------------------------------------
    def new(self) -> NewJob:
        rng = self.rng
        id = str(uuid.UUID(int=rng.getrandbits(128)))
        self.ids.append(id)
        plain = NewJob(id, rng.choice(TASKS), rng.choice(QUEUES), '[["x"], {}]')
        return rng.choice((
            plain, plain, plain, plain._replace(priority=rng.randrange(-3, 3)), plain._replace(delay=0.01),
            plain._replace(delay=4000), plain._replace(expires=rng.choice((0.02, 3000))), plain._replace(crash_fails=True),
            plain._replace(tags='["t"]', meta='{"k": 1}'), plain._replace(options='{"kept_for": 7000}'),
        ))  # fmt: skip

    def enqueue(self, store: Store) -> None:
        store.enqueue([self.new() for _ in range(self.rng.choice((1, 1, 1, 2, 5, 90)))])

    def enqueue_one_by_one(self, store: Store) -> None:
        for _ in range(self.rng.randrange(40)):
            store.enqueue([self.new()])

    def enqueue_known(self, store: Store) -> None:
        again = self.new()._replace(id=self.known())
        store.enqueue([again, self.new()][: self.rng.randrange(1, 3)])

    def within(self, store: Store) -> None:
        inside = store.inside
        assert inside is not None
        db = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        with closing(db), suppress(StoreUnavailable):  # begun too early, and others wrote since
            db.execute(self.rng.choice(("BEGIN", "BEGIN IMMEDIATE")))
            spoken(inside.check(), db)
            for _ in range(self.rng.choice((1, 3, 300))):
                spoken(inside.enqueue([self.new() for _ in range(self.rng.choice((1, 1, 1, 4)))]), db)
            for job in self.held[store.namespace][:2]:
                spoken(inside.complete(job.id, job.token, '"here"', None), db)
            db.execute(self.rng.choice(("COMMIT", "COMMIT", "ROLLBACK")))

    def known(self) -> str:
        return self.rng.choice(self.ids) if self.ids else "none"

    # -- working --------------------------------------------------------------------------------------------------
    def join(self, store: Store) -> None:
        worker = str(uuid.UUID(int=self.rng.getrandbits(128)))
        self.workers[store.namespace] = worker
        store.register(WorkerRecord(worker, worker, "host", 1, "boot"))

    def claim(self, store: Store) -> None:
        self.calls += 1
        queues = self.rng.choice((None, list(QUEUES), ["b"]))
        worker = self.workers[store.namespace]
        free = self.rng.choice((1, 10, 200))
        claim = store.claim(queues, free, self.rng.choice((0, 20)), worker, self.calls, lines=LINES, turn=self.calls)
        if self.rng.random() < 0.9:  # else the answer is lost on its way
            self.held[store.namespace] += claim.jobs

    def settle(self, store: Store) -> None:
        held = self.held[store.namespace]
        self.rng.shuffle(held)
        number = self.rng.randrange(len(held) + 1)
        verdicts = [self.verdict(job) for job in held[:number]]
        del held[:number]
        if self.past and self.rng.random() < 0.3:
            verdicts.insert(self.rng.randrange(len(verdicts) + 1), self.rng.choice(self.past))
        self.past = (self.past + verdicts)[-50:]
        store.settle(self.workers[store.namespace], verdicts)

    def verdict(self, job: Claimed) -> Verdict:
        if self.rng.random() < 0.7:
            return succeeded(job, self.rng.choice((None, "null", '"done"')))
        end = self.rng.choice(ENDS)
        line = f"{job.queue}#{job.task}" if end.state == "blocked" else None
        return end._replace(job=job.id, token=job.token, line=line)

    def beat(self, store: Store) -> None:
        held = self.held[store.namespace]
        if self.rng.random() < 0.2:
            del held[: self.rng.randrange(len(held) + 1)]
        reply = store.beat(self.workers[store.namespace], self.calls, [(job.id, job.token) for job in held])
        self.held[store.namespace] = [job for job in held if (job.id, job.token) not in reply.lost]
        if not reply.alive:
            self.held[store.namespace] = []
            self.join(store)

    def report(self, store: Store) -> None:
        some = self.held[store.namespace][:5]
        news = [Report(job.id, job.token, 0.1, "{}", self.rng.choice((None, "log")), meta='{"n": 1}') for job in some]
        store.report(self.workers[store.namespace], news)

    def rescue(self, store: Store) -> None:
        for worker in store.workers():
            if self.rng.random() < 0.3:
                store.condemn(worker.id, worker.beats)
        verdicts = [Verdict(o.job, o.token, "lost", "queued", losses=1) for o in store.orphans(200)]
        store.settle(None, verdicts)

    def leave(self, store: Store) -> None:
        store.stopping(self.workers[store.namespace])
        store.leave(self.workers[store.namespace])
        self.held[store.namespace] = []
        self.join(store)

    def promote(self, store: Store) -> None:
        store.promote()

    def resolve(self, store: Store) -> None:
        store.resolve(LINES)

    def upkeep(self, store: Store) -> None:
        store.expire()
        store.prune({"succeeded": 0, "failed": 5000, "cancelled": 0}, self.rng.choice((3, 1000)))

    # -- operating ------------------------------------------------------------------------------------------------
    def which(self) -> JobFilter:
        some = tuple(self.known() for _ in range(self.rng.choice((1, 5, 50))))
        return self.rng.choice((
            JobFilter(ids=some), JobFilter(ids=some), JobFilter(queue="a", states=(self.rng.choice(STATES),)), JobFilter(tag="t"),
        ))  # fmt: skip

    def cancel(self, store: Store) -> None:
        store.cancel(self.which(), reason="why not")

    def requeue(self, store: Store) -> None:
        store.requeue(self.which(), delay=self.rng.choice((0, 0, 0.01)))

    def delete(self, store: Store) -> None:
        store.delete(self.which())

    def pause(self, store: Store) -> None:
        store.pause("a")
        store.resume("a")

    def freeze(self, store: Store) -> None:
        store.freeze("redis://elsewhere")
        with suppress(StoreMoved):
            store.enqueue([self.new()])
        store.thaw()

    def copy(self, store: Store) -> None:
        """Copy some jobs from one namespace into the other, over those that are there."""
        source = self.rng.choice(self.stores)
        everything = source.find(JobFilter(), 1).jobs
        start = self.rng.randrange(everything[0].seq) if everything else 0
        store.import_jobs(source.export(start, self.rng.choice((1, 40))))

    acts: tuple[Callable[[Teller, Store], None], ...] = (
        enqueue, enqueue, enqueue_one_by_one, enqueue_known, within, claim, claim, claim, claim, settle, settle, settle, beat,
        report, rescue, leave, promote, resolve, upkeep, cancel, requeue, delete, pause, freeze, copy,
    )  # fmt: skip


def spoken(steps: Steps[object], db: sqlite3.Connection) -> object:
    """Drive an act on a connection."""
    try:
        step = next(steps)
        while True:
            assert callable(step)
            step = steps.send(step(db))
    except StopIteration as end:
        return end.value


def finish(url: str, clock: Clock) -> None:
    """Work all jobs off: none may be stuck."""
    clock.ahead += 10 * HOUR
    for name in NAMESPACES:
        with closing(open_store(url, namespace=name, clock=clock)) as store:
            store.thaw()
            for each in QUEUES:
                store.resume(each)
            for worker in store.workers():
                store.condemn(worker.id, worker.beats)
            me = str(uuid.uuid4())
            store.register(WorkerRecord(me, me, "host", 1, "boot"))
            for call in range(1, 200):
                store.settle(None, [Verdict(o.job, o.token, "lost", "queued", losses=1) for o in store.orphans()])
                moved, _ = store.promote()
                moved += store.resolve(LINES) + len(store.expire())
                jobs = store.claim(None, 1000, 0, me, call, lines=LINES).jobs
                store.settle(me, [succeeded(job, None) for job in jobs])
                if not moved and not jobs:
                    break
            left = [job for state in STATES[:5] for job in store.find(JobFilter(states=(state,)), 5).jobs]
            assert not left


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))])
def test_several_connections_in_turn(tmp_path: Path, seed: int) -> None:
    url, rng, ids, clock = f"sqlite:///{tmp_path}/jobs.db?synchronous=normal", random.Random(seed), [], Clock(0)
    tellers = [Teller(url, rng, ids, clock if n else Clock(-HOUR)) for n in range(3)]
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as db:
        for number in range(240):
            clock.ahead += rng.choice((0, 0, 5_000, 1_000_000, HOUR))
            rng.choice(tellers).step()
            if not number % 8:
                assert problems(db, whole=False) == [], f"after step {number}"
        for teller in tellers:
            teller.close()
        finish(url, clock)
        assert problems(db) == []


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        if process.returncode is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("kills", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_processes_that_are_killed(tmp_path: Path, processes: list[subprocess.Popen[bytes]], kills: int) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?synchronous=normal"
    open_store(url).close()
    errors = (tmp_path / "errors").open("ab")

    def start() -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.stores.test_sqlite_consistency", url]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)

    def kill(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, (tmp_path / "errors").read_text()

    processes += [start() for _ in range(3)]
    deadline = time.monotonic() + 30 + 3 * kills
    with errors, closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as db:
        while kills:
            assert problems(db, whole=False) == []
            assert time.monotonic() < deadline, (tmp_path / "errors").read_text()
            busy, _, _ = select.select([process.stdout for process in processes], [], [], 0.5)
            if busy:  # has told a part of its story
                time.sleep(random.uniform(0, 0.1))
                place = [process.stdout for process in processes].index(random.choice(busy))
                kill(processes[place])
                processes[place] = start()
                kills -= 1
        for process in processes:
            kill(process)
        told = db.execute("SELECT max(no) FROM packhorse_claims").fetchone()[0] - NEVER
        finish(url, Clock(3 * HOUR))
        assert problems(db) == []
    assert told > 3


def tell(url: str) -> None:
    """Go on until killed."""
    rng = random.Random()
    teller = Teller(url, rng, [], Clock(rng.choice((0, 1_000_000, 2 * HOUR))))
    with closing(open_store(url, namespace=NAMESPACES[0])) as store:
        teller.ids += [job.id for job in store.find(JobFilter(), 200).jobs]
    for number in count():
        teller.clock.ahead += rng.choice((0, 0, 0, 10_000_000))
        teller.step()
        if number == 25:
            os.write(1, b".")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        tell(sys.argv[1])
    os._exit(3)
