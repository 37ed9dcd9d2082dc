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
#: It is woken so long after that, while its jobs run elsewhere.
_LATER = 12.0
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
    """Pauses the supervisor alone: its children end what they run, and nobody is there to hear of it."""

    def __init__(
        self, workers: list[Worker], producers: Sequence[Producer], store: Store, rng: random.Random, pauses: int,
        opener: Callable[[], Store],
    ) -> None:  # fmt: skip
        super().__init__(workers, producers, store, rng)
        self._left = pauses
        self._opener = opener
        self._paused: Worker | None = None
        self.not_found = 0  #: pauses in which nobody had found it dead

    @property
    def pausing(self) -> bool:
        return self._paused is not None

    def strike(self) -> None:
        if not self.pausing or self._rng.random() > _QUIET:
            super().strike()

    def _choose(self) -> tuple[str, Worker]:
        what, worker = super()._choose()
        return "child" if self.pausing else what, worker

    def _pause(self) -> None:
        if not self.pausing:  # what wakes it would wake the other one
            super()._pause()

    def _condemn(self) -> None:
        if self._left and not self.pausing:
            self._left -= 1
            self._paused = self._rng.choice(self._workers)
            chosen = (self._paused, list(self._timers), self._rng.uniform(0, _LATER))
            thread = threading.Thread(target=self._past_death, args=chosen)
            thread.start()
            self._timers.append(thread)

    def _past_death(self, worker: Worker, before: Sequence[threading.Thread], later: float) -> None:
        for timer in before:
            timer.join()  # what would wake it
        store, began = _opened(self._opener), time.time()
        try:
            row = self._row(store, worker.pid)
            if row is not None and self._stopped(store, worker.pid):
                self._await_death(store, row)
                time.sleep(later)  # the moment in which it wakes is random
            else:
                self._left += 1  # it had just been killed: another time
        finally:
            continue_later(worker.pid)
            self.troubled.append((began, time.time()))
            self._paused = None
            store.close()

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

    def _row(self, store: Store, pid: int) -> WorkerRecord | None:
        """Return what the store knows of a worker; it may just have been started."""
        deadline = time.monotonic() + _LATER
        while time.monotonic() < deadline:
            try:
                for row in store.workers():
                    if row.pid == pid and row.state == "live":
                        return row
            except StoreUnavailable:
                pass
            time.sleep(0.1)
        return None

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
