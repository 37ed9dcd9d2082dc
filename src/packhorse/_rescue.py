"""Taking back the jobs of dead workers: who is dead, and what becomes of their jobs. No I/O here.

A worker is dead when the lock on its host says so, or when its beat count has not changed over six beats of the
observer's own, each at least four seconds (monotonic) after the one before. So no wall clock is compared with another,
and an observer that was itself paused, or that could not reach the store, never blames the others.

Dead to the store may still mean alive: cut off from it, and busy. Most jobs are begun anew all the same. One that reserves
something is not: its worker stops it by itself when it has had no answer to a beat for ``exclusive_patience``, and nobody
takes it back before that time has surely passed, unless a lock has proved that the worker is gone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping

from . import _failure, _outcome
from ._record import Orphan, Verdict, WorkerRecord

BEATS = 6
SPACING = 4.0
#: Seconds without an answer to a beat after which a worker stops what reserves something, and in which it must have ended.
EXCLUSIVE_PATIENCE = 100.0
KILL = 5.0


def further_beats(patience: float) -> int:
    """Return how many more beats of the rescuer a job that reserves something waits, after its worker was found dead.

    The beats that found it dead and these take longer than it needs to stop: (6 + 22) × 4 s for 100 s + 5 s. One is to spare,
    since the first of them may come as soon as the job was seen.
    """
    return max(0, math.ceil((patience + KILL) / SPACING - BEATS) + 1)


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


class Vigil:
    """Waits until jobs that reserve something have surely stopped, though their workers' deaths were not proved."""

    def __init__(self) -> None:
        """Wait for none."""
        self._since: dict[tuple[str, str], int] = {}

    def ripe(self, orphans: Iterable[Orphan], beats: int, patience: float, of: Mapping[str, float]) -> list[Orphan]:
        """Return those that can be taken back now.

        ``beats`` are my own good ones so far, each counted only if it came at least four seconds after the one before;
        ``patience`` is mine, ``of`` that of other workers by id, where it is known: the longer one holds.
        """
        orphans = list(orphans)
        waiting = {(each.job, each.token): each for each in orphans if each.reserves and not each.proved}
        self._since = {run: self._since.get(run, beats) for run in waiting}
        due = {
            run
            for run, orphan in waiting.items()
            if beats - self._since[run] >= further_beats(max(patience, of.get(orphan.worker, 0.0)))
        }
        return [each for each in orphans if (each.job, each.token) in due or (each.job, each.token) not in waiting]

    @property
    def waits(self) -> int:
        """Return how many it waits for, as of the last look."""
        return len(self._since)


class Spaced:
    """Counts my own good beats, but those that follow another one too soon."""

    def __init__(self) -> None:
        """None so far."""
        self.count = 0
        self._last = float("-inf")

    def beat(self, monotonic: float) -> None:
        """Note one."""
        if monotonic - self._last >= SPACING:
            self._last = monotonic
            self.count += 1


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
