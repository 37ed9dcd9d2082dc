"""How many jobs could run now if there were slots for them: the number by which workers are added and taken away.

What ``admit`` would do is done here in thought, over what the store tells, as if every queue that is not paused were served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ._record import BATCH, FINAL, JobRecord, Mode, QueueRecord, State
from ._rules import Limit, declared, goes_at, held_names, limit, parents, used
from ._store import JobFilter, Store
from ._why import live, serves

#: At most so many jobs that wait are looked at, the newest; where there are more, the answer is an estimate.
LOOKED_AT = 20_000
#: So many of those that wait for one flow are asked whether that is over, and so many of its members whether they failed.
_ASKED, _MEMBERS = 3, 1000
_LATER: tuple[State, ...] = ("scheduled", "retrying")
_MODES: tuple[Mode, ...] = ("x", "s", "l")


class Demand(NamedTuple):
    """What one queue, or all of them, could make use of now."""

    running: int = 0
    queued: int = 0  #: could run at once
    waiting: int = 0  #: would be let go: due, with nothing in their way
    slots: int = 0  #: of the live workers that serve it

    @property
    def ready(self) -> int:
        """Return how many could start now."""
        return self.queued + self.waiting

    @property
    def wanted(self) -> int:
        """Return how many slots could be busy."""
        return self.running + self.ready


class Demands(NamedTuple):
    """The answer."""

    queues: Mapping[str, Demand]  #: by name, sorted; those with jobs that have not ended
    all: Demand
    estimate: bool  #: not all jobs that wait were looked at: there may be more


def demand(store: Store) -> Demands:
    """Return what the queues of a namespace could make use of now. Nothing is changed."""
    now = store.now()
    if store.frozen() is not None:
        return Demands({}, Demand(), estimate=False)
    queues = {queue.name: queue for queue in store.queues()}
    jobs, estimate = _waiting(store, queues.values(), now)
    open_ = {name for name, queue in queues.items() if not _is_paused(queue, now)}
    gates = _Gates(store, jobs, now)
    able = [job for job in jobs if job.queue in open_ and gates.are_open(job)]
    let_go = Counter(job.queue for job in _let_go(store, able, now))
    found = _told(store, queues, open_, let_go, now)
    workers = live(store.workers(), now)
    running, queued, waiting = (sum(each[place] for each in found.values()) for place in range(3))
    return Demands(found, Demand(running, queued, waiting, sum(worker.slots for worker in workers)), estimate)


def _told(
    store: Store, queues: Mapping[str, QueueRecord], open_: set[str], let_go: Counter[str], now: int
) -> dict[str, Demand]:
    workers = live(store.workers(), now)
    found = {}
    for name, queue in sorted(queues.items()):
        if not sum(number for state, number in queue.counts.items() if state not in FINAL):
            continue
        slots = sum(worker.slots for worker in workers if serves(worker, name))
        queued = queue.counts.get("queued", 0) if name in open_ else 0
        found[name] = Demand(queue.counts.get("running", 0), queued, let_go[name], slots)
    return found


def _is_paused(queue: QueueRecord, now: int) -> bool:
    return queue.paused_at is not None and (queue.paused_until is None or queue.paused_until > now)


# -- who waits --------------------------------------------------------------------------------------------------------
def _waiting(store: Store, queues: Iterable[QueueRecord], now: int) -> tuple[list[JobRecord], bool]:
    """Return those that wait for ``admit`` or are due, and whether some were not looked at."""
    counts: Counter[State] = Counter()
    for queue in queues:
        counts.update(queue.counts)
    later = sum(counts[state] for state in _LATER)
    # Any live worker makes what is due queued within a second: then a long list of what is not need not be gone through.
    look_later = later <= LOOKED_AT or not live(store.workers(), now)
    jobs = _pages(store, ("blocked",)) if counts["blocked"] else []
    due = _pages(store, _LATER) if later and look_later else []
    found = [job for job in jobs if job.waits] + [job for job in due if job.due_at is not None and job.due_at <= now]
    cut = counts["blocked"] > LOOKED_AT or (look_later and later > LOOKED_AT)
    return found, cut


def _pages(store: Store, states: Sequence[State]) -> list[JobRecord]:
    found: list[JobRecord] = []
    below: int | None = None
    while len(found) < LOOKED_AT:
        page = store.find(JobFilter(states=tuple(states)), BATCH, below)
        found += page.jobs
        below = page.next
        if below is None:
            break
    return found


# -- what stands before the lines ---------------------------------------------------------------------------------------
class _Gates:
    """Parents and flows, as they are and as they will be once all have given up that wait in vain."""

    def __init__(self, store: Store, jobs: Sequence[JobRecord], now: int) -> None:
        self._store = store
        self._ends = _ends(store, sorted({parent for job in jobs for parent in parents(job.after)}))
        self._members: dict[str, list[JobRecord] | None] = {}
        self._followers: dict[str, list[str]] = {}
        for job in jobs:
            if job.after_flow is not None:
                self._followers.setdefault(job.after_flow, []).append(job.id)
        #: Those that are cancelled before anything starts: their time is over, or they give up.
        self._gone = {job.id for job in jobs if job.expires_at is not None and job.expires_at <= now}
        while self._give_up([job for job in jobs if job.id not in self._gone and not job.after_failed]):
            pass

    def are_open(self, job: JobRecord) -> bool:
        """Tell whether neither a parent nor a flow keeps a job back or will cancel it."""
        return job.id not in self._gone and all(self._of(job))

    def _give_up(self, jobs: Sequence[JobRecord]) -> bool:
        found = {job.id for job in jobs if "badly" in self._of(job)}
        self._gone |= found
        return bool(found)

    def _of(self, job: JobRecord) -> list[str]:
        """Return how what a job waits for has ended: "well", "badly" or not ("")."""
        ends = ["badly" if parent in self._gone else self._ends.get(parent, "well") for parent in parents(job.after)]
        return ends if job.after_flow is None else [*ends, self._flow(job.after_flow)]

    def _flow(self, flow: str) -> str:
        if flow not in self._members:
            self._members[flow] = self._others(flow)
        members = self._members[flow]
        if members is None or any(job.state not in FINAL and job.id not in self._gone for job in members):
            return ""
        return "badly" if any(job.state != "succeeded" for job in members) else "well"

    def _others(self, flow: str) -> list[JobRecord] | None:
        """Return the members that a flow's followers wait for; None: one has not ended. Of a large one, what failed is enough."""
        page = self._store.find(JobFilter(flow=flow), _MEMBERS)
        if page.next is not None:
            asked = self._store.obstacles(self._followers[flow][:_ASKED])
            if any(obstacle is not None and obstacle.kind == "flow" for obstacle in asked):
                return None
            page = self._store.find(JobFilter(flow=flow, states=("failed", "cancelled")), _MEMBERS)
        return [job for job in page.jobs if job.after_flow != flow]


