"""The judgement: what the store says, held against the ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from packhorse._record import FINAL, AttemptRecord, JobRecord
from packhorse._store import JobFilter, Store

from .ledger import Ledger, Start

#: Outcomes that a fault leads to; the others are the job's own doing.
FAULTS = ("crashed", "lost", "released")


class Tail:
    """The times of which a server may have forgotten what it had acknowledged, (from, to) in µs; by default none."""

    def __init__(self, windows: Sequence[tuple[int, int]] = ()) -> None:
        self._windows = windows

    def holds(self, *times: int) -> bool:
        """Tell whether any of these times lies in one."""
        return any(start <= at <= end for start, end in self._windows for at in times)


@dataclass(slots=True)
class Judgement:
    """What was found."""

    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    hit_workers: set[str] = field(default_factory=set)  #: workers that died with jobs in their hands
    jobs: dict[str, JobRecord] = field(default_factory=dict)  #: all that is stored
    attempts: dict[str, list[AttemptRecord]] = field(default_factory=dict)  #: of each of them

    def wrong(self, what: str) -> None:
        self.violations.append(what)


def all_jobs(store: Store, queue: str) -> dict[str, JobRecord]:
    """Return every stored job of a queue."""
    found: dict[str, JobRecord] = {}
    after: int | None = None
    while True:
        page = store.find(JobFilter(queue=queue), limit=1000, after=after)
        found.update((job.id, job) for job in page.jobs)
        if page.next is None:
            return found
        after = page.next


def judge(store: Store, ledger: Ledger, queue: str, condemned: set[str], tail: Tail | None = None) -> Judgement:
    """Check everything; ``condemned`` are the ids of workers that were declared dead while they lived."""
    result, tail = Judgement(), tail or Tail()
    stored = result.jobs = all_jobs(store, queue)
    _sets(result, ledger, stored, tail)
    starts: dict[str, list[Start]] = defaultdict(list)
    for start in ledger.starts:
        starts[start.job].append(start)
    for job in stored.values():
        attempts = result.attempts[job.id] = store.attempts(job.id)
        own = starts.get(job.id, [])
        if tail.holds(*_times(ledger, own)):
            result.counts["jobs in a lost tail"] += 1
            _one_outcome(result, ledger, job, attempts, own)
            continue
        _count(result, ledger, job, attempts, own)
        _one_outcome(result, ledger, job, attempts, own)
        _explained(result, job, attempts, own)
        _fences(result, job, attempts, own, condemned)
        _as_expected(result, job, ledger.intended.get(job.id, "?"), attempts, own)
    _queue_counts(result, store, stored, queue)
    return result


def _times(ledger: Ledger, starts: list[Start]) -> list[int]:
    ends = [ledger.ends.get((start.job, start.token), start.at) for start in starts]
    return [*(start.at for start in starts), *ends]


def _sets(result: Judgement, ledger: Ledger, stored: dict[str, JobRecord], tail: Tail) -> None:
    for job in ledger.acked.keys() - stored.keys():
        if tail.holds(ledger.acked[job]):
            result.counts["lost with a tail"] += 1
        else:
            result.wrong(f"lost: {job} was acknowledged and is not stored")
    for job in stored.keys() - ledger.intended.keys():
        result.wrong(f"invented: {job} is stored and nobody intended it")
    for job in {start.job for start in ledger.starts} - stored.keys():
        if not tail.holds(ledger.acked.get(job, 0)):
            result.wrong(f"{job} ran and is not stored")
    result.counts.update(intended=len(ledger.intended), acked=len(ledger.acked), stored=len(stored))
    unacknowledged = ledger.intended.keys() - ledger.acked.keys()
    result.counts["never acknowledged"] = len(unacknowledged)
    result.counts["never acknowledged, stored"] = len(unacknowledged & stored.keys())


def _count(
    result: Judgement, ledger: Ledger, job: JobRecord, attempts: list[AttemptRecord], starts: list[Start]
) -> None:
    counts = result.counts
    counts[f"state {job.state}"] += 1
    counts["starts"] += len(starts)
    counts["jobs started"] += bool(starts)
    ran = {start.token for start in starts}
    for attempt in attempts:
        counts[f"attempt {attempt.outcome}"] += 1
        if attempt.outcome in FAULTS:
            if attempt.token not in ran:
                counts["claimed, never ran"] += 1
            elif (job.id, attempt.token) in ledger.ends:
                counts["ended, not settled"] += 1
            else:
                counts["interrupted runs"] += 1
            if attempt.worker is not None and attempt.token in ran and "ProcessDied" not in (attempt.error or ""):
                result.hit_workers.add(attempt.worker)
            counts["child deaths that hit a run"] += attempt.token in ran and "ProcessDied" in (attempt.error or "")
        counts["late results refused"] += attempt.late is not None


def _one_outcome(
    result: Judgement, ledger: Ledger, job: JobRecord, attempts: list[AttemptRecord], starts: list[Start]
) -> None:
    """Every job has ended, once; a success is that of a run that came to its end."""
    if job.state not in FINAL:
        result.wrong(f"stuck: {job.id} ({job.task}) is {job.state}: {job.reason}")
        return
    successes = [attempt for attempt in attempts if attempt.outcome == "succeeded"]
    if len(successes) != (job.state == "succeeded"):
        result.wrong(f"{job.id} is {job.state} with {len(successes)} successful attempts")
    for attempt in successes:
        if attempt.token != job.token:
            result.wrong(f"{job.id} succeeded with a token that is not its last")
        if (job.id, attempt.token) not in ledger.ends:
            result.wrong(f"{job.id} succeeded with a token under which no run came to its end")
    if job.finished_at is None:
        result.wrong(f"{job.id} is {job.state} without a time of its end")


def _explained(result: Judgement, job: JobRecord, attempts: list[AttemptRecord], starts: list[Start]) -> None:
    """Every start has an attempt of its own, every attempt but a success a written reason."""
    rows = {attempt.token: attempt for attempt in attempts}
    if len(rows) != len(attempts):
        result.wrong(f"{job.id} has two attempts under one token")
    if len({start.token for start in starts}) != len(starts):
        result.wrong(f"{job.id} started twice under one token")
    for start in starts:
        row = rows.get(start.token)
        if row is None:
            result.wrong(f"unexplained: {job.id} ran under token {start.token[:8]}, and no attempt tells of it")
        elif row.outcome != "succeeded" and not (row.reason or row.error):
            result.wrong(f"unexplained: {job.id}, attempt {row.number} ended {row.outcome} without a reason")
    extra = max(0, len(starts) - 1)
    explaining = sum(1 for start in starts if start.token in rows and start.token != job.token)
    explaining += sum(1 for start in starts[:-1] if start.token == job.token)
    result.counts["extra starts"] += extra
    result.counts["explained"] += min(extra, explaining)
    _counters(result, job, attempts)


def _counters(result: Judgement, job: JobRecord, attempts: list[AttemptRecord]) -> None:
    # One of several that died together is only suspected: its death does not count.
    outcomes = Counter(attempt.outcome for attempt in attempts if "only suspected" not in (attempt.error or ""))
    if job.crashes != outcomes["crashed"] or job.losses != outcomes["lost"]:
        result.wrong(f"{job.id} counts {job.crashes} crashes, {job.losses} losses; its attempts say {dict(outcomes)}")
    if job.snoozes != outcomes["snoozed"]:
        result.wrong(f"{job.id} counts {job.snoozes} snoozes; its attempts say {dict(outcomes)}")


def _fences(
    result: Judgement, job: JobRecord, attempts: list[AttemptRecord], starts: list[Start], condemned: set[str]
) -> None:
    """They grow with every start; a run of a worker wrongly declared dead may still begin late."""
    late = {attempt.token for attempt in attempts if attempt.worker in condemned}
    fences = [start.fence for start in starts if start.token not in late]
    if any(later <= earlier for earlier, later in pairwise(fences)):
        result.wrong(f"{job.id}: its fences do not grow: {fences}")
    if len({start.fence for start in starts}) != len(starts):
        result.wrong(f"{job.id}: two starts with one fence")


def _as_expected(
    result: Judgement, job: JobRecord, kind: str, attempts: list[AttemptRecord], starts: list[Start]
) -> None:
    if kind == "once" and len(starts) > 1:
        result.wrong(f"{job.id} must not run twice (on_crash=fail), and started {len(starts)} times")
    if job.state != "failed":
        return
    reason = job.reason or ""
    if kind == "once" and "not retried" in reason:
        result.counts["on_crash=fail, failed so"] += 1
    elif reason.startswith("poison: ") and job.crashes >= 3:
        result.counts["poison"] += 1
    else:
        result.wrong(f"{job.id} ({kind}) failed: {reason or job.error}")


def _queue_counts(result: Judgement, store: Store, stored: dict[str, JobRecord], queue: str) -> None:
    told = {state: n for record in store.queues([queue]) for state, n in record.counts.items() if n}
    real = dict(Counter(job.state for job in stored.values()))
    if told != real:
        result.wrong(f"the store counts {told}, and has {real}")
