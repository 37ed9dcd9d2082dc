"""What every worker does for all jobs of its store, whoever runs them: what is due, what has expired, who died, what is old."""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from .._record import BATCH
from .._rescue import Spaced
from .._retention import DEFAULT, Retention
from .._store import Store
from . import mailbox as m
from .firing import Firing
from .identity import Identity
from .notifying import Notifying
from .rescuing import Rescuing
from .sweeping import Sweeping

if TYPE_CHECKING:
    from .._notify import Notify

_POLL = 1.0
_PRUNE_EVERY = 60.0
#: Whoever declares a worker dead looks for its jobs at once; this is for those of one that did not live to do so. It reads
#: every running job.
_RESCUE_EVERY = 10.0
#: Some orphans wait for our beats.
_RESCUE_SOON = 5.0


class Chores(NamedTuple):
    """What a worker was asked to do beside running jobs."""

    retention: Retention = DEFAULT  #: how long what has ended is kept
    notify: Notify | None = None  #: which ends are told of


AS_USUAL = Chores()


def upkeep_of(
    identity: Identity, main: m.Mailbox, beats: Spaced, patience: float, firing: Firing, chores: Chores = AS_USUAL
) -> Upkeep:
    """Return the upkeep of this worker."""
    notifying = Notifying(chores.notify)
    return Upkeep(
        Rescuing(identity.host, main, beats, patience, notifying.note), firing, identity, chores.retention, notifying
    )


class Upkeep:
    """Does each when it is time; every method tells whether something may be claimable by it."""

    def __init__(
        self, rescuing: Rescuing, firing: Firing, identity: Identity, retention: Retention, notifying: Notifying
    ) -> None:
        """Everything is to be looked at but old jobs, which many workers should not do together."""
        self._retention = retention
        self.notifying = notifying
        self._rescuing = rescuing
        self._firing = firing
        self._sweeping = Sweeping(identity)
        self._next_poll = 0.0
        self._next_due = 0.0
        self._next_prune = monotonic() + random.uniform(5, _PRUNE_EVERY)
        self._next_rescue = 0.0

    @property
    def next(self) -> float:
        """Return when something is to be done (monotonic)."""
        times = self._next_poll, self._next_due, self._next_prune, self._next_rescue
        return min(*times, self._firing.due, self._sweeping.due)

    # -- what is due --------------------------------------------------------------------------------------------------
    def look(self) -> None:
        """Something may be due that was not known of."""
        self._next_due = 0.0

    def expect(self, batch: list[m.Done]) -> None:
        """Look for retries and the like when they are due, and not a second later."""
        waits = [verdict.delay for _, _, _, verdict in batch if verdict and verdict.state in ("retrying", "scheduled")]
        if waits:
            self._next_due = min(self._next_due, monotonic() + min(waits))

    def promote(self, store: Store) -> bool:
        """Let what is due go: ticks of schedules, and jobs."""
        now = monotonic()
        fired = now >= self._firing.due and self._firing.look(store, now)
        if not fired and now < min(self._next_due, self._next_poll):
            return False
        freed = store.freed
        count, pause = store.promote()
        self._next_due = now + min(_POLL, pause if pause is not None else _POLL)
        if count:
            self._next_due = now
        return fired or bool(count) or store.freed > freed  # the pause of a queue is over

    # -- the rest -----------------------------------------------------------------------------------------------------
    def rescue_now(self) -> None:
        """A worker has died."""
        self._next_rescue = 0.0

    def chores(self, store: Store) -> bool:
        """Do the others."""
        now, found = monotonic(), False
        if now >= self._next_poll:
            self._next_poll = now + _POLL
            self.notifying.expired(store.expire())
            found = True
        if now >= self._next_rescue:
            found = self._rescue(store, now) or found
        if now >= self._next_prune:
            more = store.prune(self._retention.keep) >= BATCH
            if self._retention.output is not None:
                more = store.drop_logs(self._retention.output) >= BATCH or more
            self._next_prune = now + (0.1 if more else _PRUNE_EVERY)
        if now >= self._sweeping.due:
            found = self._sweeping.look(store, now) or found
        return found

    def _rescue(self, store: Store, now: float) -> bool:
        found = self._rescuing.rescue(store)
        if found:
            self._next_due = 0.0  # what they had at work is due again, now or soon
        self._next_rescue = now + (_RESCUE_SOON if self._rescuing.waits else _RESCUE_EVERY)
        return found
