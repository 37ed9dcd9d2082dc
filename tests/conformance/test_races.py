"""Races between connections: in threads of this process, and between processes where the store allows it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from packhorse._outcome import crashed, lost, succeeded
from packhorse._store import JobFilter, Store

from .conftest import Open
from .making import ERROR, beat, ids, join, new_job, put, running, settle, state, take, the
from .test_queues import counted, recount

Act = Callable[[Store, int], object]


def race(open_another: Open, count: int, act: Act) -> list[object]:
    """Let ``count`` threads, each with a connection of its own, begin the same act at the same moment."""
    together = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(number: int) -> None:
        store = open_another()
        together.wait(30)
        try:
            results[number] = act(store, number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_no_job_is_claimed_twice(store: Store, open_another: Open) -> None:
    store.enqueue([new_job() for _ in range(400)])

    def claim(mine: Store, number: int) -> list[str]:
        worker, claimed, call = join(mine, f"w{number}"), [], 0
        while True:
            call += 1
            jobs = take(mine, worker, 7, claim_no=call)
            if not jobs:
                return claimed
            claimed += [job.id for job in jobs]

    claimed = [job for jobs in race(open_another, 4, claim) for job in jobs]  # type: ignore[attr-defined]
    assert len(claimed) == len(set(claimed)) == 400
    assert len(store.find(JobFilter(states=("running",)), 1000).jobs) == 400


def test_one_of_many_equal_enqueues_stores_the_job(store: Store, open_another: Open) -> None:
    jobs = [new_job() for _ in range(20)]
    answers = race(open_another, 4, lambda mine, number: [mine.enqueue([job])[0].existing for job in jobs])
    for job in range(20):
        assert Counter(existing[job] for existing in answers) == {False: 1, True: 3}  # type: ignore[index]
    assert store.queues()[0].counts["queued"] == 20


def test_one_of_two_verdicts_wins_and_the_other_is_told(store: Store, open_another: Open) -> None:
    jobs = [running(store) for _ in range(30)]

    def verdict(mine: Store, number: int) -> int:
        decide = (lambda job: succeeded(job, '"worker"')) if number else (lambda job: lost(job, "gone", started=True))
        return sum(not mine.settle(None, [decide(job)]) for job in jobs)

    assert sum(race(open_another, 2, verdict)) == 30  # type: ignore[arg-type]
    for job in jobs:
        (row,) = store.attempts(job.id)
        record = the(store, job.id)
        if record.state == "succeeded":
            assert (row.outcome, row.late, record.losses) == ("succeeded", None, 0)
        else:
            assert (row.outcome, row.late, record.losses) == ("lost", '"worker"', 1)


def test_a_cancel_and_a_claim_leave_one_truth(store: Store, open_another: Open) -> None:
    jobs = [put(store) for _ in range(60)]
    worker = join(store)

    def act(mine: Store, number: int) -> list[str]:
        if number:
            return [job.id for _ in jobs for job in take(mine, worker, 1)]
        return [job for one in jobs for job in mine.cancel(ids(one)).done]

    cancelled, claimed = race(open_another, 2, act)
    assert not set(cancelled) & set(claimed)  # type: ignore[call-overload]
    for job in jobs:
        expected = "cancelled" if job in cancelled else "running"  # type: ignore[operator]
        assert state(store, job) == expected


def test_a_condemned_worker_has_either_beaten_or_died(store: Store, open_another: Open) -> None:
    for number in range(20):
        worker = join(store, f"w{number}")

        def act(mine: Store, side: int, worker: str = worker) -> bool:
            return mine.condemn(worker, 0) if side else mine.beat(worker, 0, []).alive

        alive, condemned = race(open_another, 2, act)
        assert alive != condemned


def test_two_who_promote_promote_each_job_once(store: Store, open_another: Open, clock) -> None:  # type: ignore[no-untyped-def]
    store.enqueue([new_job(delay=1) for _ in range(200)])
    clock.advance(2)
    promoted = race(open_another, 3, lambda mine, number: sum(mine.promote(10)[0] for _ in range(20)))
    assert sum(promoted) == 200  # type: ignore[arg-type]


def test_a_name_is_given_once(store: Store, open_another: Open) -> None:
    from packhorse.errors import NameTaken

    def register(mine: Store, number: int) -> bool:
        try:
            join(mine, "ash-1")
        except NameTaken:
            return False
        return True

    assert sorted(race(open_another, 4, register)) == [False, False, False, True]  # type: ignore[type-var]
    assert len(store.workers()) == 1


def test_counters_agree_with_a_recount_after_a_storm(store: Store, open_another: Open) -> None:
    def work(mine: Store, number: int) -> None:
        worker, done = join(mine, f"w{number}"), 0
        for call in range(1, 40):
            mine.enqueue([new_job(f"q{call % 3}") for _ in range(5)])
            jobs = take(mine, worker, 4, claim_no=call, turn=call)
            mine.settle(worker, [succeeded(job, "1") for job in jobs[:2]])
            mine.settle(worker, [crashed(job, ERROR, "x") for job in jobs[2:3]])
            beat(mine, worker, claim_no=call)
            done += len(jobs)
            if call % 5 == 0:
                mine.cancel(JobFilter(queue=f"q{number % 3}", states=("queued",)))
                mine.requeue(JobFilter(states=("cancelled",)))
                mine.delete(JobFilter(states=("succeeded",)))

    race(open_another, 3, work)
    assert counted(store) == recount(store)


CLAIM = """
import sys
from packhorse._outcome import succeeded
from packhorse._record import WorkerRecord
from packhorse._stores import open_store
store = open_store(sys.argv[1])
worker = sys.argv[2]
store.register(WorkerRecord(worker, worker, "ash", 1, "b"))
print("ready", flush=True)
sys.stdin.readline()
call = 0
while True:
    call += 1
    jobs = store.claim(None, 5, 0, worker, call).jobs
    if not jobs:
        break
    for job in jobs:
        print(job.id, flush=True)
    left = store.settle(worker, [succeeded(job, '"done"') for job in jobs])
    assert not left, left
"""


def test_no_job_is_claimed_by_two_processes(url: str, store: Store) -> None:
    if not store.capabilities.processes:
        pytest.skip("this store belongs to one process")
    # The processes go by real time, which is earlier than that of the tests; a job of theirs is ready at once.
    store.enqueue([new_job() for _ in range(300)])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, url, f"w{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    outputs = [process.communicate("go\n", timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    claimed = [job for output in outputs for job in output]
    assert len(claimed) == len(set(claimed)) == 300
    assert store.queues()[0].counts["succeeded"] == 300


def test_settling_twice_at_once_counts_once(store: Store, open_another: Open) -> None:
    jobs = [running(store) for _ in range(20)]

    def act(mine: Store, number: int) -> list[str]:
        return [answer.how for job in jobs for answer in settle(mine, crashed(job, ERROR, "x"))]

    answers = race(open_another, 3, act)
    assert Counter(how for each in answers for how in each) == {"repeated": 40}  # type: ignore[attr-defined]
    assert [the(store, job.id).crashes for job in jobs] == [1] * 20
