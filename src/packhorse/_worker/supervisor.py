"""The main thread of a worker: children, permits, timers, signals. It never touches the store and runs no user code."""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Callable
from threading import Thread
from time import monotonic, monotonic_ns
from typing import Any

from .. import _outcome
from .._record import Claimed
from . import mailbox as m
from .access import Access
from .beat_thread import BeatThread
from .burial import bury_dead, dump_all
from .child_process import ChildProcess
from .commanding import Commanding, processes_of
from .config import Connect, Place, WorkerConfig
from .crew import Crew
from .dispatch import Dispatch
from .ending import Ending, bury_all
from .errands import Errands
from .exclusive import Exclusive
from .hearing import Hearing
from .held import Held
from .identity import Identity
from .opening import Opening
from .relaying import Relaying
from .signals import Signals
from .store_thread import StoreThread
from .timers import Timers

_log = logging.getLogger("packhorse.worker")

TICK = 0.05


class Supervisor:
    """Runs a worker to its end; ``run`` returns the exit code."""

    def __init__(
        self,
        config: WorkerConfig,
        connect: Connect,
        prepare: Callable[[], None],
        version: str,
        say: Callable[[str], None],
    ) -> None:
        """``connect`` turns the App's plain part into the place of its store; ``prepare`` saves time before that; ``say`` prints
        a line for people."""
        self.config = config
        self.connect = connect
        self.say = say
        self._preparing = Thread(target=prepare, name="packhorse-prepare")
        self.turns = 0
        self.mailbox = m.Mailbox()
        self.identity = Identity(config, version)
        self.held = Held()
        self.dispatch = Dispatch(self)
        self.hearing = Hearing(self)
        self.timers = Timers(self)
        self.exclusive = Exclusive(self, config.exclusive_patience)
        self.crew = Crew(
            processes_of(config), self._child_settings, max_jobs=config.max_jobs, max_memory=config.max_memory
        )
        self.commanding = Commanding(self)
        self.access: Access | None = None
        self.store: StoreThread | None = None
        self.plain: dict[str, Any] | None = config.plain
        self.beat: BeatThread | None = None
        self.relaying = Relaying()
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self.at: Place | None = None
        self.place: dict[str, str] | None = None  #: the same, as the children are told
        self.opened = False
        self._nothing = -1  #: so many of the next had been settled when a claim found nothing
        self.told = 0  #: messages to the store thread about ended runs and side lines
        self._beaten = False  #: a beat has told which side lines wait
        self.opening = Opening(self)
        self.ending = Ending(self)
        self._exit: int | None = None
        self.reborn = False
        self._unknown: set[str] = set()
        self.errands = Errands(self)
        self._next_tick = 0.0

    # -- the loop -----------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Run until told to stop, or with ``burst`` until nothing is left; return the exit code."""
        self._signals.take_over()
        self._selector.register(self.mailbox.fd, selectors.EVENT_READ, self._read_mail)
        self._selector.register(self._signals.fd, selectors.EVENT_READ, self._read_signals)
        self.crew.adopt()
        self._start_children()
        try:
            self._preparing.start()  # not before: it would hold up the start of the first child
            while self._exit is None:
                for key, mask in self._selector.select(self._pause()):
                    key.data(mask) if callable(key.data) else self._child_event(key.data, key.fd, mask)
                self.turns += 1
                self._turn()
            return self._exit
        finally:
            self._clean_up()

    def _pause(self) -> float:
        now = monotonic()
        due = [now + 1.0]
        if any(child.jobs for child in self.crew.children.values()) or self.ending.begun:
            due.append(self._next_tick)
        if self.crew.next_start is not None:
            due.append(self.crew.next_start)
        return max(0.0, min(due) - now)

    def _turn(self) -> None:
        now = monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self.timers.tick(monotonic_ns())
            self.exclusive.look(monotonic_ns())
            self.opening.look(now)
            self._recycle()
        elif self.config.max_jobs is not None:
            self._recycle()  # at once: a slot must not wait a tick for its next process
        self._start_children()
        self._watch_backlogs()
        if self.ending.begun:
            self.ending.further(now)
        elif self.opened and not self.reborn:
            self.dispatch.retry()
            self.dispatch.ask()
            self._end_burst()

    # -- signals ------------------------------------------------------------------------------------------------------
    def _read_signals(self, mask: int) -> None:
        came = self._signals.came()
        bury_dead(self)
        for number in came:
            if number == signal.SIGQUIT:
                dump_all(self.crew)
                self._exit = 70
            else:
                self._stop()

    def _stop(self) -> None:
        """The first signal begins the stop, the second one forces it."""
        if self.ending.begun:
            self.ending.force()
        self.ending.begin()

    def leave(self, code: int) -> None:
        """End the loop with this exit code."""
        self._exit = code

    def nap(self, seconds: float) -> None:
        """Wait for whatever happens, at most so long."""
        self._selector.select(seconds)

    def _end_burst(self) -> None:
        idle = self._nothing == self.told and self.outstanding() == 0
        if self.config.burst and idle and self._beaten and not self.errands.looking:
            self.ending.begin()

    def _clean_up(self) -> None:
        self._signals.let_go()
        if self.beat is not None:
            self.beat.stop()
        self.relaying.end()
        self.crew.stopping = True
        bury_all(self, patient=self._exit == 0)
        threads = [thread for thread in (self.beat, self.store) if thread is not None]
        for thread in threads:
            thread.join(timeout=2.0 if self._exit == 0 or thread is self.beat else 0.0)
        self.identity.release(signed_off=self.ending.signed_off or not self.opened)
        self.crew.release()
        self._selector.close()
        if not any(thread.is_alive() for thread in threads):
            self.mailbox.close()
        self._signals.restore()
        if self._preparing.ident is not None:
            self._preparing.join()  # what it imports cannot be imported any more when the interpreter ends

    # -- children -----------------------------------------------------------------------------------------------------
    def _child_settings(self) -> dict[str, Any]:
        config = self.config
        return {
            "supervisor": os.getpid(),
            "app": list(config.app),
            "plain": config.plain,
            "sys_path": list(config.sys_path),
            "threads": config.threads,
            "coroutines": config.coroutines,
            "log_level": config.log_level,
            "log_format": config.log_format,
            "log_file": config.log_file,
        }

    def _start_children(self) -> None:
        for child in self.crew.replenish():
            self._selector.register(child.results, selectors.EVENT_READ, child)
            if child.backlog:
                self._selector.register(child.payload, selectors.EVENT_WRITE, child)
            self.tell_place(child)

    def _child_event(self, child: ChildProcess, fd: int, mask: int) -> None:
        if self.crew.children.get(child.pid) is not child:
            return  # an event of this turn came before, and buried it
        if fd == child.payload:
            child.flush()
            self.watch_backlog(child)
        else:
            self._hear(child)

    def watch_backlog(self, child: ChildProcess) -> None:
        """Wake when a child can take more, for as long as something waits for it."""
        watched = child.payload in self._selector.get_map()
        if child.backlog and not watched:
            self._selector.register(child.payload, selectors.EVENT_WRITE, child)
        elif not child.backlog and watched:
            self._selector.unregister(child.payload)

    def _watch_backlogs(self) -> None:
        for child in self.crew.children.values():
            if child.backlog:
                self.watch_backlog(child)

    def unwatch(self, child: ChildProcess) -> None:
        """Listen to a dead child no more."""
        for fd in (child.results, child.payload):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)

    def _hear(self, child: ChildProcess) -> None:
        lines = child.read()
        if lines is None:
            self._selector.unregister(child.results)
            child.silent_since = monotonic_ns()
            return
        runs = self.hearing.lines(child, lines)
        if runs:
            self.ended(runs)
        child.flush_permits()
        child.close_control()

    def tell_place(self, child: ChildProcess) -> None:
        """Tell a child where the store is, if that is known."""
        if self.place is not None:
            child.tell_place(self.place)
            self.watch_backlog(child)

    # -- jobs ---------------------------------------------------------------------------------------------------------
    def outstanding(self) -> int:
        """Return how many jobs this worker has in its hands and not reported."""
        return len(self.dispatch.waiting) + sum(len(child.jobs) for child in self.crew.children.values())

    def ended(self, runs: list[m.Done]) -> None:
        """Pass ended runs on to be settled."""
        assert self.store is not None
        self.told += 1
        self.store.inbox.put(m.Ended(runs, self.outstanding() == 0))

    def parked(self, job: Claimed) -> None:
        """Say once per task that nobody here knows it."""
        if job.task not in self._unknown:
            self._unknown.add(job.task)
            _log.warning(
                "parked job %s: this worker does not know its task '%s' (it imported: %s). It is kept, and runs by itself once a "
                "worker that knows the task serves queue '%s'.  [E111]",
                job.id,
                job.task,
                " ".join(self.config.app) or "nothing",
                job.queue,
            )

    def released(self, jobs: list[Claimed], reason: str | None = None) -> list[m.Done]:
        now = monotonic_ns()
        return [(job, 0, now, _outcome.released(job, reason)) for job in jobs]

    def give_back(self, jobs: list[Claimed], reason: str | None = None) -> None:
        """Release jobs that have not started."""
        if jobs:
            self.ended(self.released(jobs, reason))

    def _recycle(self) -> None:
        for child in self.crew.recycle():
            self.give_back(child.withdraw())
            child.close_permits()
        for child in self.crew.overdue():
            _log.error("child %d was not ready within 30 s; killed", child.pid)
            child.kill()
        for child in self.errands.overdue():
            _log.error("child %d did not come back from after_job within a minute; killed", child.pid)
            child.closing = True
            child.kill()
        for child in self.crew.silent():
            child.cut_off = True
            child.kill()

    # -- mail ---------------------------------------------------------------------------------------------------------
    def _read_mail(self, mask: int) -> None:
        for item in self.mailbox.take():
            self._accept(item)

    def _accept(self, item: object) -> None:
        match item:
            case m.Jobs(jobs):
                self.dispatch.count()
                self._nothing = -1
                self._received(jobs)
            case m.Nothing(settled):
                self._nothing = settled
            case m.Beaten(reply):
                self._beaten = True
                self.timers.ordered(reply)
                self.errands.look_for(reply.lines)
                if not reply.alive:
                    self._declared_dead()
            case m.Opened():
                self.opening.store_opened(item)
            case m.Refused(error, code):
                self.opening.refuse(error, code)
            case m.Final(job, verdict):
                self.errands.after(job, verdict)
            case m.Gone(left, signed_off):
                self.ending.store_gone(left, signed_off)

    def _received(self, jobs: list[Claimed]) -> None:
        if self.ending.begun:
            self.give_back(jobs, "the worker is stopping")
        elif not self.reborn:  # else they were claimed by the one that was declared dead
            self.dispatch.received(self.exclusive.still_ours(jobs))

    def _declared_dead(self) -> None:
        if self.reborn or self.ending.begun:
            return
        _log.error("this worker was declared dead (was it paused?); its jobs belong to others now. Beginning anew.")
        self.reborn = True
        self.dispatch.take_waiting()
        for child in self.crew.children.values():
            child.jobs.clear()
            child.closing = True
            child.kill()
        assert self.store is not None
        self.store.inbox.put(m.Reborn())
