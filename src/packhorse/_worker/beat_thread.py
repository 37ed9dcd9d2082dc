"""The thread that shows this worker alive, watches the others, and waits for hints, on a connection of its own."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from .. import _rescue
from .._record import BeatReply, WorkerRecord
from .._store import Store
from ..errors import PackhorseError, StoreRefused
from . import mailbox as m
from .exclusive import Contact, boottime
from .held import Held
from .identity import Identity
from .lock import forget, proves_alive, proves_dead
from .outage import REFUSED_PAUSE, pause_after
from .store_thread import StoreThread

_log = logging.getLogger("packhorse.worker")

BEAT_EVERY = 5.0
WATCH_EVERY = 1.0
#: The locks of neighbours that were seen on this host are looked at so often between: that asks the store nothing.
LOOK_EVERY = 0.25
#: A main or store thread that has not turned for so long is stuck: no more beats, then exit 70.
STUCK_AFTER = 30.0
#: A store call may take so long before it counts as stuck.
CALL_LIMIT = 60.0
_FEW = 200
_SECOND_LOOK = 2.0
_LAST_WORDS = 5.0


class Pulse:
    """Tells whether the other two threads still turn."""

    def __init__(self, main_turns: Callable[[], int], store: StoreThread) -> None:
        """Watch main through its counter, the store thread through its counter and the call it has in flight."""
        self._main_turns = main_turns
        self._store = store
        self._seen = (-1, -1)
        self._since = [monotonic(), monotonic()]

    def stuck_for(self) -> float:
        """Return for how long the slower of the two has not turned."""
        now = monotonic()
        turns = (self._main_turns(), self._store.turns)
        for n in (0, 1):
            if turns[n] != self._seen[n]:
                self._since[n] = now
        calling = self._store.calling_since
        if calling is not None and now - calling < CALL_LIMIT:
            self._since[1] = now
        self._seen = turns
        return now - min(self._since)


class BeatThread(threading.Thread):
    """Beats every five seconds, looks for dead neighbours every second, and turns changes in the store into hints."""

    def __init__(
        self,
        opener: Callable[[], Store],
        identity: Identity,
        store: StoreThread,
        main: m.Mailbox,
        held: Held,
        pulse: Pulse,
        contact: Contact,
    ) -> None:
        """Nothing is opened before the thread runs."""
        super().__init__(name="beat", daemon=True)
        self._opener = opener
        self._identity = identity
        self._store_thread = store
        self._main = main
        self._held = held
        self._pulse = pulse
        self._contact = contact
        self._store: Store | None = None
        self._observer = _rescue.Observer()
        self._over = threading.Event()
        self._dropping = threading.Lock()  #: main may want to wake a store that is being closed
        self._next_beat = 0.0
        self._next_watch = 0.0
        self._next_look = 0.0
        self._neighbours: list[WorkerRecord] = []  #: on this host, when they were last watched
        self._failures = 0

    def stop(self) -> None:
        """End soon."""
        self._over.set()
        self._store_thread.armed.set()
        with self._dropping:
            if self._store is not None:
                self._store.wake()

    def run(self) -> None:
        """Serve until stopped. A bug ends the worker: without beats it would only do harm."""
        try:
            self._serve()
        except Exception as error:
            self._main.put(m.Refused(error, 70))

    def _serve(self) -> None:
        while not self._over.is_set():
            self._check_pulse()
            try:
                self._turn()
                self._failures = 0
            except PackhorseError as error:
                _log.debug("beat: %s", error)
                self._observer.clear()
                self._drop()
                self._next_beat = 0.0  # once it is back, at once: it tells what became of our jobs
                self._pause(error)
        self._drop()

    def _pause(self, error: PackhorseError) -> None:
        """Wait before the store is tried again: as long as the store thread would, and no longer than it does."""
        self._failures += 1
        self._over.wait(pause_after(self._failures))
        end = monotonic() + REFUSED_PAUSE
        while isinstance(error, StoreRefused) and self._store_thread.outage.begun and monotonic() < end:
            if self._over.wait(0.5):
                return

    def _turn(self) -> None:
        if self._store is None:
            self._store = self._opener()
        now = monotonic()
        if now >= self._next_watch:
            self._next_watch = now + WATCH_EVERY
            self._watch(self._store)
            self._look_for_cancels(self._store)
        elif self._neighbours and now >= self._next_look:
            self._look_at_locks(self._store)
        if now >= self._next_beat:
            self._next_beat = now + BEAT_EVERY
            self._beat(self._store)
        due = min(self._next_beat, self._next_watch, self._next_look if self._neighbours else self._next_watch)
        self._listen(self._store, max(0.0, due - monotonic()))

    def _listen(self, store: Store, pause: float) -> None:
        armed = self._store_thread.armed
        if not armed.wait(pause) or self._over.is_set():
            return
        if store.wait(min(pause, 1.0)):
            armed.clear()
            self._store_thread.inbox.put(m.Hint())

    def _beat(self, store: Store) -> None:
        claim_no, held = self._held.snapshot()
        began = boottime()
        reply = store.beat(self._identity.id, claim_no, held)
        if reply.alive:
            self._contact.since = began
            self._store_thread.beats.beat(monotonic())
        self._main.put(m.Beaten(reply))
        others = [worker for worker in store.workers() if worker.id != self._identity.id]
        for worker in self._observer.beat(others, monotonic()):
            self._condemn(store, worker, "its beats have stopped", proved=False)

    def _watch(self, store: Store) -> None:
        me, host = self._identity, self._identity.host
        self._neighbours = [worker for worker in store.workers() if worker.id != me.id and worker.host == host]
        self._look_at_locks(store)
        for worker in self._neighbours:
            if worker.boot_id != me.boot:
                self._condemn(store, worker, "this host has started anew since")

    def _look_at_locks(self, store: Store) -> None:
        self._next_look = monotonic() + LOOK_EVERY
        dead = [worker for worker in self._neighbours if proves_dead(worker, self._identity.host)]
        for worker in dead:
            self._neighbours.remove(worker)  # what it has beaten since is known when it is next watched
            self._condemn(store, worker, "its lock is free")

    def _look_for_cancels(self, store: Store) -> None:
        """Hear of a cancel sooner than at the next beat. A beat asks for all; this asks for the few that may take long."""
        _, held = self._held.snapshot()
        if not 0 < len(held) <= _FEW:
            return
        tokens = dict(held)
        cancelled = [
            (job.id, tokens[job.id], "cancelled")
            for job in store.get([job for job, _ in held])
            if job.cancel_at is not None and job.token == tokens[job.id]
        ]
        if cancelled:
            self._main.put(m.Beaten(BeatReply(True, 0, cancelled, [], [], [])))

    def _condemn(self, store: Store, worker: WorkerRecord, why: str, *, proved: bool = True) -> None:
        if store.condemn(worker.id, worker.beats, proved):
            _log.warning(
                "worker %s (pid %d on %s) is dead: %s; taking its jobs back", worker.name, worker.pid, worker.host, why
            )
            # One that is only paused keeps its file: it shows those who rescue that something may still run there.
            if worker.host == self._identity.host and not proves_alive(worker, self._identity.host):
                forget(worker.lock_path)
            self._store_thread.inbox.put(m.Rescue())

    def _check_pulse(self) -> None:
        stuck = self._pulse.stuck_for()
        if stuck > STUCK_AFTER and not self._over.wait(_SECOND_LOOK) and self._pulse.stuck_for() > STUCK_AFTER:
            # Looked at twice: a worker that was paused as a whole has all its threads turn again, but in any order.
            # Without beats others will take our jobs; better to be gone than to be half alive.
            alarm = threading.Timer(
                _LAST_WORDS, os._exit, (70,)
            )  # a terminal that takes nothing may be why we are stuck
            alarm.daemon = True
            alarm.start()
            print(f"packhorse worker: the supervisor has not turned for {stuck:.0f} s; giving up", file=sys.stderr)
            faulthandler.dump_traceback(all_threads=True)
            alarm.cancel()
            os._exit(70)

    def _drop(self) -> None:
        with self._dropping:
            store, self._store = self._store, None
            if store is not None:
                with suppress(PackhorseError):  # given up because it does not work
                    store.close()
