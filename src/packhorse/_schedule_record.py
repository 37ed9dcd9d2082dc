"""The shapes in which schedules cross the store contract. Times are µs of the store's clock; JSON is never decoded by a store."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

#: What became of a tick: a job was made · the one before had not ended, so none was made · it was over before anybody looked ·
#: a person said so.
RunOutcome = Literal["fired", "overlap", "missed", "skipped"]

#: So many runs of each schedule stay on record.
RUNS_KEPT = 100


class ScheduleRecord(NamedTuple):
    """One rule that makes jobs, as it is stored. What its ``spec`` means is ``_schedule``'s."""

    id: str  #: a UUID, new when a schedule of the same name is made anew; ids of its jobs are made from it
    name: str
    spec: str  #: JSON: when, what, and how
    created_at: int
    #: Every tick up to this time is dealt with. It only ever moves forwards; a put with a smaller one keeps what is stored.
    watermark: int
    revision: int = 0  #: version of the book in which it was last put; set by the store
    app: str | None = None  #: the application whose code declares it; None: made by a person or a program
    build: str | None = None  #: the build that declared it
    declared: str | None = None  #: what that build said, where a person has changed ``spec`` since
    paused_at: int | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
    edited_at: int | None = None  #: a person changed it: the code does not, until ``reschedule``
    edited_by: str | None = None
    retired_at: int | None = None  #: the code declares it no more: kept, and it makes no jobs


class Book(NamedTuple):
    """All schedules of a namespace."""

    now: int
    version: int  #: one more after each ``put_schedules``; firing does not count
    schedules: Sequence[ScheduleRecord] | None  #: by name; None: the version is the one you know
    builds: str = "{}"  #: JSON: app → its builds in the order in which they were first seen


class Fired(NamedTuple):
    """The answer to ``fire``."""

    moved: bool  #: False: somebody else has dealt with this tick, or the schedule has changed; nothing was done
    watermark: int | None  #: as it stands now; None: look at the book again
    job: str | None = None  #: the job of this tick, or of an earlier one that has not ended


class RunRecord(NamedTuple):
    """What became of one tick."""

    tick: int
    at: int  #: when it was dealt with
    outcome: RunOutcome
    job: str | None = None  #: made by it; with ``overlap`` the one that had not ended
    missed: int = 0  #: so many earlier ticks were left out with it
