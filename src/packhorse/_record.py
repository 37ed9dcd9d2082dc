"""The stored job: its states, its one transition table, and the shapes that cross the store contract.

Nothing here does I/O or reads a clock. Times are microseconds since the Unix epoch on the *store's* clock
(``int``); durations are seconds (``float``). JSON columns travel as ASCII text and are never decoded by a store.
"""

# Annotations are not put off here: of every one that is, typing makes a reference and compiles it, which would be most of
# what importing this module costs.
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

State = Literal["scheduled", "blocked", "queued", "running", "retrying", "succeeded", "failed", "cancelled"]
#: How a job holds a name: it reserves it ("x", exclusive), shares it ("s"), or takes one of its places ("l", limit).
Mode = Literal["x", "s", "l"]
#: Until when a job holds its unique key: its first claim, its end, the end of its flow, or a time.
Scope = Literal["started", "finished", "flow", "time"]
OutcomeKind = Literal["succeeded", "retry", "failed", "snoozed", "cancelled", "released", "crashed", "lost"]

STATES: tuple[State, ...] = (
    "scheduled",
    "blocked",
    "queued",
    "running",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
)
FINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})
WAITING: frozenset[State] = frozenset({"scheduled", "blocked", "queued", "retrying"})

#: Who may move a job where. ``None`` is "not stored". A store that makes any other move is wrong, and the
#: conformance suite says so. Deleting (``prune``, ``delete``) is not a move: the job is gone.
TRANSITIONS: frozenset[tuple[State | None, str, State]] = frozenset(
    [
        (None, "enqueue", "queued"),
        (None, "enqueue", "scheduled"),
        (None, "enqueue", "blocked"),
        (None, "fire", "queued"),
        (None, "fire", "scheduled"),
        (None, "fire", "blocked"),
        *((state, "enqueue", "cancelled") for state in ("scheduled", "blocked", "queued", "retrying")),
        ("scheduled", "promote", "queued"),
        ("scheduled", "promote", "blocked"),
        ("retrying", "promote", "queued"),
        ("retrying", "promote", "blocked"),
        ("blocked", "admit", "queued"),
        ("blocked", "admit", "cancelled"),
        ("blocked", "resolve", "queued"),
        ("queued", "claim", "running"),
        ("running", "settle", "succeeded"),
        ("running", "settle", "failed"),
        ("running", "settle", "cancelled"),
        ("running", "settle", "retrying"),
        ("running", "settle", "scheduled"),
        ("running", "settle", "queued"),
        ("running", "settle", "blocked"),
        ("running", "beat", "queued"),
        ("running", "beat", "cancelled"),
        *((state, "edit", "scheduled") for state in ("queued", "blocked")),
        *((state, "edit", "queued") for state in ("blocked", "scheduled", "retrying")),
        *((state, "edit", "blocked") for state in ("scheduled", "retrying")),
        *((state, "cancel", "cancelled") for state in ("scheduled", "blocked", "queued", "retrying")),
        *((state, "expire", "cancelled") for state in ("scheduled", "blocked", "queued", "retrying")),
        *(
            (state, "requeue", target)
            for state in ("scheduled", "retrying", "succeeded", "failed", "cancelled")
            for target in ("queued", "scheduled", "blocked")
        ),
    ]
)

#: Rank of a job in its queue: ``ready_µs - priority * step``, smallest first. Thirty days is strict priority in
#: practice; a queue with a shorter step lets old jobs of low priority overtake ("ageing").
DEFAULT_STEP = 30 * 24 * 3600 * 1_000_000

#: One call of a verb that works through many jobs touches at most this many.
BATCH = 1000
#: A job's log keeps its newest bytes; of a command those of each stream.
LOG_LIMIT = 64 * 1024
#: Both streams of a command, and the mark before each line.
LOG_STORED = 3 * LOG_LIMIT
#: Arguments or a result may be this large, as JSON text.
PAYLOAD_LIMIT = 1024 * 1024


def rank(ready: int, priority: int, step: int = DEFAULT_STEP) -> int:
    """Return the place of a job in its queue; smaller runs earlier, ties go by ``seq``."""
    return ready - priority * step


def side_line(queue: str, task: str) -> str:
    """Return the line where jobs wait whose task no worker of ``queue`` knows. ``#`` is in no queue's name."""
    return f"{queue}#{task}"


