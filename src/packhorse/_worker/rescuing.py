"""Taking back the jobs of workers that are dead."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from .. import _rescue
from .._record import BATCH, FINAL, Orphan, State, Verdict, WorkerRecord
from .._store import Store
from . import mailbox as m
from .lock import forget, proves_alive, proves_dead
from .shapes import claimed_again

_log = logging.getLogger("packhorse.store")


#: Hears of a job (id, task) and the state it was put in.
Ended = Callable[[str, str, State], None]


def _unheard(job: str, task: str, state: State) -> None:
    """Do nothing."""


class Rescuing:
    """Looks for orphans. Those that reserve something wait until they have surely stopped."""

    def __init__(
        self, host: str, main: m.Mailbox, beats: _rescue.Spaced, patience: float, ended: Ended = _unheard
    ) -> None:
        """``beats`` are counted by the beat thread; ``patience`` is the worker's ``exclusive_patience``; ``ended`` hears what
        becomes of each job."""
        self._ended = ended
        self._host = host
        self._main = main
        self._beats = beats
        self._patience = patience
        self._vigil = _rescue.Vigil()
        self._with_the_living = 0

    @property
    def waits(self) -> bool:
        """Tell whether there are orphans that must wait."""
        return self._vigil.waits > 0 or self._with_the_living > 0

    def rescue(self, store: Store) -> bool:
        """Decide what becomes of every orphan whose time has come, and settle it; tell whether there were any."""
        # Those that must wait are found each time, and must not keep others from being found.
        orphans = self._ripe(store, store.orphans(BATCH + self._vigil.waits + self._with_the_living))
        if not orphans:
            return False
        verdicts = [_rescue.decide(orphan, self._host) for orphan in orphans]
        refused = {odd.job for odd in store.settle(None, verdicts)}
        for orphan, verdict in zip(orphans, verdicts, strict=True):
            if orphan.id not in refused:
                _log.warning("job %s of the dead worker %s: %s", orphan.id, orphan.worker, verdict.reason)
                self._ended(orphan.id, orphan.task, verdict.state)
                if verdict.state in FINAL:
                    self._tell_final(store, orphan, verdict)
        return True

    def _ripe(self, store: Store, orphans: list[Orphan]) -> list[Orphan]:
        if not any(not orphan.proved and orphan.host is not None for orphan in orphans):
            self._with_the_living = 0
            return self._vigil.ripe(orphans, self._beats.count, self._patience, {})
        workers = {worker.id: worker for worker in store.workers(dead=True)}
        before = self._vigil.waits
        ripe = self._vigil.ripe(
            self._proved(orphans, workers), self._beats.count, self._patience, _patience_of(workers)
        )
        if self._vigil.waits > before:
            _log.warning(
                "%d jobs that reserve something were with workers that are not surely dead; they are taken back once those "
                "must have stopped them (about %.0f s)",
                self._vigil.waits,
                _rescue.further_beats(self._patience) * 5.0,
            )
        return self._without_the_living(store, ripe, workers)

    def _proved(self, orphans: list[Orphan], workers: Mapping[str, WorkerRecord]) -> list[Orphan]:
        """Note who has died since it was declared dead without a proof."""
        died = {orphan.worker for orphan in orphans if not orphan.proved and orphan.worker in workers}
        died = {worker for worker in died if proves_dead(workers[worker], self._host)}
        for worker in died:
            forget(workers[worker].lock_path)
        return [orphan._replace(proved=True) if orphan.worker in died else orphan for orphan in orphans]

    def _without_the_living(
        self, store: Store, orphans: list[Orphan], workers: Mapping[str, WorkerRecord]
    ) -> list[Orphan]:
        """Leave out what holds something and is with a worker of this host that lives: paused, it cannot stop its jobs."""
        unsure = {orphan.worker for orphan in orphans if not orphan.proved and orphan.worker in workers}
        alive = {worker for worker in unsure if proves_alive(workers[worker], self._host)}
        theirs = store.get([orphan.job for orphan in orphans if orphan.worker in alive]) if alive else []
        held = {job.id for job in theirs if job.holds is not None}
        if len(held) > self._with_the_living:
            _log.warning(
                "%d jobs that hold something are with workers of this host that do not beat and are not dead (%s): taken back "
                "when they answer or end",
                len(held),
                ", ".join(sorted(f"pid {workers[worker].pid}" for worker in alive)),
            )
        self._with_the_living = len(held)
        return [orphan for orphan in orphans if orphan.job not in held]

    def _tell_final(self, store: Store, orphan: Orphan, verdict: Verdict) -> None:
        found = store.get([orphan.id])
        if found:
            self._main.put(m.Final(claimed_again(found[0]), verdict))


def _patience_of(workers: Mapping[str, WorkerRecord]) -> dict[str, float]:
    """Return what each worker has said of its own patience."""
    found = {}
    for worker in workers.values():
        told = json.loads(worker.info or "{}").get("exclusive_patience")
        if isinstance(told, (int, float)):
            found[worker.id] = float(told)
    return found
