"""What must hold of any store after every step, whatever happened: the laws behind the promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from packhorse._record import FINAL, TRANSITIONS, WAITING, AttemptRecord, JobRecord
from packhorse._rules import Limit, declared, held_names, limit, parents
from packhorse._store import JobFilter, Store


class Look(NamedTuple):
    """All jobs of a store, and their histories."""

    jobs: list[JobRecord]
    attempts: dict[str, list[AttemptRecord]]


def look_at(store: Store) -> Look:
    """Read them."""
    jobs = store.find(JobFilter(), 10_000).jobs
    return Look(jobs, {job.id: store.attempts(job.id) for job in jobs})


class Ledger:
    """Watches one store from outside: what it acknowledged, and how each job looked after the step before."""

    def __init__(self, store: Store) -> None:
        """Watch this store from now on."""
        self._store = store
        self._jobs: dict[str, JobRecord] = {}
        self._attempts: dict[str, list[AttemptRecord]] = {}
        self._fences: dict[str, int] = {}

    def follow(self, store: Store) -> None:
        """Go on with a store to which all jobs have moved: there they have other numbers, and are the same otherwise."""
        moved = {job.id: job for job in look_at(store).jobs}
        assert {id: job._replace(seq=0) for id, job in moved.items()} == {
            id: job._replace(seq=0) for id, job in self._jobs.items()
        }
        self._store, self._jobs = store, moved

    def check(self, verb: str, acknowledged: set[str], look: Look) -> None:
        """Hold the store to the laws after one call of ``verb``; ``acknowledged`` are all ids ever enqueued."""
        jobs, attempts = {job.id: job for job in look.jobs}, look.attempts
        self._nothing_vanished(verb, jobs, acknowledged)
        for job in jobs.values():
            self._moved_lawfully(verb, job)
            self._fence_grows(job)
            self._history_only_grows(job, attempts[job.id])
            fields_agree(job)
            outcome_belongs_to_the_token(job, attempts[job.id])
            counters_are_explained(job, attempts[job.id])
        self._rules_are_kept(verb, jobs)
        self._running_is_held(jobs)
        counters_equal_a_recount(self._store, jobs)
        self._jobs, self._attempts = jobs, attempts

    def _nothing_vanished(self, verb: str, jobs: dict[str, JobRecord], acknowledged: set[str]) -> None:
        gone = self._jobs.keys() - jobs.keys()
        assert not gone or verb in ("prune", "delete"), f"{verb} lost {gone}"
        assert all(self._jobs[job].state in FINAL for job in gone) or verb == "delete"
        assert all(self._jobs[job].state != "running" for job in gone)
        assert jobs.keys() <= acknowledged
        for job in gone:
            self._fences.pop(job, None)

    def _moved_lawfully(self, verb: str, job: JobRecord) -> None:
        before = self._jobs.get(job.id)
        if (before is None or before.state != job.state) and not _replaced_at_once(before, verb, job):
            move = (before.state if before else None, verb, job.state)
            assert move in TRANSITIONS, move
        if before is not None and before.state in FINAL and verb not in ("requeue", "prune"):
            assert _end(job) == _end(before), f"{verb} changed a job that had ended"
        if before is not None and before.token != job.token:
            assert verb == "claim"
        if before is not None and verb == "edit":
            edit_keeps(before, job)

    def _rules_are_kept(self, verb: str, jobs: dict[str, JobRecord]) -> None:
        """What was in the way before is what counts: ``admit`` decides on that."""
        holds_agree(self._store, jobs.values())
        keys_agree(self._store.now(), jobs.values())
        places_agree(jobs.values())
        for job in jobs.values():
            before = self._jobs.get(job.id)
            if job.state == "queued" and before is not None and before.state == "blocked" and job.has_rules:
                assert verb == "admit"
                waited_for = [jobs[parent] for parent in parents(job.after) if parent in jobs]
                assert all(parent.state in FINAL for parent in waited_for)
                assert job.after_failed or all(parent.state == "succeeded" for parent in waited_for)
            if before is not None and job.generation == before.generation:
                assert before.place in (None, job.place)

    def after_admit(self) -> None:
        """Check what holds once ``admit`` has no more to do: nothing waits with nothing in its way, in an open namespace."""
        if self._store.frozen() is not None:
            return
        waiting = [job.id for job in self._jobs.values() if job.waits]
        obstacles = self._store.obstacles(waiting)
        assert None not in obstacles, dict(zip(waiting, obstacles, strict=True))

    def _fence_grows(self, job: JobRecord) -> None:
        before = self._jobs.get(job.id)
        if before is not None and before.token != job.token:
            assert job.fence > self._fences.get(job.id, -1)
        else:
            assert job.fence == self._fences.get(job.id, job.fence)
        self._fences[job.id] = job.fence

    def _history_only_grows(self, job: JobRecord, rows: list[AttemptRecord]) -> None:
        before = self._attempts.get(job.id, [])
        now = rows[: len(before)]
        assert [_settled_part(row) for row in now] == [_settled_part(row) for row in before]
        assert all(old.late is None or new.late is not None for old, new in zip(before, now, strict=True))
        assert len({row.token for row in rows}) == len(rows)

    def _running_is_held(self, jobs: dict[str, JobRecord]) -> None:
        living = {worker.id for worker in self._store.workers()}
        running = {job.id for job in jobs.values() if job.state == "running"}
        orphans = {orphan.job for orphan in self._store.orphans()}
        held = {job for job in running if jobs[job].worker in living}
        assert held | orphans == running
        assert not held & orphans


def _replaced_at_once(before: JobRecord | None, verb: str, job: JobRecord) -> bool:
    """Tell whether a job was stored and replaced by one call."""
    replaced = (job.reason or "").startswith("replaced by ")
    return before is None and verb == "enqueue" and job.state == "cancelled" and replaced


def _end(job: JobRecord) -> JobRecord:
    """Return what never changes of an ended job: its key is another one's once its time is over."""
    return job._replace(unique_held=False)


