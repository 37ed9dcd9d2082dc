"""The store contract: what every store must do, batch first, synchronous, in the life of a job.

One store object is one connection (or one handle on the memory store): it belongs to one thread at a time. Every
call has a deadline, reads the store's clock once, and is atomic. Decisions are made elsewhere (``_outcome``); a
store only applies them, fenced by the token. ``tests/conformance`` is the definition of a store.

Errors: ``StoreUnavailable`` when the store did not answer in time or is gone (the caller may try again),
``StoreFull`` when it has no room, ``BadSchema`` and the like when trying again is useless.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ._admission import Admission
from ._exchange import Exchanging
from ._inside import Inside
from ._record import BATCH as BATCH
from ._record import (
    AttemptRecord,
    BeatReply,
    Claim,
    Enqueued,
    JobRecord,
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
from ._schedule_store import Schedules
from ._steering import Steering
from ._sweep import Sweeping

Clock = Callable[[], int]


class Capabilities(NamedTuple):
    """What differs between stores; read by the conformance suite and the runtime, never guessed from the type."""

    scheme: str  #: "memory", "sqlite", …
    durable: bool  #: survives the death of every process
    processes: bool  #: several processes can share it
    hints: bool  #: ``wait`` returns early when something changed
    early: bool = False  #: ``changed`` and ``wait`` may tell of a change a moment before it can be seen
    dialect: str | None = None  #: of the SQL in which ``inside`` speaks ("sqlite", "postgresql"); None: no such thing
    promise: str = ""  #: what the store's own persistence means for an acknowledged job, when that needs to be said


class JobFilter(NamedTuple):
    """Which jobs are meant: all conditions given must hold. ``ids`` may hold full ids only."""

    ids: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    queue: str | None = None
    task: str | None = None  #: exact name
    tag: str | None = None
    meta: Mapping[str, object] | None = None  #: each key has this value
    text: str | None = None  #: found in id, task, payload, meta, tags, error or reason
    parent: str | None = None
    since: int | None = None  #: created_at, µs, inclusive
    until: int | None = None  #: created_at, µs, exclusive
    flow: str | None = None  #: members of this flow

    @property
    def empty(self) -> bool:
        """Tell whether it would match every job."""
        return self == JobFilter()

    def fits(self, job: JobRecord) -> bool:
        """Tell whether all conditions given hold: what a filter means, whatever index a store used on the way."""
        return (
            (not self.ids or job.id in self.ids)
            and (not self.states or job.state in self.states)
            and (self.queue is None or job.queue == self.queue)
            and (self.task is None or job.task == self.task)
            and (self.parent is None or job.parent == self.parent)
            and (self.flow is None or job.flow == self.flow)
            and (self.since is None or job.created_at >= self.since)
            and (self.until is None or job.created_at < self.until)
            and (self.tag is None or self.tag in json.loads(job.tags or "[]"))
            and (self.meta is None or _has_meta(job, self.meta))
            and (self.text is None or _has_text(job, self.text))
        )


def _has_meta(job: JobRecord, wanted: Mapping[str, object]) -> bool:
    stored = json.loads(job.meta or "{}")
    return all(key in stored and stored[key] == value for key, value in wanted.items())


def _has_text(job: JobRecord, text: str) -> bool:
    """Look for a text as it is, and as it reads inside JSON."""
    columns = (job.id, job.task, job.payload, job.meta, job.tags, job.error, job.reason)
    forms = (text, json.dumps(text)[1:-1])
    return any(form in column for column in columns if column is not None for form in forms)


class Page(NamedTuple):
    """Newest first. ``next`` continues after the last job seen; None: that was all.

    Conditions without an index (tag, meta, text, parent) are looked for in a bounded scan, newest first, of at most
    300 ms; ``searched`` of ``total`` tells how far it came.
    """

    jobs: list[JobRecord]
    next: int | None
    searched: int
    total: int


class Changed(NamedTuple):
    """What ``cancel``, ``requeue`` or ``delete`` did. With ``dry`` nothing was changed and the ids say what would
    be."""

    done: tuple[str, ...] = ()  #: moved, or deleted
    asked: tuple[str, ...] = ()  #: cancel of running jobs: requested
    refused: tuple[str, ...] = ()  #: found, but in a state that does not allow it, or another job stands in the way
    more: bool = False  #: more jobs match than one call touches


class Store(Admission, Exchanging, Schedules, Steering, Sweeping, Protocol):
    """The contract. Ids that are not stored are simply absent from every answer. The verbs of the waiting rules are in
    ``_admission``, those that change waiting jobs and queues in ``_steering``, several verbs in one in ``_exchange``, and the
    one that looks for what was forgotten in ``_sweep``."""

    url: str  #: secrets masked
    #: A call that has not been answered after so many seconds ends with ``StoreUnavailable``. Who must not wait so long
    #: sets less.
    patience: float
    namespace: str
    instance: str  #: identity of the stored data; new when it is created anew
    capabilities: Capabilities

    def close(self) -> None:
        """Give the connection back. Nothing can be called afterwards; closing twice is fine."""

    def migrate(self) -> list[str]:
        """Bring the schema up to this version; return the names of the steps taken. Safe to run by many at once. The one
        verb that works on a store without its tables; there, every other raises ``BadSchema``."""

    def now(self) -> int:
        """Return the store's time, µs."""

    def lock_dir(self) -> str | None:
        """Return the directory where workers on this store keep their lock files: beside the data where that is a file, so
        that every process which can reach the store finds it. It may not exist yet. None: the store has no such place."""

    # -- producing ------------------------------------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs, all or none, durably, in the order given.

        An id that is stored already with the same task, queue and payload answers ``existing``; with another content
        ``IdConflict`` is raised and nothing is stored. A ready time in the future makes the job ``scheduled``, else
        it is ``queued`` with a rank from its ready time (never earlier than now) and the step of its queue. ``scheduled_at`` is
        set only in the future. The same holds between the jobs of one call. ``at`` wins over ``delay``, ``expires_at`` over
        ``expires``.

        A job with rules (``holds``, ``after`` or ``after_flow``) is ``blocked`` where another would be ``queued``, and nothing
        is looked at but whether its parents exist: each must be stored, or be stored by this call before it, else
        ``UnknownParent``, and nothing of the call is stored. A flow need not have members.

        ``unique``: the key is held by at most one job, the *holder*: ``unique_held``, and of the scope "time"
        ``unique_end > now``, and of the scope "flow" it has not ended, or a member of its flow has not (any, now). If there is
        none, the new job holds it; a former holder whose time or flow is over loses ``unique_held``.
        Else, by ``on_conflict``: "return" stores nothing and answers for the holder, ``existing``, whatever its content;
        "replace" cancels a holder that waits (scheduled, blocked, queued, retrying; reason "replaced by ID") and stores the
        new job as the holder, and does what "return" does with a holder that runs or has ended; "raise" raises
        ``UniqueConflict``, and nothing of the call is stored. In order, between the jobs of one call too; an answer tells of
        the moment when its job's turn came. An id that is stored already is answered before all this.
        """

    # -- working --------------------------------------------------------------------------------------------------
    def register(self, worker: WorkerRecord) -> None:
        """Make the worker known and live. Raise ``NameTaken`` if another live or stopping worker has the name.

        State, beats and times are the store's. The same id again replaces only the description: a dead worker stays
        dead, as its next beat will tell it.
        """

    def publish(self, worker: str, catalogue: str, info: str) -> None:
        """Replace the catalogue and the info of a live worker."""

    def promote(self, limit: int = BATCH) -> tuple[int, float | None]:
        """Make due ``scheduled`` and ``retrying`` jobs ``queued``, those with rules ``blocked``; retrying jobs keep their rank,
        scheduled ones have theirs from the due time. Oldest due first. Queues whose pause is over are resumed. Return how
        many jobs, and the seconds until the next one is due, or the next pause over (None: none)."""

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
        """Take up to ``free + ahead`` queued jobs by rank and make them ``running`` for this live worker.

        ``queues`` are asked in the order given; None means every queue, beginning at a place that moves with
        ``turn``, so that none starves. ``lines`` are side lines this worker serves, each asked directly after its
        queue. Paused queues (and their side lines) and expired jobs are passed over. Once ``free`` are taken it
        stops at the first job with ``crash_fails``, ``suspect`` or ``holds``. A claim ends the holding of a unique key of the
        scope "started". One fresh random token (32 hex digits) per call;
        ``fence = max(last + 1, now)``; ``started_at`` is cleared; ``claim_no`` is kept with each job. A worker that is
        not live, or stopping, gets nothing. Expired is ``expires_at <= now``.
        """

    def report(self, worker: str, reports: Sequence[Report]) -> None:
        """Record news of running attempts; a report whose fence does not hold is ignored."""

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        """Apply verdicts; return only those that were not applied as asked. Repeating a call is harmless.

        The token stays on the job until the next claim. Every verdict but a ``plain`` one writes its attempt row in the
        same transaction, except a ``released`` that never started. Counters are added; retrying and scheduled become
        due after ``delay``; ``snoozed`` gets a new rank from its due time, every other keeps it; ``blocked`` moves to
        ``line``. ``released`` clears ``started_at``. A final state sets ``finished_at``, clears ``suspect``. ``reason``
        always replaces; a new ``error`` replaces, none keeps the last, a success clears it. The worker, too, stays on
        the job until the next claim. "Never started" means neither in the verdict nor by a report.
        Not running with my token? ``repeated`` if an attempt row (job, token) has my outcome; without such a row, if
        the job bears my token still and is final, or my verdict was a release. Else ``stale``: the result or error is
        kept in that attempt row's ``late`` if there is such a row.
        ``cancelled``: a requested cancel took precedence; counters and error are kept, the reason is the request's.
        ``locked``: a transaction of the user's own holds the job just now; nothing was done, settle it again later.
        An end, here and by whatever other verb, ends the holding of a unique key, but of the scopes "time" and "flow".
        With ``elsewhere`` a job that bears my token still and is final is ``repeated``, whatever its outcome; the log is kept.
        ``unstorable``: the verdict could not be written; the job was made ``failed`` (a failure counted, with its
        attempt row), "outcome cannot be stored: …"; one bad row never holds up its batch.
        """

    def expire(self, limit: int = BATCH) -> list[str]:
        """Cancel waiting jobs whose ``expires_at`` has passed, reason "expired"; return their ids."""

    def prune(self, keep: Mapping[State, float], limit: int = BATCH) -> int:
        """Delete final jobs that ended more than ``keep[state]`` seconds ago (a state not named is kept; never sooner
        than 1 h, nor than the seconds in ``kept_for`` of a job's options), with their attempts and logs, and drop results whose
        time is over. States that are not final are ignored. Dead workers go a day after their last beat. Return how many jobs.

        A job stays, and so does its result, while a job that has not ended names it in ``after`` or waits for its flow; and
        while it holds a unique key (of the scope "time" or "flow")."""

    def drop_logs(self, age: float, limit: int = BATCH) -> int:
        """Drop the logs of jobs that ended more than ``age`` seconds ago; all else of them stays. One call looks at no more than
        ``limit`` jobs that have logs, oldest first, and the next one goes on behind them; calling again and again comes to all.
        Return how many jobs had theirs dropped. It rests while the namespace is frozen."""

    def beat(self, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
        """Count one beat of a live worker and bring back orders.

        ``claim_no`` is my last *completed* claim call, ``held`` all my (job, token). Jobs of mine in the store with a
        ``claim_no`` up to it that I do not hold are ghosts: put back as ``queued`` (or ``cancelled`` if that was
        requested), uncounted, keeping their rank. A stopping worker is alive; for one dead or unknown all lists are
        empty.
        """

    def stopping(self, worker: str) -> None:
        """Say that this worker takes no more work."""

    def leave(self, worker: str) -> None:
        """Forget a worker that has ended cleanly. Jobs still running for it become orphans. A dead one stays on
        record."""

    def condemn(self, worker: str, beats: int, proved: bool = False) -> bool:
        """Declare a worker dead iff its beat count is still ``beats``. A dead worker can never beat or claim again.
        Repeating it answers the same. ``proved`` is kept with its row, once it was said."""

    def orphans(self, limit: int = BATCH) -> list[Orphan]:
        """Return running jobs whose worker is dead or has no row (``proved`` is False then), for the rescue to decide and
        ``settle``."""

    def resolve(self, lines: Sequence[str]) -> int:
        """Make the parked jobs of these side lines ``queued`` there, since I can run them; return how many. They keep their
        rank and stay in that line; the reason is cleared. Those with rules are parked no more and wait for ``admit``."""

    # -- operating ------------------------------------------------------------------------------------------------
    def cancel(self, which: JobFilter, *, by: str = "", reason: str = "", dry: bool = False) -> Changed:
        """Cancel waiting jobs at once; ask for it where they run. An empty filter is refused (``BadOption``), here and
        below.

        The reason is ``reason``, else "cancelled". A second request for a running job changes nothing. Oldest first;
        jobs that need no change never use up the batch, so calling while ``more`` ends with every job cancelled.
        """

    def requeue(self, which: JobFilter, *, delay: float = 0.0, by: str = "", dry: bool = False) -> Changed:
        """Make ended jobs run again (``generation`` + 1, counters cleared, new rank; result, error, reason, progress,
        times and a requested cancel cleared), and scheduled or retrying ones run now (or after ``delay``). Requeue of a
        job that succeeded at its first attempt writes that attempt's row first. Queued, blocked and running ones are
        refused. "Times" includes ``expires_at``; the job goes back to the line of its queue; token and fence stay.

        A job with rules becomes ``blocked`` where another would be ``queued``; an ended one loses its place. An ended job with
        a unique key (but of the scope "time") holds it again; it is refused if another job holds it, by ``now`` or, oldest
        first, through this call. Then the jobs that gave up because of a requeued one (``given_up``) are made to run again
        likewise, without delay, and those that did because of them, whatever their number; they are not in ``done``. One
        whose key another job holds stays as it is: step by step away from the requeued ones, in each by seq."""

    def delete(self, which: JobFilter, *, dry: bool = False) -> Changed:
        """Delete jobs with their attempts and logs. Running ones are refused, and those that a job names in ``after`` that has
        not ended (when the call begins). An empty filter is refused."""

    # -- looking --------------------------------------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> list[JobRecord]:
        """Return the stored jobs of these ids, in the order given. An id of 8 characters means the one job whose id
        ends so; more than one such job raises ``AmbiguousId``."""

    def find(self, which: JobFilter, limit: int = 50, after: int | None = None) -> Page:
        """Return matching jobs, newest (largest ``seq``) first, from below ``after``. ``text`` is matched as it is, and
        in the form it has inside JSON."""

    def attempts(self, job: str) -> list[AttemptRecord]:
        """Return the ended runs, oldest first. A success at the first attempt is made up from the job itself (its host
        is known as long as its worker's row is there)."""

    def last_attempts(self, jobs: Sequence[str]) -> list[AttemptRecord]:
        """Return the last attempt row of each of these jobs (full ids), in the order given. A job that has none is absent; so
        is a success at its very first attempt, which has written none (``_told.last_attempt`` makes it up)."""

    def log(self, job: str, token: str | None = None) -> list[tuple[str, str, int]]:
        """Return (token, text, dropped) of the attempts that logged, oldest first, or of one of them."""

    def queues(self, names: Sequence[str] | None = None) -> list[QueueRecord]:
        """Return queues that have or had jobs, are paused or have a step of their own, by name. Cheap at any size."""

    def ahead(self, job: str) -> int:
        """Return how many queued jobs of the same line would be claimed before this queued one (0 if it is not queued);
        expired ones do not count, and counting stops at 10,000."""

    def workers(self, dead: bool = False) -> list[WorkerRecord]:
        """Return the live (and stopping) workers, and the dead ones too if asked, oldest first."""

    # -- in transactions of the caller's own -------------------------------------------------------------------------
    @property
    def inside(self) -> Inside | None:
        """What this store does on a connection of the caller's, as generators (``_inside``); None where ``dialect`` is None.
        The object may be used from any thread and outlives the connection of this one."""

    # -- moving ------------------------------------------------------------------------------------------------------
    def freeze(self, to: str) -> None:
        """Close this namespace: from now on ``enqueue`` and ``claim`` (and ``Inside.enqueue``) raise ``StoreMoved``, as made
        by ``_closed.refusal``, which names ``to`` (a URL, secrets masked; more of it is ``_closed``'s). ``promote``, ``expire``
        and ``prune`` rest: they find nothing to do. Everything else goes on. Frozen again, the last ``to`` holds.

        Calls under way are waited for: once this has returned, no job is stored or claimed that ``export`` and ``queues`` did
        not show. That includes transactions of users' own in which ``Inside.enqueue`` stored something."""

    def thaw(self) -> None:
        """Undo ``freeze``; waiting workers are hinted. Harmless on an open one."""

    def frozen(self) -> str | None:
        """Return what ``freeze`` was told, None if this namespace is open."""

    def export(self, after: int, limit: int = BATCH) -> list[Parcel]:
        """Return jobs with all that belongs to them, oldest (smallest ``seq``) first, those with a ``seq`` above ``after``.

        ``attempts`` are the rows that were written (no success is made up); ``claim_no`` and ``cancel_reason`` are None
        unless the job is running."""

    def import_jobs(self, parcels: Sequence[Parcel]) -> int:
        """Store jobs exactly as they were elsewhere, under a ``seq`` of this store's in the order given; return how many
        were new. A job whose id is stored already is replaced with all that belongs to it, and keeps its ``seq``; of an id
        that is given twice the last holds. All or none. Works on a frozen store. Places are kept: the next one given is
        larger than all; what waits is examined again.
        """

    # -- waiting --------------------------------------------------------------------------------------------------
    def wait(self, timeout: float) -> bool:
        """Wait until another connection may have changed something, at most ``timeout`` seconds. True is only a hint,
        and False is no proof. My own changes are no hint. May be interrupted from another thread by ``wake``."""

    def wake(self) -> None:
        """Make the ``wait`` under way on this object, else the next one, return soon. The one method any thread may
        call."""

    def changed(self) -> bool:
        """Tell, cheaply, whether another connection has changed something since this was last asked (first time:
        True)."""
