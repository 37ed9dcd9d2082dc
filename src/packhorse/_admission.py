"""The part of the store contract that is about the waiting rules: what a job must hold, whom it must follow, how often.

Nothing here does I/O. Times are µs on the store's clock; durations are seconds.
"""

# Not put off, as in _record.
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from ._record import BATCH, Mode, State

#: What is in the way of a waiting job, in the order in which it is looked for.
ObstacleKind = Literal["after", "flow", "paused", "unserved", "undeclared", "held", "rate"]


class Admitted(NamedTuple):
    """The answer to one ``admit``."""

    admitted: int  #: became queued
    cancelled: int  #: gave up, since what they waited for failed or was cancelled
    more: bool  #: call again
    waits: bool  #: something waits still
    next: float | None  #: seconds until a rate lets the next one go; None: no job waits for a rate alone


class Obstacle(NamedTuple):
    """What is in the way of one waiting job: the first of all that is."""

    kind: ObstacleKind
    #: after: the id of a job that has not ended. flow: the flow. paused, unserved: the queue. Else the name to be held.
    name: str
    holder: str | None = None  #: held: id of a job that has the name, or of the one that comes first
    since: int | None = None  #: held: when that job started, if it runs and that is known
    #: held: 1 + how many jobs stand before this one in the line of that name. flow: how many members have not ended.
    place: int | None = None
    at: int | None = None  #: rate: when the next one may go, µs


class Holders(NamedTuple):
    """Who has a name."""

    number: int = 0
    jobs: tuple[str, ...] = ()  #: ids of the oldest (smallest seq), oldest first


class LimitRecord(NamedTuple):
    """What was declared of one name, or of all names that begin alike (``tenant:*``)."""

    name: str
    value: str  #: "4", "10/1s", "30/1m burst 10"
    by: str = ""
    app: str | None = None  #: declared by the code of this application; None: set by a person
    set_at: int = 0


class FlowRecord(NamedTuple):
    """One flow: a set of jobs. It is there as long as one of them is stored."""

    id: str
    counts: Mapping[State, int] = MappingProxyType({})  #: all members stored, by state; none without members
    created_at: int = 0  #: of the first job that joined, also when that one is deleted
    finished_at: int | None = None  #: the latest end of a member there ever was; None: a member has not ended


class Settings(NamedTuple):
    """What belongs to a namespace and to none of its jobs, on its way from one store to another."""

    limits: tuple[LimitRecord, ...] = ()  #: by name
    rates: tuple[
        tuple[str, int], ...
    ] = ()  #: (name, µs from which on nothing of the rate is used up), by name; future ones
    steps: tuple[tuple[str, int], ...] = ()  #: (queue, its step), by name; those that are not the default


class Admission(Protocol):
    """The verbs of the waiting rules."""

    #: A call through this object may have taken an obstacle out of some job's way since its last ``admit``: an end or another
    #: way out of holding, a deleted job, a queue paused or resumed, a worker that came or went, a limit set, waiting jobs
    #: stored. True too often costs an ``admit``; a call that touches only jobs without rules, for which or for whose flow nobody
    #: waits, leaves it alone. False at first, and after each ``admit``.
    freed: bool

    def admit(self, limit: int = BATCH) -> Admitted:
        """Make waiting jobs ``queued`` that have no obstacle (see ``obstacles``), all or nothing. Called until ``more`` is False
        it leaves none that has none, and none that should have given up.

        One call is one round, and sees the parents, flows, queues and workers as they were when it began. It examines, by
        seq, at most ``limit`` jobs: those that have no place yet and those whose obstacle may be gone.

        1. One that waits for something that failed or was cancelled, and is not ``after_failed``, is ``cancelled``, with
           ``given_up`` and the reason from ``_rules.gave_up``. A parent of ``after`` counts as soon as it has ended, the first
           one in the order of ``after``; a flow when every other member has ended, its oldest (smallest seq) one.
        2. One that has no place gets the next, by seq, if neither a parent, a flow, a pause nor a missing worker is in its way.
        3. By place, each without an obstacle becomes ``queued`` and its rates are used. Rank and line stay.

        What becomes of others by this is for the next round. A parent that is not stored any more counts as succeeded.
        A frozen namespace rests: ``Admitted(0, 0, False, False, None)``.
        """

    def obstacles(self, ids: Sequence[str]) -> list[Obstacle | None]:
        """Return what is in the way of each job; None: nothing is, or it does not wait. Aligned with ``ids``, unknown ones too.

        A *holder* of a name is a job with that hold that is ``queued`` or ``running``: nothing else is stored about holding. An
        *able* waiter has a place, and neither a parent, a flow, a pause nor a missing worker is in its way. *Before* a job
        are the able waiters with a smaller place; all of them, if it has none.

        The first of these that holds:

        - ``after``: a parent has not ended; the first in the order of ``after``.
        - ``flow``: members of ``after_flow``, but those whose own ``after_flow`` it is, have not ended; ``place`` counts them.
        - ``paused``: its queue. ``unserved``: no live worker (state "live") serves its queue.
        - then name by name, in the order of ``holds``: ``undeclared``, a limit nobody has set; or ``held``. "x" wants no other
          holder and no waiter of that name before it; "s" and "l" no holder and none before with "x"; and "l" with a limit
          N fewer than N of holders and those before with "l" together. ``place`` is 1 + the conflicting ones before,
          ``holder`` the oldest (smallest seq) of the conflicting holders, else the first of those before. For "l",
          if no "x" is in the way, all others with "l" are the conflicting ones.
        - ``rate``: one of its rates is used up; the one that lets it go last, of equals the first in the order of ``holds``.

        A job that is about to give up has no obstacle for what made it give up.
        """

    def holders(self, name: str, modes: Sequence[Mode], limit: int = 20) -> Holders:
        """Return how many hold a name in one of these modes, and the oldest of them, at most ``limit``."""

    def holding(self, names: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return how many hold each of these names: reserve it, share it, count towards its limit. Aligned with ``names``."""

    def limits(self) -> list[LimitRecord]:
        """Return what is declared, by name."""

    def set_limits(self, values: Mapping[str, str | None], *, by: str = "", app: str | None = None) -> list[str]:
        """Declare limits, all or none; return the names for which something changed, sorted.

        A name that ends in ``*`` is meant for all that begin so; the exact name wins, then the longest beginning. None takes
        a declaration back. With ``app`` it is code that declares: what a person has set (``app`` None) stays as it is. The
        same value by the same ``app`` changes nothing. A changed value forgets what was used of its rates. A value that
        cannot be read (``_rules.limit``) is refused with ``BadOption``.
        """

    def flows(self, names: Sequence[str] | None = None, limit: int = 50, after: str | None = None) -> list[FlowRecord]:
        """Return flows, all or these, newest first (by ``created_at``, of equals the larger id first), from behind ``after``
        (nothing if that is not stored)."""

    def export_settings(self) -> Settings:
        """Return the limits, how far each rate is used up, and the steps of queues."""

    def import_settings(self, settings: Settings) -> None:
        """Set them as they were elsewhere, in place of those of the same names; others stay. Works on a frozen store."""