class NewJob(NamedTuple):
    """A job as the enqueuer gives it. Exactly one of ``delay`` and ``at`` decides when it is ready."""

    id: str
    task: str
    queue: str
    payload: str  #: JSON ``[[args…], {kwargs…}]``, in the codec's form
    priority: int = 0
    delay: float = 0.0  #: seconds from the store's now
    at: int | None = None  #: absolute µs; the past means now
    expires: float | None = None  #: seconds from the store's now until which it must have started
    expires_at: int | None = None  #: the same as an absolute µs
    #: JSON of what was given explicitly and is read at each attempt (timeout, retry, keep_result); ``kept_for``: seconds after
    #: its end in which it is not pruned
    options: str | None = None
    crash_fails: bool = False  #: ``on_crash="fail"``
    tags: str | None = None  #: JSON list
    meta: str | None = None  #: JSON object
    by: str | None = None  #: JSON object: who enqueued it, and where
    parent: str | None = None  #: id of the job that enqueued it
    holds: tuple[tuple[Mode, str], ...] = ()  #: what it must hold to run; sorted, no name twice
    after: tuple[str, ...] = ()  #: ids of the jobs that must have ended
    after_flow: str | None = (
        None  #: the flow of which every other member must have ended; those that wait for it too do not count
    )
    after_failed: bool = False  #: run, though one of these failed or was cancelled
    flow: str | None = None  #: the flow it is a member of
    unique: str | None = None  #: the whole key; no two jobs hold one
    #: "flow": as long as it, or another member of its flow, has not ended; a number: for so many seconds from the enqueue
    unique_until: Literal["started", "finished", "flow"] | float = "finished"
    on_conflict: Literal["return", "replace", "raise"] = "return"  #: when another job holds the key


class Enqueued(NamedTuple):
    """What the store answers for one enqueued job. ``id`` is another than the one asked for if that job holds the key."""

    id: str
    state: State
    created_at: int
    scheduled_at: int | None
    existing: bool  #: this very job was stored before, or another one that holds its key


class Claimed(NamedTuple):
    """A job handed to a worker. (``id``, ``token``) names the attempt; every write by the worker carries both."""

    id: str
    token: str
    task: str
    queue: str
    payload: str
    options: str | None
    crash_fails: bool
    suspect: bool  #: must run alone in its child
    failures: int
    crashes: int
    losses: int
    snoozes: int
    generation: int
    fence: int
    priority: int
    created_at: int
    scheduled_at: int | None
    tags: str | None
    meta: str | None
    by: str | None
    parent: str | None
    error: str | None  #: JSON of the last attempt's error
    holds: str | None = None  #: JSON list of [mode, name]
    flow: str | None = None


class Claim(NamedTuple):
    """The answer to one claim call."""

    jobs: list[Claimed]
    now: int
    more: bool  #: something may still be claimable (a limit was reached)


class Verdict(NamedTuple):
    """What becomes of one attempt: decided once, in pure Python (``_outcome``); a store only applies it.

    Applied iff the job is ``running`` with this ``token``. If a cancel was requested, every verdict but a success
    becomes ``cancelled`` (the outcome on the attempt row stays what it was).
    """

    job: str
    token: str
    outcome: OutcomeKind
    state: State  #: the state it leads to
    started: float | None = None  #: seconds before now that the run started; None: it never did
    ended: float = 0.0  #: seconds before now that it ended
    plain: bool = False  #: a success at the very first attempt: no attempt row is written
    result: str | None = None  #: JSON
    error: str | None = None  #: JSON
    reason: str | None = None  #: why it ended so, for people; replaces what stood there
    delay: float = 0.0  #: for retrying and scheduled: seconds until due
    failures: int = 0  #: added to the counter, like the next three
    crashes: int = 0
    losses: int = 0
    snoozes: int = 0
    suspect: bool = False
    line: str | None = None  #: for blocked: the side line
    log: str | None = None  #: tail of the attempt's log
    log_dropped: int = 0  #: characters that did not fit before it
    keep: float | None = None  #: seconds to keep the result; None: as long as the job
    usage: str | None = None  #: JSON: cpu seconds, peak memory, signal, …
    elsewhere: bool = False  #: the job said that it ended itself, in a transaction of the user's own


class Settled(NamedTuple):
    """One verdict that was *not* applied as asked."""

    job: str
    token: str
    how: Literal["repeated", "stale", "cancelled", "unstorable", "locked"]
    state: State | None  #: where the job is now; None: not stored


class Report(NamedTuple):
    """News of a running attempt, fenced like a verdict; None leaves a part as it is."""

    job: str
    token: str
    started: float | None = None  #: seconds before now
    progress: str | None = None  #: JSON object: name → {done, total, note}
    log: str | None = None  #: the whole tail so far
    log_dropped: int = 0
    meta: str | None = None  #: JSON object, merged into the stored one key by key


class Orphan(NamedTuple):
    """A running job whose worker is dead or gone, with what the rescue needs to decide."""

    job: str
    token: str
    task: str
    worker: str
    host: str | None  #: of the dead worker; None: no row left
    started: bool
    crash_fails: bool
    failures: int
    crashes: int
    losses: int
    generation: int
    snoozes: int
    #: It reserves or shares something: who must not run beside it may not begin before it has surely stopped.
    reserves: bool = False
    proved: bool = False  #: its worker's death was proved by its lock

    @property
    def id(self) -> str:
        """Return the job's id, under the name by which the decisions of ``_outcome`` know it."""
        return self.job


