"""Moving the jobs of one store to another: nothing is lost, nothing runs twice, and it can be interrupted anywhere.

Both stores are closed first, each naming the other; then what runs is waited for, the jobs are copied and compared, and the
target is opened. What has been done is read from the stores alone, so the same command run again goes on. Knows only the
protocol.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from . import _closed, _owning, _rescue, _tally
from ._closed import Closed
from ._record import STATES, JobRecord, QueueRecord, State, WorkerRecord
from ._store import BATCH, JobFilter, Store
from ._worker.lock import boot_id, forget, host_name, proves_dead
from .errors import MoveRefused

#: Of a namespace whose emptiness has not been seen since it was closed.
_UNSEEN = "?"
#: While running jobs are waited for, they are looked at so often (seconds) if nothing hints before.
_LOOK_EVERY = 0.5
#: Jobs may be changed by people while they are copied: so often is copied again what differs.
_ROUNDS = 5


class Disturbed(MoveRefused):
    """Somebody else is at these stores: this run has stopped, and what is next is up to them."""


class Watch(Protocol):
    """Who shows people how far it is."""

    def step(self, what: str, total: int | None = None) -> None:
        """A step begins; ``total`` is its number of jobs, if it goes by them."""

    def went(self, jobs: int) -> None:
        """So many jobs of this step are done."""

    def waits(self, running: int, some: Sequence[JobRecord], workers: Sequence[WorkerRecord]) -> None:
        """Jobs still run: how many, some of them, and who may have them."""


class Plan(NamedTuple):
    """What a move would do."""

    stage: str  #: "new", "resumed" or "moved": what an earlier run has left
    counts: Mapping[str, Mapping[State, int]]  #: of FROM, by queue
    there: int  #: jobs that are in TO already
    paused: tuple[str, ...]
    ahead: float = 0.0  #: seconds by which the clock of TO is ahead of FROM's

    @property
    def jobs(self) -> int:
        """Return how many jobs there are to be moved."""
        return sum(sum(of_queue.values()) for of_queue in self.counts.values())

    @property
    def states(self) -> Mapping[State, int]:
        """Return the counts by state."""
        return _by_state(self.counts.values())


class Moved(NamedTuple):
    """What a move has done."""

    jobs: int
    states: Mapping[State, int]
    copied: int  #: by this run
    released: int  #: running jobs of dead workers that were taken back
    blocks: tuple[str, ...]  #: SHA-256 per 10,000 jobs, the same in both stores
    already: bool = False  #: it was done before: nothing happened


class Move:
    """One run of the command."""

    def __init__(
        self, source: Store, target: Store, watch: Watch, *, timeout: float | None = None, release: bool = False
    ) -> None:
        """``timeout``: seconds that running jobs are waited for; ``release``: take back those of workers that are dead."""
        self._source = source
        self._target = target
        self._watch = watch
        self._timeout = timeout
        self._release = release
        self._run = os.urandom(4).hex()
        self._copied = 0
        self._released = 0

    # -- what there is --------------------------------------------------------------------------------------------
    def plan(self) -> Plan:
        """Look at both stores and change nothing. Raises ``MoveRefused`` if it cannot be done."""
        if _identity(self._source) == _identity(self._target):
            raise MoveRefused(f"FROM and TO are the same store, {_place(self._source)}; nothing was done.")
        stage = self._stage()
        counts = {queue.name: _seen(queue.counts) for queue in self._source.queues()}
        paused = tuple(queue.name for queue in self._source.queues() if queue.paused_at is not None)
        ahead = (self._target.now() - self._source.now()) / 1_000_000
        return Plan(stage, counts, _size(self._target), paused, ahead)

    def _stage(self) -> str:
        """Say what an earlier run has left, or refuse."""
        here, there = _state(self._source), _state(self._target)
        to, back = _identity(self._target), _identity(self._source)
        if here is not None and (here.how == "filling" or here.identity != to):
            raise _going_elsewhere(self._source, here)
        if there is None:
            if here is not None and here.how == "moved":
                return "moved"
            self._refuse_others_jobs()
            return "new" if here is None else "resumed"
        if there.identity.rstrip(_UNSEEN) != back or there.how == "moving":
            raise _not_to_be_filled(self._target, there)
        return "resumed" if there.how == "filling" and not there.identity.endswith(_UNSEEN) else "new"

    def _refuse_others_jobs(self) -> None:
        size = _size(self._target)
        if size:
            raise MoveRefused(
                f"TO has {size:,} {'job' if size == 1 else 'jobs'} of its own; nothing was moved.\n"
                f"  {_place(self._target)}\n"
                "  Move into an empty store, or into a namespace of its own: add ?namespace=NAME to TO."
            )

    # -- the steps ------------------------------------------------------------------------------------------------
    def run(self) -> Moved:
        """Do it, or go on with it. Raises ``MoveRefused``; whatever stops it, the same call goes on."""
        plan = self.plan()
        if plan.stage == "moved":
            return Moved(plan.jobs, plan.states, 0, 0, (), already=True)
        self._close()
        self._wait()
        self._switch_queues()
        _owning.carry(self._source, self._target)
        self._copy()
        blocks = self._compare()
        self._open()
        states = _by_state(queue.counts for queue in self._source.queues())
        return Moved(sum(states.values()), states, self._copied, self._released, blocks)

    def _close(self) -> None:
        self._watch.step("closing both stores")
        filling = Closed(_place(self._source), "filling", _identity(self._source), self._run)
        there = _state(self._target)
        if there is None or there.identity.endswith(_UNSEEN):
            # Closed first and looked at then, so that nobody puts a job in between. A run that dies here is told by the mark.
            self._target.freeze(filling._replace(identity=filling.identity + _UNSEEN).text)
            self._see_it_empty()
        self._target.freeze(filling.text)
        here = _state(self._source)
        if here is None or here.how != "moved":
            self._close_source("moving")

    def _close_source(self, how: _closed.How) -> None:
        self._source.freeze(Closed(_place(self._target), how, _identity(self._target)).text)

    def _go_on(self) -> None:
        """Stop before TO is changed if it is not mine alone any more, or if the jobs may run in FROM."""
        here, there = _state(self._source), _state(self._target)
        if here is None or here.how == "filling" or here.identity != _identity(self._target):
            raise Disturbed(
                f"FROM, {_place(self._source)}, was opened again meanwhile; this run has stopped, and TO stays closed.\n"
                "  Run the same command again to go on."
            )
        if there is None or there.run != self._run:
            raise Disturbed(
                f"Another run of this move is at work on TO, {_place(self._target)}, or has ended it; this one has stopped, and "
                "has left everything to that one.\n  packhorse db status tells how far it is."
            )

    def _see_it_empty(self) -> None:
        try:
            self._refuse_others_jobs()
        except MoveRefused:
            self._target.thaw()
            raise

    def _wait(self) -> None:
        """Wait until nothing runs any more in FROM."""
        give_up = None if self._timeout is None else monotonic() + self._timeout
        undertaker = _Undertaker(self._source)
        if self._running():
            self._watch.step("waiting for running jobs")
        while running := self._running():
            if self._release:
                self._released += undertaker.work()
            self._watch.waits(running, self._some_running(5), self._source.workers(dead=True))
            if give_up is not None and monotonic() >= give_up:
                raise self._too_long(running)
            self._source.wait(_LOOK_EVERY)

    def _running(self) -> int:
        return sum(queue.counts.get("running", 0) for queue in self._source.queues())

    def _some_running(self, number: int) -> list[JobRecord]:
        return self._source.find(JobFilter(states=("running",)), number).jobs

    def _too_long(self, running: int) -> MoveRefused:
        some = ", ".join(f"{job.id} ({job.task})" for job in self._some_running(5))
        return MoveRefused(
            f"{running:,} {'job runs' if running == 1 else 'jobs run'} still in FROM after {self._timeout:g} s, and nothing was "
            f"copied: {some}\n"
            "  FROM stays closed, and what runs goes on. Run the same command again to go on waiting; add --release if their "
            "workers are dead; cancel them (packhorse jobs cancel); or undo it:  packhorse move --reopen FROM"
        )

    def _switch_queues(self) -> None:
        """Pause there what is paused here, and only that; limits and steps of queues, too, go along."""
        self._go_on()
        settings, now = self._source.export_settings(), self._target.now()
        self._target.import_settings(settings)
        steps = dict(settings.steps)
        paused = {queue.name: queue for queue in self._source.queues() if _is_paused(queue, now)}
        for queue in self._target.queues():
            if queue.name not in steps:
                self._target.set_step(queue.name, None)
            if queue.paused_at is not None and queue.name not in paused:
                self._target.resume(queue.name)
        for name, queue in paused.items():
            self._target.pause(
                name, by=queue.paused_by or "", reason=queue.paused_reason or "", until=queue.paused_until
            )

    def _copy(self) -> None:
        """Copy what is not there yet, oldest first. What differs in spite of that is found by the comparison."""
        done, start = self._copied_before()
        self._watch.step("copying", _size(self._source))
        self._watch.went(done)
        for batch in _tally.parcels(self._source, start):
            self._go_on()
            self._target.import_jobs(batch)
            self._copied += len(batch)
            self._watch.went(done + self._copied)

    def _copied_before(self) -> tuple[int, int]:
        """Return how many jobs are there, and the number in FROM of the newest of them: the one with which a run ended."""
        newest = self._target.find(JobFilter(), 1).jobs
        same = self._source.get([newest[0].id]) if newest else []
        return (_size(self._target), same[0].seq) if same else (0, 0)

    def _compare(self) -> tuple[str, ...]:
        """Compare every job, and copy again what is not the same. Return the hashes once all is."""
        for _ in range(_ROUNDS):
            self._watch.step("comparing", _size(self._source))
            tally = _tally.compare(self._source, self._target, self._watch.went)
            if tally.same and self._counts_agree():
                return tally.blocks
            self._repair(tally)
        raise MoveRefused(
            f"FROM and TO still differ after {_ROUNDS} rounds: jobs of FROM are being changed all the time. Nothing was opened.\n"
            "  Stop what changes them (people, scripts), then run the same command again."
        )

    def _counts_agree(self) -> bool:
        here, there = ({q.name: seen for q in s.queues() if (seen := _seen(q.counts))} for s in self._both())
        return here == there

    def _both(self) -> Iterable[Store]:
        return (self._source, self._target)

    def _repair(self, tally: _tally.Tally) -> None:
        for start in range(0, len(tally.differing), BATCH):
            # Only these: between the two reads one may have been deleted.
            wanted = tally.differing[start : start + BATCH]
            found = [each for seq in wanted for each in self._source.export(seq - 1, 1) if each.job.seq == seq]
            self._go_on()
            self._target.import_jobs(found)
            self._copied += len(found)
        for start in range(0, len(tally.extra), BATCH):
            # Once they were in FROM, when an earlier run copied them.
            self._go_on()
            self._target.delete(JobFilter(ids=tally.extra[start : start + BATCH]))

    def _open(self) -> None:
        """From here on FROM is not opened again without asking: what TO may have run is not known to it."""
        self._watch.step("opening TO")
        self._go_on()
        self._close_source("moved")
        if (
            self._running() or not self._counts_agree()
        ):  # since the comparison, FROM was open for a moment, or people changed it
            self._close_source("moving")
            raise MoveRefused(
                "Jobs of FROM were changed in the last moment. Nothing was opened; run the same command again to go on."
            )
        self._go_on()
        self._target.thaw()


class _Undertaker:
    """Declares workers dead as any worker would (their lock is free, this host has started anew since, their beats have
    stopped), and takes their jobs back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._observer = _rescue.Observer()

    def work(self) -> int:
        """Look once; return how many jobs were taken back."""
        for worker in self._dead(self._store.workers()):
            if self._store.condemn(worker.id, worker.beats) and worker.host == host_name():
                forget(worker.lock_path)
        orphans = self._store.orphans()
        verdicts = [_rescue.decide(orphan, host_name()) for orphan in orphans]
        return len(orphans) - len(self._store.settle(None, verdicts))

    def _dead(self, workers: Sequence[WorkerRecord]) -> list[WorkerRecord]:
        host, boot = host_name(), boot_id()
        at_once = [each for each in workers if proves_dead(each, host) or (each.host == host and each.boot_id != boot)]
        return at_once + [each for each in self._observer.beat(workers, monotonic()) if each not in at_once]


