"""Taking back the jobs of dead workers: who is dead, and what becomes of their jobs. No I/O here.

A worker is dead when the lock on its host says so, or when its beat count has not changed over six beats of the
observer's own, each at least four seconds (monotonic) after the one before. So no wall clock is compared with another,
and an observer that was itself paused, or that could not reach the store, never blames the others.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from . import _failure, _outcome
from ._record import Orphan, Verdict, WorkerRecord

BEATS = 6
SPACING = 4.0


class Observer:
    """Watches the beats of the other workers."""

    def __init__(self) -> None:
        """Know nobody."""
        self._seen: dict[str, tuple[int, int]] = {}
        self._last = float("-inf")

    def clear(self) -> None:
        """Forget everything: the store had an error, so what was seen before proves nothing."""
        self._seen.clear()
        self._last = float("-inf")

    def beat(self, others: Iterable[WorkerRecord], monotonic: float) -> list[WorkerRecord]:
        """Note one good beat of my own and what it saw; return the workers that count as dead now."""
        others = list(others)
        if monotonic - self._last < SPACING:
            return []
        self._last = monotonic
        seen: dict[str, tuple[int, int]] = {}
        for worker in others:
            beats, unchanged = self._seen.get(worker.id, (-1, 0))
            seen[worker.id] = (worker.beats, unchanged + 1 if worker.beats == beats else 0)
        self._seen = seen
        return [worker for worker in others if seen[worker.id][1] >= BEATS]


def decide(orphan: Orphan, host: str, rng: random.Random | None = None) -> Verdict:
    """Return what becomes of a job whose worker is gone; ``host`` is where we are."""
    if not orphan.started:
        return _unknown(orphan)
    if orphan.host != host:
        where = f"worker on {orphan.host}" if orphan.host else "worker that had it"
        return _outcome.lost(orphan, f"the {where} is gone or unreachable", started=True)
    what = f"the worker process died on {host}"
    return _outcome.crashed(orphan, _failure.plain("WorkerDied", what, code="E211"), what, rng=rng)


def _unknown(orphan: Orphan) -> Verdict:
    """Nobody was told that it had started, which is told 50 ms later: it may have run or not.

    So it counts, and has an attempt of its own that says so; and what must not run twice is not run again.
    """
    if orphan.crash_fails:
        return _outcome.lost(orphan, "its worker died, and it may have started", started=True)
    return _outcome.lost(orphan, "its worker died before it was known to have started", started=False)._replace(
        outcome="lost"
    )
