"""Telling of jobs that have ended, by jobs of their own; and trying again where the store went away just then."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .._record import FINAL, NewJob, Settled, State
from .._store import Store
from ..errors import PackhorseError, StoreFull, StoreUnavailable
from . import mailbox as m

if TYPE_CHECKING:  # most workers tell of nothing
    from .._notify import Notify

_log = logging.getLogger("packhorse.worker")


class Notifying:
    """Stores a job for each end that is to be told of. Where nothing is, it costs nothing."""

    def __init__(self, notify: Notify | None) -> None:
        """``notify`` is the worker's own; None: nothing is told of."""
        self._notify = notify
        self._ended: list[str] = []

    def settled(self, runs: Iterable[m.Done], odd: Iterable[Settled]) -> None:
        """Runs were settled, but those that are odd otherwise; note the ends among them."""
        if self._notify is None:
            return
        otherwise = {each.job: each.state for each in odd}
        for job, _, _, verdict in runs:
            state = otherwise.get(job.id, verdict.state if verdict is not None else "succeeded")
            self.note(job.id, job.task, state)

    def note(self, job: str, task: str, state: State | None) -> None:
        """Note that a job may have ended."""
        if self._notify is not None and state in FINAL and self._notify.wants(state, task):
            self._ended.append(job)

    def expired(self, jobs: Iterable[str]) -> None:
        """Note jobs that were cancelled because their time was over."""
        if self._notify is not None and "cancelled" in self._notify.on:
            self._ended.extend(jobs)

    @property
    def waits(self) -> bool:
        """Tell whether there is something to tell."""
        return bool(self._ended)

    def tell(self, store: Store) -> bool:
        """Store the jobs that tell; tell whether there was something. The same end is never told of twice: an end has one id for
        its news."""
        if not self._ended:
            return False
        assert self._notify is not None
        made = [self._job(self._notify, store, job) for job in self._ended]
        try:
            store.enqueue([job for job in made if job is not None])
        except (StoreUnavailable, StoreFull):
            raise  # and it is tried again
        except PackhorseError as error:
            _log.error("the end of %d jobs cannot be told of: %s", len(made), error)
        self._ended.clear()
        return True

    def _job(self, notify: Notify, store: Store, job: str) -> NewJob | None:
        from .._job_data import as_data, attempt_data
        from .._looking import seen_of

        found = seen_of(store, job)
        if found is None or not notify.wants(found.job.state, found.job.task):
            return None
        last = None if found.attempt is None else attempt_data(found.attempt)
        return notify.job(found.job, {**as_data(found.job), "host": found.host, "exit": found.exit, "last": last})