def reopen(store: Store, *, force: bool = False) -> Closed | None:
    """Open a store that a move has closed; return what it had been closed for, None if it was open.

    Raises ``MoveRefused`` unless forced, when its jobs may run, or have run, elsewhere.
    """
    closed = _state(store)
    if closed is None:
        return None
    unseen = closed.how == "filling" and closed.identity.endswith(_UNSEEN)  # closed, and nothing was copied there yet
    if closed.how != "moving" and not unseen and not force:
        raise _dangerous(store, closed)
    store.thaw()
    return closed


def _dangerous(store: Store, closed: Closed) -> MoveRefused:
    if closed.how == "filling":
        return MoveRefused(
            f"{_place(store)} was not opened: it is being filled with the jobs of {closed.url}, which are copies and would run a "
            "second time.\n  Finish that move by running its command again. If FROM was reopened, delete the copies first. "
            "--force opens it as it is."
        )
    return MoveRefused(
        f"{_place(store)} was not opened: its jobs have moved to {closed.url}, which has been open since and may have run them.\n"
        f"  To have them back:  packhorse move {closed.url} {_place(store)}\n"
        "  --force opens it as it is: every job that had not ended may then run twice."
    )


# -- stores -----------------------------------------------------------------------------------------------------------
def _identity(store: Store) -> str:
    """Return what tells a namespace from every other one, however its URL is written."""
    return f"{store.instance}/{store.namespace}"


