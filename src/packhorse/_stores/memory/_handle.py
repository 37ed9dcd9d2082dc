"""The memory store itself: a handle on shared tables, one method per verb of the contract."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from weakref import WeakValueDictionary

from ..._admission import Admitted, FlowRecord, Holders, LimitRecord, Obstacle, Settings
from ..._closed import refusal
from ..._exchange import Ask, Exchanged, one_by_one
from ..._record import (
    AttemptRecord,
    BeatReply,
    Claim,
    Enqueued,
    JobRecord,
    Mode,
    NewJob,
    Orphan,
    Parcel,
    QueueRecord,
    Report,
    Settled,
    State,
    Verdict,
    WorkerRecord,
)
from ..._store import BATCH, Capabilities, Changed, Clock, JobFilter, Page
from ..._sweep import Swept
from ...errors import StoreUnavailable
from . import (
    _admit,
    _claim,
    _enqueue,
    _find,
    _flows,
    _limits,
    _lines,
    _moving,
    _operate,
    _prune,
    _requeue,
    _settle,
)
from ._scheduling import Scheduling
from ._switching import Steering
from ._tables import Tables

#: Tables by (name, namespace), as long as a handle on them is left.
_SHARED: WeakValueDictionary[tuple[str, str], Tables] = WeakValueDictionary()
_OPENING = threading.Lock()


def _real_time() -> int:
    return time.time_ns() // 1000


class MemoryStore(Scheduling, Steering):
    """One handle on jobs that live in this process and die with it.

    All handles opened in one process on ``memory://NAME`` share their jobs; the jobs are gone with the last handle.
    Each plain ``memory://`` has its own. ``clock`` replaces real time. A handle does not survive a fork.
    """

    patience = 30.0  #: never needed: what is in the same process answers at once
    capabilities = Capabilities(scheme="memory", durable=False, processes=False, hints=True)

    def __init__(self, url: str = "memory://", namespace: str = "default", clock: Clock | None = None) -> None:
        """Open a handle."""
        self.url = url
        self.namespace = namespace
        self._clock = clock or _real_time
        self._tables = _open(url.removeprefix("memory://"), namespace)
        self.instance = self._tables.instance
        self._process = os.getpid()
        self._closed = False
        self.freed = False
        self._woken = False
        self._seen = -1  # the version of the tables this handle knows of

    def close(self) -> None:
        """Give the handle back."""
        self._closed = True
        self.wake()

    def migrate(self) -> list[str]:
        """Do nothing: there is no older schema."""
        return []

    def now(self) -> int:
        """Return the store's time, µs."""
        return self._clock()

    @contextmanager
    def _call(self) -> Iterator[tuple[Tables, int]]:
        """Hold the tables for one call, and tell the other handles if it changed them."""
        if self._closed or self._process != os.getpid():
            what = "is closed" if self._closed else "belongs to the process that opened it"
            raise StoreUnavailable(f"This handle on {self.url} {what}. Open another.")
        tables = self._tables
        with tables.lock:
            before, stirs = tables.version, tables.stirs
            yield tables, self._clock()
            self.freed = self.freed or tables.stirs != stirs
            if tables.version != before:
                if self._seen == before:
                    self._seen = tables.version
                tables.changes.notify_all()

    def _refuse_closed(self, tables: Tables) -> None:
        if tables.closed is not None:
            raise refusal(self.url, self.namespace, tables.closed)

    # -- producing ------------------------------------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs, all or none."""
        with self._call() as (tables, now):
            self._refuse_closed(tables)
            return _enqueue.enqueue(tables, now, jobs)

    @property
    def inside(self) -> None:
        """Return that no connection leads here."""
        return None

    # -- working --------------------------------------------------------------------------------------------------
    def register(self, worker: WorkerRecord) -> None:
        """Make the worker known and live."""
        with self._call() as (tables, now):
            _claim.register(tables, now, worker)

    def publish(self, worker: str, catalogue: str, info: str) -> None:
        """Replace the catalogue and the info of a live worker."""
        with self._call() as (tables, _):
            _claim.publish(tables, worker, catalogue, info)

    def promote(self, limit: int = BATCH) -> tuple[int, float | None]:
        """Make due jobs queued."""
        with self._call() as (tables, now):
            return (0, None) if _moving.rests(tables) else _enqueue.promote(tables, now, limit)

    def claim(
        self,
        queues: Sequence[str] | None,
        free: int,
        ahead: int,
        worker: str,
        claim_no: int,
        *,
        lines: Sequence[str] = (),
        turn: int = 0,
    ) -> Claim:
        """Take queued jobs for a live worker."""
        with self._call() as (tables, now):
            self._refuse_closed(tables)
            return _claim.claim(tables, now, queues, free, ahead, worker, claim_no, lines, turn)

    def report(self, worker: str, reports: Sequence[Report]) -> None:
        """Record news of running attempts."""
        with self._call() as (tables, now):
            _claim.report(tables, now, reports)

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        """Apply verdicts; return those that were not applied as asked."""
        with self._call() as (tables, now):
            return _settle.settle(tables, now, verdicts)

    def expire(self, limit: int = BATCH) -> list[str]:
        """Cancel waiting jobs whose time is over."""
        with self._call() as (tables, now):
            return [] if _moving.rests(tables) else _enqueue.expire(tables, now, limit)

    def prune(self, keep: Mapping[State, float], limit: int = BATCH) -> int:
        """Delete what ended long ago."""
        with self._call() as (tables, now):
            return 0 if _moving.rests(tables) else _prune.prune(tables, now, keep, limit)

    def drop_logs(self, age: float, limit: int = BATCH) -> int:
        """Drop the logs of what ended long ago; return of how many jobs."""
        with self._call() as (tables, now):
            return 0 if _moving.rests(tables) else _prune.drop_logs(tables, now, age, limit)

    def beat(self, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
        """Count one beat and bring back orders."""
        with self._call() as (tables, now):
            return _claim.beat(tables, now, worker, claim_no, held)

    def stopping(self, worker: str) -> None:
        """Say that this worker takes no more work."""
        with self._call() as (tables, _):
            _claim.stopping(tables, worker)

    def leave(self, worker: str) -> None:
        """Forget a worker that has ended cleanly."""
        with self._call() as (tables, _):
            _claim.leave(tables, worker)

    def condemn(self, worker: str, beats: int, proved: bool = False) -> bool:
        """Declare a worker dead if its beat count is still this one."""
        with self._call() as (tables, _):
            return _claim.condemn(tables, worker, beats, proved)

    def orphans(self, limit: int = BATCH) -> list[Orphan]:
        """Return running jobs without a live worker."""
        with self._call() as (tables, _):
            return _claim.orphans(tables, limit)

    def resolve(self, lines: Sequence[str]) -> int:
        """Make the blocked jobs of side lines queued there."""
        with self._call() as (tables, _):
            return _claim.resolve(tables, lines)

    # -- waiting rules --------------------------------------------------------------------------------------------
    def admit(self, limit: int = BATCH) -> Admitted:
        """Let go what waits and has no obstacle."""
        with self._call() as (tables, now):
            rests = _moving.rests(tables)
            answer = Admitted(0, 0, False, False, None) if rests else _admit.admit(tables, now, limit)
        self.freed = False
        return answer

    def exchange(self, worker: str, verdicts: Sequence[Verdict], ask: Ask, *, look: bool = False) -> Exchanged:
        """Settle, claim, and admit where it may help."""
        with self._tables.lock:
            return one_by_one(self, worker, verdicts, ask, look)

    def sweep(self, after: int | None = None, limit: int = BATCH) -> Swept:
        """Find nothing: an ``admit`` looks at all who wait."""
        return Swept((), None)

    def obstacles(self, ids: Sequence[str]) -> list[Obstacle | None]:
        """Return what is in the way of each job."""
        with self._call() as (tables, now):
            return [_lines.obstacle(tables, now, tables.jobs.get(id)) for id in ids]

    def holders(self, name: str, modes: Sequence[Mode], limit: int = 20) -> Holders:
        """Return how many hold a name, and the oldest of them."""
        with self._call() as (tables, _):
            found = _lines.holders(tables, name, modes)
            return Holders(len(found), tuple(job.id for job in found[:limit]))

    def holding(self, names: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return how many hold each of these names, by mode."""
        with self._call() as (tables, _):
            return [_lines.holding(tables, name) for name in names]

    def limits(self) -> list[LimitRecord]:
        """Return what is declared, by name."""
        with self._call() as (tables, _):
            return _limits.limits(tables)

    def set_limits(self, values: Mapping[str, str | None], *, by: str = "", app: str | None = None) -> list[str]:
        """Declare limits, all or none."""
        with self._call() as (tables, now):
            return _limits.set_limits(tables, now, values, by, app)

    def flows(self, names: Sequence[str] | None = None, limit: int = 50, after: str | None = None) -> list[FlowRecord]:
        """Return flows, newest first."""
        with self._call() as (tables, _):
            return _flows.flows(tables, names, limit, after)

    # -- operating ------------------------------------------------------------------------------------------------
    def cancel(self, which: JobFilter, *, by: str = "", reason: str = "", dry: bool = False) -> Changed:
        """Cancel waiting jobs; ask for it where they run."""
        with self._call() as (tables, now):
            return _operate.cancel(tables, now, which, by, reason, dry)

    def requeue(self, which: JobFilter, *, delay: float = 0.0, by: str = "", dry: bool = False) -> Changed:
        """Make ended jobs run again, and those that wait for their time run now."""
        with self._call() as (tables, now):
            return _requeue.requeue(tables, now, which, delay, dry)

    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs."""
        with self._call() as (tables, _):
            return _operate.delete(tables, which, dry)

    # -- looking --------------------------------------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> list[JobRecord]:
        """Return the stored jobs of these ids."""
        with self._call() as (tables, _):
            return _find.get(tables, ids)

    def find(self, which: JobFilter, limit: int = 50, after: int | None = None) -> Page:
        """Return matching jobs, newest first."""
        with self._call() as (tables, _):
            return _find.find(tables, which, limit, after)

    def attempts(self, job: str) -> list[AttemptRecord]:
        """Return the ended runs, oldest first."""
        with self._call() as (tables, _):
            record = tables.jobs.get(job)
            return _find.attempts(tables, job, _operate.first_success(tables, record) if record else None)

    def last_attempts(self, jobs: Sequence[str]) -> list[AttemptRecord]:
        """Return the last attempt row of each of these jobs that has one."""
        with self._call() as (tables, _):
            return _find.last_attempts(tables, jobs)

    def log(self, job: str, token: str | None = None) -> list[tuple[str, str, int]]:
        """Return (token, text, dropped) of the attempts that logged."""
        with self._call() as (tables, _):
            return _find.log(tables, job, token)

    def queues(self, names: Sequence[str] | None = None) -> list[QueueRecord]:
        """Return queues with their numbers, by name."""
        with self._call() as (tables, now):
            return _find.queues(tables, now, names)

    def ahead(self, job: str) -> int:
        """Return how many jobs would be claimed before this one."""
        with self._call() as (tables, now):
            return _find.ahead(tables, now, job)

    def workers(self, dead: bool = False) -> list[WorkerRecord]:
        """Return the workers, oldest first."""
        with self._call() as (tables, _):
            return _find.workers(tables, dead)

    # -- moving ------------------------------------------------------------------------------------------------------
    def freeze(self, to: str) -> None:
        """Close this namespace: its jobs are going elsewhere."""
        with self._call() as (tables, _):
            _moving.freeze(tables, to)

    def thaw(self) -> None:
        """Open it again."""
        with self._call() as (tables, _):
            _moving.thaw(tables)

    def frozen(self) -> str | None:
        """Return where the jobs are going, None if this namespace is open."""
        with self._call() as (tables, _):
            return tables.closed

    def export(self, after: int, limit: int = BATCH) -> list[Parcel]:
        """Return jobs with all that belongs to them, oldest first."""
        with self._call() as (tables, _):
            return _moving.export(tables, after, limit)

    def export_settings(self) -> Settings:
        """Return limits, rates and steps."""
        with self._call() as (tables, now):
            return _limits.export_settings(tables, now)

    def import_settings(self, settings: Settings) -> None:
        """Set them as they were elsewhere."""
        with self._call() as (tables, _):
            _limits.import_settings(tables, settings)

    def import_jobs(self, parcels: Sequence[Parcel]) -> int:
        """Store jobs as they were elsewhere."""
        with self._call() as (tables, _):
            return _moving.import_jobs(tables, parcels)

    # -- waiting --------------------------------------------------------------------------------------------------
    def wait(self, timeout: float) -> bool:
        """Wait until another handle has changed something, or ``wake`` was called."""
        tables = self._tables
        with tables.lock:
            tables.changes.wait_for(lambda: self._woken or self._seen != tables.version, timeout)
            self._woken = False
            return self.changed()

    def wake(self) -> None:
        """Make the ``wait`` under way, else the next one, return soon."""
        with self._tables.lock:
            self._woken = True
            self._tables.changes.notify_all()

    def changed(self) -> bool:
        """Tell whether another handle has changed something since this was last asked."""
        with self._tables.lock:
            news = self._seen != self._tables.version
            self._seen = self._tables.version
            return news

    def lock_dir(self) -> None:
        """Return no place for lock files: all workers on this store are in this process."""


def _open(name: str, namespace: str) -> Tables:
    """Return the tables of this name, or fresh ones of nobody else."""
    if not name:
        return Tables()
    with _OPENING:
        return _SHARED.setdefault((name, namespace), Tables())
