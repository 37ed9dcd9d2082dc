"""A killer that declares nobody dead by itself: it pauses a worker until the others have found it dead, by its beats."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from packhorse._record import WorkerRecord
from packhorse._store import Store
from packhorse.errors import StoreUnavailable

from .killing import Killer
from .producers import Producer
from .workers import Worker, continue_later, send

#: Six beats of the others must see it unchanged, and what it reserved waits for a few more (seconds).
_NOT_FOUND = 120.0
#: It is woken so long after that, while its jobs would run elsewhere if they were taken back (seconds).
_LATER = (12.0, 24.0)
#: The job that it is paused with begins within so long (seconds), unless it waits for something.
_BEGINS = 90.0
#: A claim is tried for so long (seconds).
_CLAIMS = 1.0
_MODES = ("x", "s", "l")
#: A writer gets its turn within so long (seconds).
_TURN = 2.0
#: While it is paused so many strikes are left out: the others must live to find it dead.
_QUIET = 0.93


def _opened(opener: Callable[[], Store]) -> Store:
    """Open it, again and again while the server is away."""
    while True:
        try:
            return opener()
        except StoreUnavailable:
            time.sleep(0.2)


def _write(store: Store) -> None:
    """Change nothing, and need to be able to."""
    with suppress(StoreUnavailable):
        store.condemn("nobody", 0)


class Pauser(Killer):
    """Pauses the supervisor alone: its children go on with what they run, and nobody is there to stop them."""

    def __init__(
        self, workers: list[Worker], producers: Sequence[Producer], store: Store, rng: random.Random, pauses: int,
        opener: Callable[[], Store], lasting: Callable[[str], str],
    ) -> None:  # fmt: skip
        """``lasting`` enqueues a job that holds a name in this mode for longer than any pause, and returns its id."""
        super().__init__(workers, producers, store, rng)
        self._modes = [_MODES[n % len(_MODES)] for n in range(pauses)]
        self._opener = opener
        self._lasting = lasting
        self._quiet = False
        self._paused = 0  #: its children are left alone: they shall go on
        self.not_found = 0  #: pauses in which nobody had found it dead

    @property
    def pausing(self) -> bool:
        return self._quiet

    def strike(self) -> None:
        if not self.pausing or self._rng.random() > _QUIET:
            super().strike()

    def _choose(self) -> tuple[str, Worker]:
        what, worker = super()._choose()
        if not self.pausing:
            return what, worker
        return "child", self._rng.choice([each for each in self._workers if each.pid != self._paused] or self._workers)

    def _pause(self) -> None:
        if not self.pausing:  # what wakes it would wake the other one
            super()._pause()

    def _lose_claim(self) -> None:
        """Try it until there is something to claim: what waits for a name is claimed as soon as it is free."""
        before, deadline = len(self.ghosts), time.monotonic() + _CLAIMS
        while len(self.ghosts) == before and time.monotonic() < deadline:
            super()._lose_claim()

    def _condemn(self) -> None:
        if self._modes and not self.pausing:
            self._quiet = True
            chosen = (self._modes[0], list(self._timers), self._rng.uniform(*_LATER))
            thread = threading.Thread(target=self._past_death, args=chosen)
            thread.start()
            self._timers.append(thread)

    def _past_death(self, mode: str, before: Sequence[threading.Thread], later: float) -> None:
        for timer in before:
            timer.join()  # what would wake it
        store, began = _opened(self._opener), time.time()
        try:
            row = self._runs_it(store, self._lasting(mode))
            if row is not None:
                self._hold_still(store, row, later)
        finally:
            self.troubled.append((began, time.time()))
            self._quiet = False
            store.close()

    def _hold_still(self, store: Store, row: WorkerRecord, later: float) -> None:
        self._paused, began = row.pid, time.time()
        if self._stopped(store, row.pid):
            self._modes.pop(0)  # else it had just been killed: another time
            self._await_death(store, row)
            time.sleep(later)  # the moment in which it wakes is random
        self._paused = 0
        continue_later(row.pid)
        self.stopped.append((began, time.time()))

    def _runs_it(self, store: Store, job: str) -> WorkerRecord | None:
        """Return the worker in which the job has begun."""
        deadline = time.monotonic() + _BEGINS
        while time.monotonic() < deadline:
            with suppress(StoreUnavailable):
                (found,) = store.get([job])
                for row in store.workers():
                    if row.id == found.worker and row.state == "live" and found.started_at is not None:
                        return row
            time.sleep(0.1)
        return None

    def _stopped(self, store: Store, pid: int) -> bool:
        """Stop it at a moment when it does not hold up everybody: a file has one writer at a time, paused or not."""
        while send(pid, signal.SIGSTOP):
            writer = threading.Thread(target=_write, args=(store,))
            writer.start()
            writer.join(_TURN)
            if not writer.is_alive():
                return True
            continue_later(pid)
            writer.join()
        return False

    def _await_death(self, store: Store, paused: WorkerRecord) -> None:
        deadline = time.monotonic() + _NOT_FOUND
        while time.monotonic() < deadline:
            try:
                if any(row.id == paused.id and row.state == "dead" for row in store.workers(dead=True)):
                    self.condemned.add(paused.id)
                    self.did["declared dead alive"] += 1
                    return
            except StoreUnavailable:
                pass
            time.sleep(0.2)
        self.not_found += 1