class BeatReply(NamedTuple):
    """What one beat brings back."""

    alive: bool  #: False: I was declared dead; kill the children, take a new identity
    now: int
    cancelled: list[tuple[str, str, str]]  #: (job, token, reason): stop these runs
    ghosts: list[str]  #: claimed for me but never received; they were put back, uncounted
    lost: list[tuple[str, str]]  #: I hold them, the store says they are not mine: stop that run at once
    lines: list[str]  #: side lines with blocked or queued jobs: a resolved line outlives the worker that resolved it


class JobRecord(NamedTuple):
    """Everything stored of one job."""

    id: str
    seq: int
    task: str
    queue: str
    state: State
    payload: str
    priority: int
    rank: int
    created_at: int
    scheduled_at: int | None  #: the time it was (last) asked to run at, if in the future
    due_at: int | None  #: while scheduled or retrying
    started_at: int | None  #: of the latest attempt
    finished_at: int | None
    expires_at: int | None
    options: str | None
    crash_fails: bool
    suspect: bool
    failures: int
    crashes: int
    losses: int
    snoozes: int
    generation: int  #: how often it was requeued
    fence: int
    token: str | None
    worker: str | None
    line: str  #: queue, or the side line
    tags: str | None
    meta: str | None
    by: str | None
    parent: str | None
    result: str | None
    result_until: int | None  #: after this the result is dropped by prune
    error: str | None
    reason: str | None
    progress: str | None
    cancel_at: int | None  #: a cancel was requested while it ran
    cancel_by: str | None
    holds: str | None = None  #: JSON list of [mode, name], as given; None: none
    after: str | None = None  #: JSON list of ids; None: none
    after_flow: str | None = None
    after_failed: bool = False
    flow: str | None = None
    unique_key: str | None = None  #: as given, kept for ever
    unique_until: Scope | None = None  #: None if and only if there is no key
    #: The key is this job's; of the scope "time" only until ``unique_end``, of an ended one of the scope "flow" only as long as
    #: a member of its flow has not ended.
    unique_held: bool = False
    unique_end: int | None = None  #: µs; of the scope "time" alone
    #: In the waiting lines, smallest first: given once, when nothing stands before the lines for the first time; it stays,
    #: also when the job has ended, until a requeue of the ended job.
    place: int | None = None
    parked: bool = False  #: blocked in a side line that nobody has resolved; no worker knows its task
    given_up: str | None = None  #: id of the job because of which ``admit`` cancelled this one

    @property
    def has_rules(self) -> bool:
        """Tell whether only ``admit`` makes this job ``queued``."""
        return self.holds is not None or self.after is not None or self.after_flow is not None

    @property
    def waits(self) -> bool:
        """Tell whether it waits for ``admit``: a blocked job does, or is parked."""
        return self.state == "blocked" and not self.parked

    @property
    def attempt(self) -> int:
        """Return the number of the present or last counted run, from 1. Snoozes and releases do not count."""
        return 1 + self.failures + self.crashes + self.losses


class AttemptRecord(NamedTuple):
    """One ended run of a job."""

    job: str
    token: str
    generation: int
    number: int  #: 1 + counted runs before it
    worker: str | None
    host: str | None
    started_at: int | None
    ended_at: int
    outcome: OutcomeKind
    error: str | None
    reason: str | None
    usage: str | None
    late: str | None  #: JSON: a result that came after the attempt had been given up


class Parcel(NamedTuple):
    """A job with all that belongs to it, on its way from one store to another."""

    job: JobRecord
    cancel_reason: str | None = None  #: of the request in ``job.cancel_at``, while it runs
    claim_no: int | None = None  #: while it runs
    attempts: tuple[AttemptRecord, ...] = ()  #: stored ones, oldest first
    logs: tuple[tuple[str, str, int], ...] = ()  #: (token, text, dropped), oldest first


class WorkerRecord(NamedTuple):
    """One running ``packhorse worker`` as it tells of itself. ``id`` is new at each start."""

    id: str
    name: str
    host: str
    pid: int
    boot_id: str
    lock_path: str | None = None  #: held with flock while it lives
    lock_inode: int | None = None
    queues: str | None = None  #: JSON list of lists (groups in order); None: every queue
    slots: int = 1
    version: str = ""
    catalogue: str = "{}"  #: JSON: {"tasks": {name: {…}}, "modules": […], "build": …}
    info: str = "{}"  #: JSON: python, sys.path, cwd, children, app, …
    state: Literal["live", "stopping", "dead"] = "live"
    beats: int = 0
    started_at: int = 0
    seen_at: int = 0
    proved: bool = False  #: its death was proved by its lock


class QueueRecord(NamedTuple):
    """One queue: its switches and its numbers."""

    name: str
    counts: Mapping[State, int] = MappingProxyType({})
    oldest_ready_at: int | None = None  #: ready time of the oldest queued job
    paused_at: int | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_until: int | None = None  #: the pause ends by itself then; None: when somebody resumes it
    step: int = DEFAULT_STEP  #: of waiting, µs, outweighs one step of priority
