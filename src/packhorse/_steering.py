"""The part of the store contract by which people steer: change waiting jobs, pause queues, let old jobs overtake.

Nothing here does I/O. Times are µs on the store's clock; durations are seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ._record import BATCH, DEFAULT_STEP, WAITING, JobRecord, State, rank
from .errors import BadOption

if TYPE_CHECKING:
    from ._store import Changed

#: As ``Edit.expires_at``: the job expires no more.
NEVER = 0
#: A queue's step is at least so many µs, and at most the default: larger ones could leave the numbers that ranks may be.
LEAST_STEP = 1_000_000


class Edit(NamedTuple):
    """What becomes of waiting jobs; None leaves a part as it is."""

    queue: str | None = None  #: the queue they wait in from now on
    priority: int | None = None
    delay: float | None = None  #: seconds from the store's now until they are ready
    at: int | None = None  #: the same as an absolute µs, and wins; the past means now
    expires: float | None = None  #: seconds from the store's now until which they must have started
    expires_at: int | None = None  #: the same as an absolute µs, and wins; ``NEVER``: they expire no more
    options: str | None = None  #: JSON object, merged into theirs one key by key; null is a value like others
    tags: str | None = None  #: JSON list, in place of theirs; an empty one takes them away
    meta: str | None = None  #: JSON object, merged into theirs one key by key; null takes a key away
    payload: str | None = None  #: in place of theirs

    @property
    def empty(self) -> bool:
        """Tell whether it changes nothing."""
        return self == Edit()

    @property
    def times(self) -> bool:
        """Tell whether it says when they are ready."""
        return self.delay is not None or self.at is not None


def edited(job: JobRecord, edit: Edit, now: int, steps: tuple[int, int]) -> JobRecord:
    """Return a waiting job after an edit: what ``Steering.edit`` does to one job, but for the unique key, which stays.

    ``steps`` are those of the queue it leaves and of the one it goes to (the same one, if it stays)."""
    job = _moved(job, edit, now, steps)
    if edit.times:
        job = _put_off(job, edit, now, steps[1])
    return job._replace(
        expires_at=_expiry(job, edit, now),
        options=job.options if edit.options is None else json.dumps(_both(job.options, edit.options)),
        tags=job.tags if edit.tags is None else edit.tags if json.loads(edit.tags) else None,
        meta=_meta(job.meta, edit.meta),
        payload=job.payload if edit.payload is None else edit.payload,
    )


def _moved(job: JobRecord, edit: Edit, now: int, steps: tuple[int, int]) -> JobRecord:
    """Put it into the line of a queue, with the same ready time: it is examined there, or stays ready."""
    if edit.priority is not None or edit.queue is not None:
        priority = job.priority if edit.priority is None else edit.priority
        job = job._replace(priority=priority, rank=rank(_ready(job, now, steps[0]), priority, steps[1]))
    if edit.queue is None:
        return job
    state: State = "queued" if job.parked and not job.has_rules else job.state
    return _unparked(job)._replace(queue=edit.queue, line=edit.queue, state=state)


def _ready(job: JobRecord, now: int, step: int) -> int:
    """Return the time from which it could run. Ranked under another step, it lies in bounds at least."""
    latest = now if job.due_at is None else max(now, job.due_at)
    return min(max(job.rank + job.priority * step, job.created_at), latest)


def _unparked(job: JobRecord) -> JobRecord:
    return job._replace(parked=False, line=job.queue, reason=None) if job.parked else job


def _put_off(job: JobRecord, edit: Edit, now: int, step: int) -> JobRecord:
    """Give it another time. A job that waits for its next attempt still does so, and keeps its rank."""
    at = edit.at if edit.at is not None else now + round((edit.delay or 0.0) * 1_000_000)
    if at > now:
        if job.state == "retrying":
            return job._replace(due_at=at)
        place = rank(at, job.priority, step)
        job = _unparked(job)
        return job._replace(state="scheduled", due_at=at, scheduled_at=at, rank=place)
    if job.state not in ("scheduled", "retrying"):
        return job
    place = job.rank if job.state == "retrying" else rank(now, job.priority, step)
    state: State = "blocked" if job.has_rules else "queued"
    return job._replace(state=state, due_at=None, scheduled_at=None, rank=place)


def _expiry(job: JobRecord, edit: Edit, now: int) -> int | None:
    if edit.expires_at is not None:
        return None if edit.expires_at == NEVER else edit.expires_at
    return job.expires_at if edit.expires is None else now + round(edit.expires * 1_000_000)


def _both(stored: str | None, change: str) -> dict[str, Any]:
    return {**json.loads(stored or "{}"), **json.loads(change)}


def _meta(stored: str | None, change: str | None) -> str | None:
    if change is None:
        return stored
    gone = {key for key, value in json.loads(change).items() if value is None}
    kept = {key: value for key, value in _both(stored, change).items() if key not in gone}
    return json.dumps(kept) if kept else None


def may_edit(job: JobRecord) -> bool:
    """Tell whether a job may be changed: it waits."""
    return job.state in WAITING


# -- what is refused, alike by every store ----------------------------------------------------------------------------
def refuse_bad_edit(ids: Sequence[str], edit: Edit) -> None:
    """Refuse an edit of nothing, or of more jobs than one call touches."""
    if edit.empty:
        raise BadOption(
            "edit was given nothing to change; nothing was changed. Name a queue, a priority or another part."
        )
    if len(ids) > BATCH:
        raise BadOption(f"edit was given {len(ids):,} jobs, more than the {BATCH:,} of one call; nothing was changed.")


def pause_end(now: int, seconds: float | None, until: int | None) -> int | None:
    """Return when a pause ends by itself, µs; refuse what is not in the future."""
    end = until if until is not None or seconds is None else now + round(seconds * 1_000_000)
    if end is not None and end <= now:
        raise BadOption("A pause must end in the future; nothing was changed. Give a later time, or none at all.")
    return end


def step_of(step: int | None) -> int:
    """Return a queue's step as it is stored; refuse one that is too short or too long."""
    if step is not None and not LEAST_STEP <= step <= DEFAULT_STEP:
        raise BadOption(f"A queue's step is from 1 s to 30 d, the default; not {step / 1e6:,} s. Nothing was changed.")
    return DEFAULT_STEP if step is None else step


