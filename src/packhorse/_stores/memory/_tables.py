"""What a memory store holds: jobs, attempts, logs, workers, queues, and the orders in which jobs are looked for."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..._admission import LimitRecord
from ..._record import DEFAULT_STEP, FINAL, WAITING, AttemptRecord, JobRecord, WorkerRecord
from ._links import Links, is_holder
from ._order import Order
from ._shelf import Shelf

Place = tuple[str, str]  #: kind of order, and whose


@dataclass(slots=True)
class Switches:
    """What is set on a queue."""

    paused_at: int | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_until: int | None = None
    step: int = DEFAULT_STEP


@dataclass(slots=True)
class Flow:
    """The times of a flow, which outlast the jobs they come from."""

    created_at: int
    ended_at: int | None = None


@dataclass(slots=True)
class Log:
    """The tail of what one attempt logged."""

    text: str
    dropped: int


@dataclass
class Tables:
    """The data of one namespace, shared by its handles. Whoever reads or writes holds ``lock``."""

    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    version: int = 0  #: counts changes that another handle may want to see
    stirs: int = 0  #: counts changes that may let a waiting job go
    last_seq: int = 0
    last_place: int = 0  #: in the waiting lines
    jobs: dict[str, JobRecord] = field(default_factory=dict)  #: oldest first
    attempts: dict[str, dict[str, AttemptRecord]] = field(default_factory=dict)  #: job → token → row, oldest first
    logs: dict[str, dict[str, Log]] = field(default_factory=dict)  #: job → token → log, oldest first
    workers: dict[str, WorkerRecord] = field(default_factory=dict)
    queues: dict[str, Switches] = field(default_factory=dict)
    #: running job → number of the claim call it went out with
    claim_numbers: dict[str, int] = field(default_factory=dict)
    cancel_reasons: dict[str, str] = field(default_factory=dict)  #: running job → reason of the cancel asked for
    closed: str | None = None  #: where the jobs are going, once this namespace is frozen
    limits: dict[str, LimitRecord] = field(default_factory=dict)
    rates: dict[str, int] = field(default_factory=dict)  #: name → µs from which on nothing of its rate is used up
    flows: dict[str, Flow] = field(default_factory=dict)
    shelf: Shelf = field(default_factory=Shelf)  #: the schedules

    def __post_init__(self) -> None:
        """Make what is derived from the above."""
        self.lock = threading.RLock()
        self.changes = threading.Condition(self.lock)
        self._orders: defaultdict[Place, Order] = defaultdict(Order)
        self._links = Links()
        self._ids: dict[int, str] = {}
        self._endings: defaultdict[str, list[str]] = defaultdict(list)

    # -- jobs -----------------------------------------------------------------------------------------------------
    def put(self, job: JobRecord) -> None:
        """Store a job, new or changed. The one way in."""
        old = self.jobs.get(job.id)
        if old is None:
            self._ids[job.seq] = job.id
            self._endings[job.id[-8:]].append(job.id)
        else:
            self._leave_orders(old)
        self.queues.setdefault(job.queue, Switches())
        self.jobs[job.id] = job
        for place, key in _places(job):
            self._orders[place].add((key, job.seq))
        self._links.enter(job)
        self.last_place = max(self.last_place, job.place or 0)
        if job.flow is not None:
            self._time_flow(job.flow, job)
        self.version += 1
        self.stirs += self._frees(old, job)

    def drop(self, job: JobRecord) -> None:
        """Delete a job with all that belongs to it. The one way out."""
        self._leave_orders(self.jobs.pop(job.id))
        if job.flow is not None and not self._links.any("member", job.flow):
            del self.flows[job.flow]
        del self._ids[job.seq]
        self._endings[job.id[-8:]].remove(job.id)
        self.attempts.pop(job.id, None)
        self.logs.pop(job.id, None)
        self.claim_numbers.pop(job.id, None)
        self.cancel_reasons.pop(job.id, None)
        self.version += 1
        self.stirs += self._frees(job, None)

    def inside(self, kind: str, whose: str = "") -> Iterator[JobRecord]:
        """Yield the jobs of one order, first first."""
        order = self._orders.get((kind, whose))
        return (self.jobs[self._ids[seq]] for seq in order) if order else iter(())

    def before(self, job: JobRecord) -> list[JobRecord]:
        """Return the queued jobs that stand before this queued one in its line."""
        order = self._orders[("line", job.line)]
        return [self.jobs[self._ids[seq]] for seq in order.before((job.rank, job.seq))]

    def first(self, kind: str, whose: str = "") -> int | None:
        """Return the smallest key of one order."""
        order = self._orders.get((kind, whose))
        return order.first() if order else None

    def count(self, kind: str, whose: str = "") -> int:
        """Return how many jobs one order has."""
        order = self._orders.get((kind, whose))
        return len(order) if order else 0

    def owners(self, kind: str) -> list[str]:
        """Return whose orders of this kind have jobs, sorted."""
        return sorted(whose for (k, whose), order in self._orders.items() if k == kind and len(order))

    def linked(self, kind: str, whose: str = "") -> list[JobRecord]:
        """Return the jobs with one link, oldest first."""
        return [self.jobs[self._ids[seq]] for seq in self._links.of(kind, whose)]

    def is_linked(self, kind: str, whose: str) -> bool:
        """Tell whether a job has this link."""
        return self._links.any(kind, whose)

    def ending(self, characters: str) -> list[str]:
        """Return the ids that end with these eight characters."""
        return list(self._endings.get(characters, ()))

    def next_seq(self) -> int:
        """Return the number of the next new job."""
        self.last_seq += 1
        return self.last_seq

    def next_place(self) -> int:
        """Return the next place in the waiting lines."""
        self.last_place += 1
        return self.last_place

    def _time_flow(self, name: str, job: JobRecord) -> None:
        flow = self.flows.setdefault(name, Flow(job.created_at))
        flow.created_at = min(flow.created_at, job.created_at)
        if job.finished_at is not None:
            flow.ended_at = max(flow.ended_at or 0, job.finished_at)

    def _frees(self, old: JobRecord | None, new: JobRecord | None) -> bool:
        """Tell whether a change may let a waiting job go, or is one that waits."""
        if new is not None and new.waits:
            return True
        if old is not None and _stands(old) and not (new is not None and _stands(new)):
            return True
        gone = new is None or new.state in FINAL
        job = new or old
        return gone and job is not None and self._is_waited_for(job)

    def _is_waited_for(self, job: JobRecord) -> bool:
        return self._links.any("child", job.id) or (job.flow is not None and self._links.any("follower", job.flow))

    def _leave_orders(self, job: JobRecord) -> None:
        self._links.leave(job)
        for place, key in _places(job):
            self._orders[place].remove((key, job.seq))

    # -- the rest -------------------------------------------------------------------------------------------------
    def attempt(self, job: str, token: str | None) -> AttemptRecord | None:
        """Return one ended run, if it was written."""
        return self.attempts.get(job, {}).get(token or "")

    def put_attempt(self, row: AttemptRecord) -> None:
        """Write one ended run."""
        self.attempts.setdefault(row.job, {})[row.token] = row

    def put_log(self, job: str, token: str, text: str | None, dropped: int) -> None:
        """Replace the log of one attempt; None leaves it."""
        if text is not None:
            self.logs.setdefault(job, {})[token] = Log(text, dropped)

    def host(self, worker: str | None) -> str | None:
        """Return the host of a worker that has a row."""
        row = self.workers.get(worker or "")
        return row.host if row else None

    def paused(self, queue: str) -> bool:
        """Tell whether claims from this queue are stopped."""
        switches = self.queues.get(queue)
        return switches is not None and switches.paused_at is not None

    def step(self, queue: str) -> int:
        """Return the step of a queue."""
        switches = self.queues.get(queue)
        return DEFAULT_STEP if switches is None else switches.step

    def flip(self, queue: str, switches: Switches) -> None:
        """Replace the switches of a queue."""
        self.queues[queue] = switches
        self.stir()

    def stir(self) -> None:
        """Say that something changed that may let waiting jobs go."""
        self.version += 1
        self.stirs += 1


def _stands(job: JobRecord) -> bool:
    """Tell whether a job has names, or stands in their lines."""
    return job.waits or is_holder(job)


def _places(job: JobRecord) -> Iterable[tuple[Place, int]]:
    """Say in which orders a job stands, and with what key."""
    yield (f"state {job.state}", job.queue), 0
    if job.state == "queued":
        yield ("line", job.line), job.rank
        yield ("ready", job.queue), job.rank + job.priority * DEFAULT_STEP
    elif job.state == "blocked":
        yield ("blocked", job.line), job.rank
    elif job.state == "running":
        yield ("held", job.worker or ""), 0
    elif job.state in FINAL:
        yield ("ended", ""), job.finished_at or 0
    elif job.due_at is not None:
        yield ("due", ""), job.due_at
    if job.state in WAITING and job.expires_at is not None:
        yield ("expiring", ""), job.expires_at
    if job.result is not None and job.result_until is not None:
        yield ("results", ""), job.result_until