def _place(store: Store) -> str:
    """Return the URL of a namespace, secrets masked."""
    if store.namespace == "default" or "namespace=" in store.url:
        return store.url
    return f"{store.url}{'&' if '?' in store.url else '?'}namespace={store.namespace}"


def _state(store: Store) -> Closed | None:
    text = store.frozen()
    return None if text is None else _closed.read(text)


def _is_paused(queue: QueueRecord, now: int) -> bool:
    return queue.paused_at is not None and (queue.paused_until is None or queue.paused_until > now)


def _size(store: Store) -> int:
    return sum(sum(queue.counts.values()) for queue in store.queues())


def _seen(counts: Mapping[State, int]) -> dict[State, int]:
    return {state: count for state, count in counts.items() if count}


def _by_state(counts: Iterable[Mapping[State, int]]) -> dict[State, int]:
    total: Counter[State] = Counter()
    for each in counts:
        total.update(each)
    return {state: total[state] for state in STATES if total[state]}


def _going_elsewhere(store: Store, closed: Closed) -> MoveRefused:
    if closed.how == "filling":
        return MoveRefused(
            f"FROM, {_place(store)}, is itself being filled with the jobs of {closed.url}; nothing was done. Finish that move."
        )
    verb = "are moving" if closed.how == "moving" else "have moved"
    return MoveRefused(
        f"FROM, {_place(store)}, is closed: its jobs {verb} to another store, {closed.url}; nothing was done.\n"
        "  Go on with that move, or undo it:  packhorse move --reopen FROM"
    )


def _not_to_be_filled(store: Store, closed: Closed) -> MoveRefused:
    verb = {"filling": "is being filled with the jobs of", "moving": "is closed: its jobs are moving to"}.get(
        closed.how, "is closed: its jobs have moved to"
    )
    return MoveRefused(f"TO, {_place(store)}, {verb} {closed.url}; nothing was done. Move into another store.")