class Steering(Protocol):
    """The verbs."""

    def edit(self, ids: Sequence[str], edit: Edit, *, dry: bool = False) -> Changed:
        """Change waiting jobs (scheduled, blocked, queued, retrying), as ``edited`` says; running and ended ones are refused. Up
        to ``BATCH`` full ids, else ``BadOption``, as for an empty edit; ``done`` and ``refused`` are in the order of ``ids``.

        One that is put off (``delay``, ``at`` in the future) becomes ``scheduled``, a retrying one keeps its state; one that
        is to be ready now becomes ``queued``, with rules ``blocked``. Another queue or priority gives another rank with the same
        ready time. Another queue takes it out of a side line: it is parked no more, and waits for ``admit`` or is ``queued``
        there. A parked job that is put off leaves its side line, too. Place, holds and unique key stay; a job that leaves
        ``queued`` holds nothing any more. Whoever may go because of all this is noted for ``admit``."""

    def pause(
        self, queue: str, *, by: str = "", reason: str = "", seconds: float | None = None, until: int | None = None
    ) -> bool:
        """Stop claims from a queue; jobs are not touched. Return False if it was paused already: then who, why, and until when
        are replaced, and ``paused_at`` stays. It ends by itself after ``seconds``, or at ``until`` (µs, wins; always in
        the future, else ``BadOption``): the first ``promote`` from then on resumes it."""

    def resume(self, queue: str) -> bool:
        """Undo ``pause``. Return False if it was not paused."""

    def set_step(self, queue: str, step: int | None) -> bool:
        """Say after how many µs of waiting a job has overtaken one of a priority higher by 1: the queue's ``step``. None: the
        default, which as a number is the default, too. At least 1,000,000 and at most the default, else ``BadOption``. Return
        False if it was so already. It counts for ranks given from now on (at an enqueue, a snooze, a requeue, an edit, a new
        due time): the jobs that wait keep theirs, and until they are gone ``oldest_ready_at`` is an estimate: of the queued
        jobs the one with the
        smallest ``rank + priority * step`` (of equals the smallest seq) tells it, where the step is not the default no
        earlier than its creation and no later than now."""
