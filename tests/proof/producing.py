"""Producers: threads that enqueue the jobs of the run, as far as the killing has come."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from typing import Any

from packhorse import Backoff, Queue
from packhorse.errors import StoreUnavailable

from . import jobs, ledger

#: kind → how many of a thousand
MIX = {"nothing": 410, "short": 390, "long": 40, "retrying": 50, "snoozing": 40, "once": 50, "parent": 20}
_BATCH = 20


def plan(count: int, rng: random.Random) -> list[str]:
    """Return the kinds of the jobs, shuffled; what parents enqueue counts as theirs."""
    kinds = rng.choices(list(MIX), list(MIX.values()), k=count)
    while kinds.count("parent") * jobs.CHILDREN + len(kinds) > count:
        kinds.remove("parent" if kinds[-1] == "parent" else kinds[-1])
    return kinds


class Producer(threading.Thread):
    """Enqueues one by one and in batches; what it is told stays within what it may."""

    def __init__(self, store: str, kinds: list[str], directory: str, allowed: Callable[[], float], seed: int) -> None:
        super().__init__(name="producer", daemon=True)
        self.done = 0
        self.unknown = 0  #: enqueues whose answer was lost
        self._queue = Queue(jobs.QUEUE, store=store)
        self._kinds = kinds
        self._writer = ledger.Writer(directory)
        self._allowed = allowed
        self._rng = random.Random(seed)
        self._pause = threading.Event()

    def run(self) -> None:
        while self.done < len(self._kinds):
            may = int(len(self._kinds) * self._allowed()) - self.done
            if may <= 0:
                self._pause.wait(0.02)
                continue
            part = self._kinds[self.done : self.done + min(may, self._rng.randint(1, _BATCH))]
            self._enqueue(part)
            self.done += len(part)

    def _enqueue(self, kinds: list[str]) -> None:
        drafts = [self._draft(kind) for kind in kinds]
        try:
            if len(drafts) == 1:
                stored = [self._one(*drafts[0])]
            else:
                stored = [
                    job.id for job in self._queue.enqueue_many(queue.draft(fn, *args) for queue, fn, args in drafts)
                ]
        except StoreUnavailable:
            self.unknown += len(kinds)
            return
        self._writer.acked(*stored)

    @staticmethod
    def _one(queue: Queue, fn: Callable[..., Any], args: tuple[Any, ...]) -> str:
        return queue.enqueue(fn, *args).id

    def _draft(self, kind: str) -> tuple[Queue, Callable[..., Any], tuple[Any, ...]]:
        job = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self._writer.intend(job, kind)
        queue = self._queue.using(id=job)
        if kind == "short":
            return queue, jobs.short, (round(self._rng.uniform(1, 20), 1),)
        if kind == "retrying":
            failures = self._rng.randint(1, 2)
            return queue.using(retry=Backoff(5, base=0.05)), jobs.retrying, (failures,)
        if kind == "snoozing":
            return queue, jobs.snoozing, (self._rng.randint(1, 2),)
        if kind == "once":
            return queue.using(on_crash="fail"), jobs.once, ()
        return queue, getattr(jobs, kind), ()
