"""One relay at work."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from threading import Event
from time import monotonic

from .._outbox import decode
from .._record import NewJob
from .._store import Store
from ..errors import EnqueueUnknown, PackhorseError, StoreError, StoreUnavailable
from .places import Row, Side

_log = logging.getLogger("packhorse.relay")

_BATCH = 200
#: Seconds between two looks into an outbox that was empty.
_POLL = 0.5
#: Seconds between two attempts while one of the two databases is away: from, to.
_PAUSES = (0.1, 5.0)
#: Rows that wait for a person are spoken of so often (seconds).
_REMIND = 3600.0


class Relay:
    """Carries jobs from one outbox to one store, and survives the outages of both."""

    def __init__(self, open_side: Callable[[], Side], open_store: Callable[[], Store], place: str) -> None:
        """``place`` is the outbox in words, without secrets. Nothing is opened yet."""
        self._open_side = open_side
        self._open_store = open_store
        self._place = place
        self._side: Side | None = None
        self._store: Store | None = None
        self._held: list[Row] = []  #: marked, and not known to have arrived
        self._away_since: float | None = None
        self._remind_at = 0.0

    def run(self, stop: Event, *, once: bool = False) -> int:
        """Carry until told to stop, or with ``once`` until nothing is left; return how many arrived.

        Raises what is wrong with the set-up and will not pass by itself, at the first connection only.
        """
        total, pause, opened = 0, _PAUSES[0], False
        while not stop.is_set():
            try:
                moved = self.turn()
                opened, pause = True, _PAUSES[0]
                self._back()
            except PackhorseError as error:
                if not opened and not isinstance(error, StoreUnavailable):
                    raise
                self._away(error)
                stop.wait(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _PAUSES[1])
                continue
            total += moved
            if not moved:
                if once:
                    break
                stop.wait(_POLL)
        self.close()
        return total

    def turn(self) -> int:
        """Carry one batch; return how many jobs arrived. After an error both connections are made anew."""
        try:
            side, store = self._opened()
            self._remind(side, store)
            rows = self._held or side.mark(store.namespace, _BATCH)
            self._held = rows
            arrived = self._send(side, store, rows)
            side.delete(arrived)
            self._held = []
        except BaseException:
            self.close()
            raise
        if arrived:
            _log.info("%d job%s moved from the outbox %s", len(arrived), "s" * (len(arrived) != 1), self._place)
        return len(rows)

    def _opened(self) -> tuple[Side, Store]:
        if self._side is None:
            self._side = self._open_side()
        if self._store is None:
            self._store = self._open_store()
        return self._side, self._store

    def close(self) -> None:
        """Close what is open. What is marked stays so, and is sent again."""
        side, self._side = self._side, None
        store, self._store = self._store, None
        for each in (side, store):
            if each is not None:
                try:
                    each.close()
                except PackhorseError:
                    pass  # it is being given up

    # -- sending ------------------------------------------------------------------------------------------------------
    def _send(self, side: Side, store: Store, rows: list[Row]) -> list[str]:
        """Enqueue rows; return the ids of those that are in the store now. A bad one holds up no other."""
        jobs = [job for job in (self._decoded(side, row) for row in rows) if job is not None]
        if not jobs:
            return []
        try:
            store.enqueue(jobs)
            return [job.id for job in jobs]
        except Exception as error:
            if _is_the_stores(error):
                self._give_back(side, rows, error)
                raise
        return [job.id for job in jobs if self._send_one(side, store, job)]

    def _send_one(self, side: Side, store: Store, job: NewJob) -> bool:
        try:
            store.enqueue([job])
            return True
        except Exception as error:
            if _is_the_stores(error):
                raise
            self._refuse(side, job.id, str(error))
            return False

    def _decoded(self, side: Side, row: Row) -> NewJob | None:
        try:
            return decode(row.job, row.age)
        except (ValueError, TypeError) as error:
            self._refuse(side, row.id, f"it cannot be read: {error}")
            return None

    def _refuse(self, side: Side, id: str, problem: str) -> None:
        _log.error("outbox %s: job %s cannot be sent and stays there: %s", self._place, id, problem)
        side.refuse(id, problem[:1000])

    def _give_back(self, side: Side, rows: list[Row], error: Exception) -> None:
        """Surely nothing was stored: no six days begin to count. Where it may have been, the mark stays."""
        if not isinstance(error, EnqueueUnknown):
            self._held = []
            try:
                side.unmark([row.id for row in rows])
            except PackhorseError:
                pass  # the mark stays, and is taken over

    # -- saying -------------------------------------------------------------------------------------------------------
    def _remind(self, side: Side, store: Store) -> None:
        if monotonic() < self._remind_at:
            return
        self._remind_at = monotonic() + _REMIND
        bad, old = side.stuck(store.namespace)
        if bad:
            _log.error(
                "outbox %s: %d jobs cannot be sent; the column problem of packhorse_outbox says why. Set it to NULL to have one "
                "sent again, or delete the row.",
                self._place,
                bad,
            )
        if old:
            _log.error(
                "outbox %s: %d jobs have been under way for over six days and are not sent: they may have run already. Look for "
                "their ids in the store; set sending_at to NULL to have one sent, or delete the row.",
                self._place,
                old,
            )

    def _away(self, error: PackhorseError) -> None:
        if self._away_since is None:
            self._away_since = monotonic()
            _log.warning("relay of the outbox %s waits: %s", self._place, error)

    def _back(self) -> None:
        if self._away_since is not None:
            _log.info("relay of the outbox %s goes on after %.0f s", self._place, monotonic() - self._away_since)
            self._away_since = None


def _is_the_stores(error: Exception) -> bool:
    """Tell whether the store is to blame, and not a job."""
    return isinstance(error, (StoreError, OSError))
