"""The killer: strikes at random moments, and knows what it did."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence

from packhorse._store import Store
from packhorse.errors import StoreUnavailable

from . import jobs
from .producers import Producer
from .workers import Worker, continue_later, send

#: What it does, and how often of a hundred strikes.
STRIKES = {"child": 80, "worker": 15, "both": 5}
#: Besides, after so many kills each: a pause (SIGSTOP), a live worker declared dead, a claim whose answer is lost, a producer
#: killed.
_PAUSE_EVERY, _CONDEMN_EVERY, _GHOST_EVERY, _PRODUCER_EVERY = 5, 12, 10, 8
#: A pause in which others surely take the jobs back (seconds).
_PAST_DEATH = 2.5
#: A worker that was killed is there again after so long, at the latest, on a busy host.
_START = 5.0


class Killer:
    """Kills children, workers and producers, pauses workers, declares live ones dead, loses the answers of claims."""

    def __init__(self, workers: list[Worker], producers: Sequence[Producer], store: Store, rng: random.Random) -> None:
        self._workers = workers
        self._producers = producers
        self._store = store
        self._rng = rng
        self.kills = 0
        self.did: Counter[str] = Counter()
        #: When something was done to a worker: for so long it may have been unable to claim (seconds since the epoch).
        self.troubled: list[tuple[float, float]] = []
        #: When a supervisor was stopped for longer than a call to the store may take (seconds since the epoch).
        self.stopped: list[tuple[float, float]] = []
        self.condemned: set[str] = set()
        self.ghosts: list[str] = []
        self._timers: list[threading.Thread] = []

    @property
    def pausing(self) -> bool:
        """Tell whether it must be quiet, or what it is about would fail."""
        return False

    def strike(self) -> None:
        """Kill something, once; sometimes do something else besides."""
        what, worker = self._choose()
        children = worker.children()
        if what in ("child", "both") and children:
            if send(self._rng.choice(children), signal.SIGKILL):
                self._count("child")
        elif what == "child":
            return
        if what in ("worker", "both"):
            worker.kill()
            self._count("worker")
            self._trouble(_START)
        self._besides()

    def _choose(self) -> tuple[str, Worker]:
        what = self._rng.choices(list(STRIKES), list(STRIKES.values()))[0]
        return what, self._rng.choice(self._workers)

    def _count(self, what: str) -> None:
        self.kills += 1
        self.did[what] += 1

    def _besides(self) -> None:
        if self.kills % _PAUSE_EVERY == 0:
            self._pause()
        if self.kills % _CONDEMN_EVERY == _CONDEMN_EVERY // 2:
            self._condemn()
        if self.kills % _GHOST_EVERY == 3:
            self._lose_claim()
        if self.kills % _PRODUCER_EVERY == 4:
            self._rng.choice(self._producers).kill()

    def _pause(self) -> None:
        """Stop a process for a while, as a debugger, a full host or a suspended machine would."""
        worker = self._rng.choice(self._workers)
        pid = self._rng.choice([worker.pid, *worker.children()])
        self._pause_for(pid, self._rng.uniform(0.1, 1.5))

    def _pause_for(self, pid: int, seconds: float) -> None:
        if send(pid, signal.SIGSTOP):
            self.did["pause"] += 1
            self._trouble(seconds)
            timer = threading.Timer(seconds, continue_later, (pid,))
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    def _trouble(self, seconds: float) -> None:
        now = time.time()
        self.troubled.append((now, now + seconds))

    def _live(self) -> dict[int, tuple[str, int]]:
        pids = {worker.pid for worker in self._workers}
        return {row.pid: (row.id, row.beats) for row in self._store.workers() if row.pid in pids}

    def _condemn(self) -> None:
        """Pause a worker and declare it dead meanwhile: its late outcomes must be refused, and it must begin anew."""
        try:
            for pid, (worker, beats) in self._live().items():
                self._pause_for(pid, _PAST_DEATH)
                if self._store.condemn(worker, beats):
                    self.condemned.add(worker)
                    self.did["declared dead alive"] += 1
                    return
        except StoreUnavailable:
            return

    def _lose_claim(self) -> None:
        """Claim in the name of a live worker, as if the answer to its call had been lost."""
        try:
            for worker, _ in self._live().values():
                claim = self._store.claim([jobs.QUEUE], 1, 0, worker, 0)
                if claim.jobs:
                    self.ghosts += [job.id for job in claim.jobs]
                    self.did["lost claim"] += 1
                    return
        except StoreUnavailable:
            return

    def finish(self) -> None:
        """Let all that is paused go on."""
        for timer in self._timers:
            timer.join()
        assert os.getpid() not in {worker.pid for worker in self._workers}
