"""Who enqueues: ``python -m tests.proof.producing URL DIRECTORY SEED``, a process that may be killed like any other.

It reads lines of kinds (``short short parent``), enqueues these jobs, alone or as one batch, and answers each line with how
often the store was away or left it in doubt meanwhile. What it is not sure of it enqueues again, under the same ids.
"""

from __future__ import annotations

import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from packhorse import Backoff, Queue

from . import jobs, ledger
from .jobs import surely

#: kind → how many of a thousand
MIX = {"nothing": 410, "short": 390, "long": 40, "retrying": 50, "snoozing": 40, "once": 50, "parent": 20}


def plan(count: int, rng: random.Random) -> list[str]:
    """Return the kinds of the jobs, shuffled; what parents enqueue counts as theirs."""
    kinds = rng.choices(list(MIX), list(MIX.values()), k=count)
    while kinds.count("parent") * jobs.CHILDREN + len(kinds) > count:
        kinds.remove("parent" if kinds[-1] == "parent" else kinds[-1])
    return kinds


class Enqueuer:
    """Enqueues jobs of given kinds, and tells the ledger before and after."""

    def __init__(self, store: str, directory: str, seed: int) -> None:
        self.troubles: Counter[str] = Counter()
        self._queue = Queue(jobs.QUEUE, store=store)
        self._writer = ledger.Writer(directory)
        self._rng = random.Random(seed)

    def enqueue(self, kinds: list[str]) -> None:
        drafts = [self._draft(kind) for kind in kinds]
        if len(drafts) == 1:
            ((queue, fn, args),) = drafts
            stored = [surely(lambda: queue.enqueue(fn, *args), self.troubles)]
        else:
            batch = [queue.draft(fn, *args) for queue, fn, args in drafts]
            stored = surely(lambda: self._queue.enqueue_many(batch), self.troubles)
        self._writer.acked(*(job.id for job in stored))

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


def main(store: str, directory: str, seed: str) -> None:
    enqueuer = Enqueuer(store, directory, int(seed))
    for line in sys.stdin:
        enqueuer.troubles.clear()
        enqueuer.enqueue(line.split())
        print(enqueuer.troubles["unavailable"], enqueuer.troubles["unknown"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