def _settled_part(row: AttemptRecord) -> AttemptRecord:
    """Return what never changes. The host of a first success is looked up, so it goes with its worker's row."""
    return row._replace(late=None, host=None)


#: What an edit may change.
EDITED = frozenset(
    "state queue line priority rank due_at scheduled_at expires_at options tags meta payload parked reason".split()
)


def edit_keeps(before: JobRecord, after: JobRecord) -> None:
    """Check that an edit changed nothing but what it may, and only a job that waited."""
    assert before.state in WAITING or after == before
    changed = {name for name in JobRecord._fields if getattr(before, name) != getattr(after, name)}
    assert changed <= EDITED, changed
    assert after.reason == before.reason or before.parked


def fields_agree(job: JobRecord) -> None:
    """Check that the columns of one job say the same."""
    assert (job.due_at is not None) == (job.state in ("scheduled", "retrying"))
    assert (job.finished_at is not None) == (job.state in FINAL)
    assert job.state != "running" or (job.token and job.worker)
    assert job.cancel_at is None or job.state == "running" or job.state in FINAL
    assert job.result is None or job.state == "succeeded"
    assert (job.line == job.queue) or job.line.startswith(f"{job.queue}#")
    assert job.state != "blocked" or job.line != job.queue or job.has_rules
    assert not job.parked or (job.state == "blocked" and job.line != job.queue)
    assert job.state != "blocked" or job.has_rules or job.parked
    assert job.has_rules or job.place is None
    assert job.given_up is None or job.state == "cancelled"
    assert (job.unique_key is None) == (job.unique_until is None)
    assert (job.unique_end is not None) == (job.unique_until == "time")
    assert not job.unique_held or job.unique_until in ("time", "flow") or job.state not in FINAL
    assert not job.unique_held or job.unique_until != "started" or job.state != "running"
    assert not (job.suspect and job.state in FINAL)


def outcome_belongs_to_the_token(job: JobRecord, rows: list[AttemptRecord]) -> None:
    """Check that a recorded end is the end of one attempt, which bears the job's token."""
    successes = Counter(row.generation for row in rows if row.outcome == "succeeded")
    assert all(count == 1 for count in successes.values())
    if job.state in ("succeeded", "failed"):
        assert rows[-1].token == job.token
        assert (rows[-1].outcome == "succeeded") == (job.state == "succeeded")
        assert rows[-1].generation == job.generation
    if job.state == "running":
        assert job.token not in {row.token for row in rows}


def counters_are_explained(job: JobRecord, rows: list[AttemptRecord]) -> None:
    """Check that every counted run of this generation can be read in the history."""
    outcomes = Counter(row.outcome for row in rows if row.generation == job.generation)
    assert job.failures == outcomes["retry"] + outcomes["failed"]
    assert job.snoozes == outcomes["snoozed"]
    assert job.crashes <= outcomes["crashed"]
    assert job.losses >= outcomes["lost"]


def counters_equal_a_recount(store: Store, jobs: dict[str, JobRecord]) -> None:
    """Check the numbers of the queues."""
    counts: Counter[tuple[str, str]] = Counter((job.queue, job.state) for job in jobs.values())
    told = {(queue.name, state): count for queue in store.queues() for state, count in queue.counts.items() if count}
    assert told == dict(counts)


# -- waiting rules ----------------------------------------------------------------------------------------------------
def holds_agree(store: Store, jobs: Iterable[JobRecord] | None = None) -> None:
    """Check that nobody has a name besides one who reserves it."""
    held: dict[str, list[str]] = {}
    for job in look_at(store).jobs if jobs is None else jobs:
        if job.state in ("queued", "running"):
            for mode, name in held_names(job.holds):
                held.setdefault(name, []).append(mode)
    for name, modes in held.items():
        assert "x" not in modes or len(modes) == 1, f"{name} is held by {modes}"


def limits_agree(store: Store) -> None:
    """Check that no limit is exceeded, where none was ever lowered."""
    values = {record.name: record.value for record in store.limits()}
    taken: Counter[str] = Counter()
    for job in look_at(store).jobs:
        if job.state in ("queued", "running"):
            taken.update(name for mode, name in held_names(job.holds) if mode == "l")
    for name, count in taken.items():
        found = declared(values, name)
        allowed = limit(values[found]) if found else Limit()
        assert allowed.places is None or count <= allowed.places, f"{count} have {name}"


def keys_agree(now: int, jobs: Iterable[JobRecord]) -> None:
    """Check that a unique key is on one job only."""
    held = Counter(
        job.unique_key for job in jobs if job.unique_held and (job.unique_end is None or job.unique_end > now)
    )
    assert all(count == 1 for count in held.values()), held


def places_agree(jobs: Iterable[JobRecord]) -> None:
    """Check that no two jobs have one place."""
    places = [job.place for job in jobs if job.place is not None]
    assert len(places) == len(set(places))
