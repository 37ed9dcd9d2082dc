"""Who enqueues: ``python -m tests.proof.producing URL DIRECTORY SEED MAKER``, a process that may be killed like any other.

It reads lines of kinds (``short short parent``), enqueues these jobs, alone or as one batch, and answers each line with how
often the store was away or left it in doubt meanwhile. What it is not sure of it enqueues again, under the same ids.
"""

from __future__ import annotations

import random
import sys
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from packhorse import Backoff, Queue

from . import jobs, ledger
from .jobs import surely

#: What a maker gives: the queue with the job's options, its function and arguments.
Made = tuple[Queue, Callable[..., Any], tuple[Any, ...]]
#: It is given the queue (with the job's id), the kind, a generator, and ids that are stored for sure, the newest last.
Maker = Callable[[Queue, str, random.Random, Sequence[str]], Made]

#: kind → how many of a thousand
MIX = {"nothing": 410, "short": 390, "long": 40, "retrying": 50, "snoozing": 40, "once": 50, "parent": 20}


def plan(count: int, rng: random.Random) -> list[str]:
    """Return the kinds of the jobs, shuffled; what parents enqueue counts as theirs."""
    kinds = rng.choices(list(MIX), list(MIX.values()), k=count)
    while kinds.count("parent") * jobs.CHILDREN + len(kinds) > count:
        kinds.remove("parent" if kinds[-1] == "parent" else kinds[-1])
    return kinds


def made(queue: Queue, kind: str, rng: random.Random, stored: Sequence[str]) -> Made:
    """Return a job of the kill run."""
    if kind == "short":
        return queue, jobs.short, (round(rng.uniform(1, 20), 1),)
    if kind == "retrying":
        return queue.using(retry=Backoff(5, base=0.05)), jobs.retrying, (rng.randint(1, 2),)
    if kind == "snoozing":
        return queue, jobs.snoozing, (rng.randint(1, 2),)
    if kind == "once":
        return queue.using(on_crash="fail"), jobs.once, ()
    return queue, getattr(jobs, kind), ()


class Enqueuer:
    """Enqueues jobs of given kinds, and tells the ledger before and after."""

    def __init__(self, store: str, directory: str, seed: int, maker: Maker = made) -> None:
        self.troubles: Counter[str] = Counter()
        self._queue = Queue(jobs.QUEUE, store=store)
        self._writer = ledger.Writer(directory)
        self._rng = random.Random(seed)
        self._maker = maker
        self._stored: deque[str] = deque(maxlen=50)

    def enqueue(self, kinds: list[str]) -> list[str]:
        """Enqueue one of each, alone or as one batch; return their ids."""
        drafts = [self._draft(kind) for kind in kinds]
        if len(drafts) == 1:
            ((queue, fn, args),) = drafts
            stored = [surely(lambda: queue.enqueue(fn, *args), self.troubles)]
        else:
            batch = [queue.draft(fn, *args) for queue, fn, args in drafts]
            stored = surely(lambda: self._queue.enqueue_many(batch), self.troubles)
        ids = [job.id for job in stored]
        self._writer.acked(*ids)
        self._stored.extend(ids)
        return ids

    def _draft(self, kind: str) -> Made:
        job = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self._writer.intend(job, kind)
        return self._maker(self._queue.using(id=job), kind, self._rng, self._stored)


def main(store: str, directory: str, seed: str, maker: str) -> None:
    """Serve lines; ``maker`` is a module with a function ``made``."""
    enqueuer = Enqueuer(store, directory, int(seed), import_module(maker).made)
    for line in sys.stdin:
        enqueuer.troubles.clear()
        enqueuer.enqueue(line.split())
        print(enqueuer.troubles["unavailable"], enqueuer.troubles["unknown"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