def _ends(store: Store, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _parts(ids):
        found.update((job.id, _end(job)) for job in store.get(part))
    return found


def _end(job: JobRecord) -> str:
    return "" if job.state not in FINAL else "well" if job.state == "succeeded" else "badly"


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


# -- the lines ------------------------------------------------------------------------------------------------------------
def _let_go(store: Store, jobs: Sequence[JobRecord], now: int) -> list[JobRecord]:
    """Return those that would be let go, one after the other by their places; who has none comes last, by age."""
    able = sorted(jobs, key=lambda job: (job.place is None, job.place or 0, job.seq))
    lines = _Lines(store, able, now)
    return [job for job in able if lines.comes(job)]


class _Lines:
    """Who has each name, and who stands in its line, as one job after the other comes."""

    def __init__(self, store: Store, jobs: Iterable[JobRecord], now: int) -> None:
        names = sorted({name for job in jobs for _, name in held_names(job.holds)})
        self._now = now
        #: (mode, name) → how many have it or stand before; of "l" both together are what counts.
        self._there: Counter[tuple[Mode, str]] = Counter()
        for part in _parts(names):
            for name, counts in zip(part, store.holding(part), strict=True):
                self._there.update({(mode, name): count for mode, count in zip(_MODES, counts, strict=True)})
        values = {each.name: each.value for each in store.limits()} if names else {}
        found = {name: declared(values, name) for name in names}
        self._limits = {name: limit(values[each]) for name, each in found.items() if each is not None}
        self._rates = dict(store.export_settings().rates) if names else {}

    def comes(self, job: JobRecord) -> bool:
        """Let a job have what it wants, or stand in its lines; tell which."""
        holds = held_names(job.holds)
        rates = [(name, rate) for mode, name in holds if mode == "l" and (rate := self._rate(name)) is not None]
        goes = all(self._is_free(mode, name) for mode, name in holds) and all(
            goes_at(self._rates.get(name, 0), rate) <= self._now for name, rate in rates
        )
        if goes:
            for name, rate in rates:
                self._rates[name] = used(self._rates.get(name, 0), self._now, rate)
        self._there.update(holds)
        return goes

    def _rate(self, name: str) -> Limit | None:
        found = self._limits.get(name)
        return found if found is not None and found.places is None else None

    def _is_free(self, mode: Mode, name: str) -> bool:
        if mode == "x":
            return not any(self._there[each, name] for each in _MODES)
        if self._there["x", name]:
            return False
        if mode == "s":
            return True
        found = self._limits.get(name)
        return found is not None and (found.places is None or self._there["l", name] < found.places)
