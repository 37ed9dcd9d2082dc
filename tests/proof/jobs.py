"""The jobs of the random-kill run. Each tells the ledger when it begins and when it has come to its end."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from packhorse import Queue, Retry, Snooze
from packhorse._current import running
from packhorse.errors import BatchFailed, EnqueueUnknown, StoreUnavailable

from . import ledger

QUEUE = "proof"
CHILDREN = 2
T = TypeVar("T")
#: No outage of the run lasts so long (seconds).
_PATIENCE = 60.0
_NAMES = uuid.UUID("8b9a1f5c-6c84-4e0e-9d9e-8f6f3a9e0b11")


@lru_cache(maxsize=1)
def writer() -> ledger.Writer:
    return ledger.Writer(os.environ[ledger.VARIABLE])


@contextmanager
def on_record(names: Sequence[str] = ()) -> Iterator[None]:
    run = running()
    assert run is not None
    writer().start(run.job.id, run.job.token, run.job.fence, names)
    try:
        yield
    except BaseException:
        writer().broken(run.job.id, run.job.token)
        raise
    writer().end(run.job.id, run.job.token)


def surely(enqueue: Callable[[], T], troubles: Counter[str] | None = None) -> T:
    """Enqueue until the store has confirmed it; the ids are the same each time."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return enqueue()
        except (StoreUnavailable, BatchFailed) as error:
            cause = error.__cause__ if isinstance(error, BatchFailed) else error
            if not isinstance(cause, StoreUnavailable) or time.monotonic() > give_up:
                raise
            if troubles is not None:
                troubles["unknown" if isinstance(cause, EnqueueUnknown) else "unavailable"] += 1


def nothing() -> None:
    with on_record():
        pass


def short(milliseconds: float) -> float:
    with on_record():
        time.sleep(milliseconds / 1000)
    return milliseconds


def long() -> str:
    with on_record():
        time.sleep(0.2)
    return "long"


def retrying(failures: int) -> int:
    """Fail so many times first."""
    run = running()
    assert run is not None
    with on_record():
        time.sleep(0.002)
    if run.job.failures < failures:
        raise ValueError(f"failure {run.job.failures + 1} of {failures}")
    return failures


def snoozing(times: int) -> int | Snooze | Retry:
    run = running()
    assert run is not None
    with on_record():
        time.sleep(0.001)
    return Snooze(0.05, "not yet") if run.job.snoozes < times else times


def once() -> None:
    """Must not run twice: enqueued with ``on_crash="fail"``."""
    with on_record():
        time.sleep(0.01)


def parent() -> list[str]:
    """Enqueue children, under the same ids however often this runs."""
    run = running()
    assert run is not None
    with on_record():
        ids = [str(uuid.uuid5(_NAMES, f"{run.job.id} {n}")) for n in range(CHILDREN)]
        for each in ids:
            writer().intend(each, "nothing")
            queue = Queue(QUEUE).using(id=each)
            surely(lambda: queue.enqueue(nothing))  # noqa: B023 - called at once
            writer().acked(each)
    return ids
