"""Short words for what most tests do first."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from packhorse._admission import Obstacle
from packhorse._outcome import parked, succeeded
from packhorse._record import BATCH, BeatReply, Claimed, JobRecord, NewJob, Settled, Verdict, WorkerRecord
from packhorse._store import JobFilter, Store

#: The time at which the clock of the tests stands still, µs.
T0 = 1_800_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND
#: An error as a child reports it.
ERROR = '{"type": "ValueError", "message": "no"}'


def new_job(queue: str = "mail", **changes: Any) -> NewJob:
    """Return a job that can be enqueued."""
    return NewJob(
        **{"id": str(uuid.uuid4()), "task": "tasks:add", "queue": queue, "payload": "[[1, 2], {}]", **changes}
    )


def put(store: Store, queue: str = "mail", **changes: Any) -> str:
    """Enqueue one job and return its id."""
    return store.enqueue([new_job(queue, **changes)])[0].id


def join(store: Store, name: str = "w1", **changes: Any) -> str:
    """Register a worker and return its id."""
    worker = WorkerRecord(**{"id": uuid.uuid4().hex, "name": name, "host": "ash", "pid": 7, "boot_id": "b", **changes})
    store.register(worker)
    return worker.id


def take(
    store: Store, worker: str, count: int = 100, queues: Sequence[str] | None = None, **more: Any
) -> list[Claimed]:
    """Claim up to ``count`` jobs into free slots."""
    return store.claim(queues, count, 0, worker, more.pop("claim_no", 1), **more).jobs


def take_one(store: Store, worker: str, **more: Any) -> Claimed:
    """Claim the one job there is."""
    (job,) = take(store, worker, 1, **more)
    return job


def running(store: Store, worker: str | None = None, **changes: Any) -> Claimed:
    """Enqueue one job into a queue of its own and claim it."""
    worker = worker or join(store, uuid.uuid4().hex)
    queue = changes.pop("queue", uuid.uuid4().hex)
    put(store, queue, **changes)
    return take_one(store, worker, queues=[queue])


def ended(store: Store, **changes: Any) -> Claimed:
    """Enqueue one job, claim it and settle it: succeeded, with the result 3."""
    job = running(store, **changes)
    settle(store, succeeded(job, "3"))
    return job


def settle(store: Store, *verdicts: Verdict) -> list[Settled]:
    """Settle, as nobody in particular: the token is what counts."""
    return store.settle(None, verdicts)


def the(store: Store, job: str) -> JobRecord:
    """Return the one stored job of this id."""
    (record,) = store.get([job])
    return record


def state(store: Store, job: str) -> str:
    """Return its state."""
    return the(store, job).state


def ids(*jobs: str) -> JobFilter:
    """Return the filter that means these jobs."""
    return JobFilter(ids=jobs)


def beat(store: Store, worker: str, held: Sequence[Claimed] = (), claim_no: int = 1) -> BeatReply:
    """Beat, holding these jobs."""
    return store.beat(worker, claim_no, [(job.id, job.token) for job in held])


def die(store: Store, worker: str) -> None:
    """Have a worker declared dead."""
    (row,) = [row for row in store.workers() if row.id == worker]
    assert store.condemn(worker, row.beats)


def park(store: Store, task: str = "tasks:unknown", queue: str = "mail", worker: str | None = None) -> str:
    """Leave a job in its side line, blocked."""
    worker = worker or join(store, uuid.uuid4().hex)
    job = put(store, queue, task=task)
    (claimed,) = [c for c in take(store, worker, queues=[queue]) if c.id == job]
    settle(store, parked(claimed, queue))
    return job


# -- waiting rules ----------------------------------------------------------------------------------------------------
def reserving(*names: str) -> dict[str, Any]:
    """Return the option of a job that reserves these names."""
    return {"holds": tuple(("x", name) for name in sorted(names))}


def sharing(*names: str) -> dict[str, Any]:
    """Return the option of a job that shares these names."""
    return {"holds": tuple(("s", name) for name in sorted(names))}


def limited(*names: str) -> dict[str, Any]:
    """Return the option of a job that counts for these limits."""
    return {"holds": tuple(("l", name) for name in sorted(names))}


def admit(store: Store, limit: int = BATCH) -> tuple[int, int]:
    """Admit until there is no more to do; return how many were let go and how many gave up."""
    admitted = cancelled = 0
    for _ in range(10_000):
        answer = store.admit(limit)
        assert answer.admitted + answer.cancelled <= limit
        admitted, cancelled = admitted + answer.admitted, cancelled + answer.cancelled
        if not answer.more:
            return admitted, cancelled
    raise AssertionError("admit has always more to do")


def obstacle(store: Store, job: str) -> Obstacle | None:
    """Return what is in the way of one job."""
    (found,) = store.obstacles([job])
    return found


def run_all(store: Store, worker: str, jobs: int = 100) -> list[str]:
    """Admit, claim and let succeed what there is; return the ids in the order of the claim."""
    admit(store)
    claimed = take(store, worker, jobs, claim_no=1)
    settle(store, *(succeeded(job, None) for job in claimed))
    return [job.id for job in claimed]
