"""The main thread of a worker: children, permits, timers, signals. It never touches the store and runs no user code."""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from .. import _outcome
from .._record import FINAL, Claimed, Verdict
from . import mailbox as m
from .beat_thread import BeatThread, Pulse
from .child_process import ChildProcess
from .config import Connect, Place, WorkerConfig
from .crew import Crew, kill_strays, reap
from .death import Death, verdicts
from .hearing import Hearing
from .identity import Identity
from .pace import Pace
from .store_thread import Held, StoreThread
from .timers import Timers

_log = logging.getLogger("packhorse.worker")

TICK = 0.05
#: After the grace a job has so long to end; then its child is killed.
STOP_GRACE = 5.0
#: Settling what is left may take so long when the store does not answer.
FINISH_LIMIT = 10.0


class Supervisor:
    """Runs a worker to its end; ``run`` returns the exit code."""

    def __init__(self, config: WorkerConfig, connect: Connect, version: str, say: Callable[[str], None]) -> None:
        """``connect`` turns the App's plain part into the place of its store; ``say`` prints a line for people."""
        self._config = config
        self._connect = connect
        self._say = say
        self.turns = 0
        self.mailbox = m.Mailbox()
        self.identity = Identity(config, version)
        self.held = Held()
        self.pace = Pace()
        self.hearing = Hearing(self)
        self.timers = Timers(self)
        self.crew = Crew(config.processes, self._child_settings, max_jobs=config.max_jobs, max_memory=config.max_memory)
        self.store: StoreThread | None = None
        self.plain: dict[str, Any] | None = config.plain
        self._beat: BeatThread | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = os.pipe()
        self._signals: list[int] = []
        self._at: Place | None = None
        self._place: dict[str, str] | None = None  #: the same, as the children are told
        self._opened = False
        self._asked: m.Want | None = None  #: a claim is under way
        self._waiting: list[Claimed] = []  #: claimed, but no child could take them yet
        self._nothing = False  #: the last claim found nothing
        self._unsettled = False
        self._stopping_since: float | None = None
        self._forced = False
        self._finishing = False
        self._exit: int | None = None
        self._reborn = False
        self._unknown: set[str] = set()
        self._next_tick = 0.0

    # -- the loop -----------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Run until told to stop, or with ``burst`` until nothing is left; return the exit code."""
        self._take_signals()
        self._selector.register(self.mailbox.fd, selectors.EVENT_READ, self._read_mail)
        self._selector.register(self._wake_r, selectors.EVENT_READ, self._read_signals)
        self._start_children()
        try:
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
        if any(child.jobs for child in self.crew.children.values()) or self._stopping_since is not None:
            due.append(self._next_tick)
        if self.crew.next_start is not None:
            due.append(self.crew.next_start)
        return max(0.0, min(due) - now)

    def _turn(self) -> None:
        now = monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self.timers.tick(monotonic_ns())
            self._recycle()
        self._start_children()
        if self._stopping_since is not None:
            self._stop_further(now)
        elif self._opened and not self._reborn:
            self._place_jobs()
            self._ask()
            self._end_burst()

    # -- signals ------------------------------------------------------------------------------------------------------
    def _take_signals(self) -> None:
        os.set_blocking(self._wake_w, False)
        os.set_blocking(self._wake_r, False)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT):
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _read_signals(self, mask: int) -> None:
        try:
            os.read(self._wake_r, 4096)
        except BlockingIOError:
            pass
        self._bury()
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGQUIT:
                self._dump_and_quit()
            else:
                self.stop(force=self._stopping_since is not None)

    def _dump_and_quit(self) -> None:
        import faulthandler

        faulthandler.dump_traceback(all_threads=True)
        for child in self.crew.children.values():
            child.dump()
        self._exit = 70

    # -- children -----------------------------------------------------------------------------------------------------
    def _child_settings(self) -> dict[str, Any]:
        config = self._config
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
            if self._place is not None:
                self._tell_place(child)

    def _child_event(self, child: ChildProcess, fd: int, mask: int) -> None:
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

    def _hear(self, child: ChildProcess) -> None:
        lines = child.read()
        if lines is None:
            self._selector.unregister(child.results)
            return
        runs = self.hearing.lines(child, lines)
        if runs:
            self.ended(runs)
        child.flush_permits()

    def said_hello(self, child: ChildProcess) -> None:
        """The first child has imported the application: now we know which store."""
        assert child.hello is not None
        if self.plain is None or self.store is None:
            self.plain = child.hello["plain"]
            self.identity.catalogue = child.hello["catalogue"]
            self._open_store()
        elif child.hello["plain"] != self.plain and self._config.plain is None:
            _log.error(
                "child %d imported another application than the first: %s instead of %s; was the code changed? Start "
                "the worker anew.", child.pid, child.hello["plain"], self.plain,
            )

    def refused(self, child: ChildProcess, code: str, text: str) -> None:
        """A child could not import the application. At start that ends the worker; later it is tried again."""
        if not self._opened and self.store is None:
            self._say(f"packhorse worker: {text}")
            self._exit = 78 if code != "E130" else 73
        else:
            _log.error("a new child cannot import the application: %s", text)

    def _open_store(self) -> None:
        assert self.plain is not None
        try:
            place = self._at = self._connect(self.plain)
        except Exception as error:
            self._refuse(error, 78)
            return
        self.store = StoreThread(
            place.open, self.identity, self._config.queues, self.mailbox, self.held, no_retry=self._config.no_retry
        )
        self.store.start()

    def _refuse(self, error: Exception, code: int) -> None:
        if code == 70:
            _log.critical("internal error", exc_info=error)
        self._say(f"packhorse worker: {error}")
        self._exit = code

    def _tell_place(self, child: ChildProcess) -> None:
        assert self._place is not None
        child.tell_place(self._place)
        self.watch_backlog(child)

    def _bury(self) -> None:
        ended = reap()
        for pid, status, usage in ended:
            child = self.crew.children.pop(pid, None)
            if child is not None:
                self._mourn(child, Death(status, usage))
        if ended:
            kill_strays(set(self.crew.children))

    def _mourn(self, child: ChildProcess, death: Death) -> None:
        child.process.returncode = death.exit_code
        while lines := child.read():
            runs = self.hearing.lines(child, lines)
            if runs:
                self.ended(runs)
        for fd in (child.results, child.payload):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        child.kill()  # what is left of its session
        unstarted = child.withdraw()
        runs = [*self._released(unstarted), *verdicts(child, death, self.hearing)]
        for run in runs:
            if run.verdict is not None and run.verdict.state in FINAL:
                self._tell_after(run.job, run.verdict)
        if runs:
            self.ended(runs)
        if not child.ready and not self.crew.stopping:
            _log.error("child %d ended before it was ready: %s", child.pid, death.text)
            self.crew.failed_to_start()
            if self.crew.broken:
                _log.error("three children failed to start within a minute: this worker is unhealthy and claims nothing")
        child.dispose()

    def _tell_after(self, job: Claimed, verdict: Verdict) -> None:
        """Let another child tell the middleware how this job ended."""
        for child in self.crew.serving():
            if child.hello is not None and child.hello.get("after"):
                child.order("after", [job, verdict])
                self.watch_backlog(child)
                return

    # -- jobs ---------------------------------------------------------------------------------------------------------
    def outstanding(self) -> int:
        """Return how many jobs this worker has in its hands and not reported."""
        return len(self._waiting) + sum(len(child.jobs) for child in self.crew.children.values())

    def ended(self, runs: list[m.Done]) -> None:
        """Pass ended runs on to be settled."""
        assert self.store is not None
        self._unsettled = True
        self.store.inbox.put(m.Ended(runs, self.outstanding() == 0))

    def parked(self, job: Claimed) -> None:
        """Say once per task that nobody here knows it."""
        if job.task not in self._unknown:
            self._unknown.add(job.task)
            _log.warning(
                "parked job %s: this worker does not know its task '%s' (it imported: %s). It is kept, and runs by itself once a "
                "worker that knows the task serves queue '%s'.  [E111]",
                job.id, job.task, " ".join(self._config.app) or "nothing", job.queue,
            )

    def _released(self, jobs: list[Claimed], reason: str | None = None) -> list[m.Done]:
        now = monotonic_ns()
        return [m.Done(job, 0, now, _outcome.released(job, reason)) for job in jobs]

    def give_back(self, jobs: list[Claimed], reason: str | None = None) -> None:
        """Release jobs that have not started."""
        if jobs:
            self.ended(self._released(jobs, reason))

    def _ask(self) -> None:
        """Ask for more work when the slots have less than half of what they could have."""
        if self.crew.broken or self.store is None:
            return
        serving = self.crew.serving()
        slots = len(serving) * self._config.slots_per_child
        if not slots or self._waiting:
            return
        busy = sum(len(child.jobs) for child in serving)
        per_slot = self.pace.ahead(self.timers.ages())
        if any(child.solo for child in serving) or self._config.max_jobs == 1:
            per_slot = 0
        target = slots * (1 + per_slot)
        if busy >= slots and busy * 2 > target:
            return
        want = m.Want(max(0, slots - busy), min(target, 2000) - max(busy, slots))
        want = m.Want(want.free, max(0, want.ahead))
        if want.free + want.ahead > 0 and want != self._asked and not self._fewer(want):
            self._asked = want
            self.store.inbox.put(want)

    def _fewer(self, want: m.Want) -> bool:
        """A claim under way that may bring as many free-slot jobs is not replaced: it would only wake the store thread."""
        return self._asked is not None and want.free <= self._asked.free

    def _place_jobs(self) -> None:
        if self._waiting:
            jobs, self._waiting = self._waiting, []
            self._distribute(jobs)

    def _distribute(self, jobs: list[Claimed]) -> None:
        suspects = [job for job in jobs if job.suspect]
        rest = [job for job in jobs if not job.suspect] if suspects else jobs
        for job in suspects:
            self._give_alone(job)
        children = [child for child in self.crew.serving() if not child.solo]
        if not children:
            self._waiting.extend(rest)
            return
        for child, share in _shares(children, rest, self.crew.room):
            if share:
                child.give(share)
                self.watch_backlog(child)
        given = {job.id for child in children for job in child.jobs.values()} if len(rest) < 64 else None
        if given is not None:
            self._waiting.extend(job for job in rest if job.id not in given)

    def _give_alone(self, job: Claimed) -> None:
        """A suspect runs in a child that has nothing else; until one is free it waits."""
        for child in self.crew.serving():
            if not child.jobs and not child.solo:
                child.solo = self._config.slots_per_child > 1
                child.give([job])
                self.watch_backlog(child)
                return
        self._waiting.append(job)

    def _recycle(self) -> None:
        for child in self.crew.recycle():
            self.give_back(child.withdraw())
            child.close_permits()
        for child in self.crew.overdue():
            _log.error("child %d was not ready within 30 s; killed", child.pid)
            child.kill()

    # -- mail ---------------------------------------------------------------------------------------------------------
    def _read_mail(self, mask: int) -> None:
        for item in self.mailbox.take():
            self._accept(item)

    def _accept(self, item: object) -> None:
        match item:
            case m.Jobs(jobs):
                self._asked = None
                self._nothing = False
                self._received(jobs)
            case m.Nothing():
                self._nothing = True
            case m.Settled():
                self._unsettled = False
            case m.Beaten(reply):
                self.timers.ordered(reply)
                self._try_lines(reply.lines)
                if not reply.alive:
                    self._declared_dead()
            case m.Opened(instance, url):
                self._store_opened(instance, url)
            case m.Refused(error, code):
                self._refuse(error, code)
            case m.Final(_, job, verdict):
                self._tell_after(job, verdict)
            case m.Gone(left):
                self._store_gone(left)

    def _received(self, jobs: list[Claimed]) -> None:
        if self._stopping_since is not None:
            self.give_back(jobs, "the worker is stopping")
            return
        self.pace.claimed(job.queue for job in jobs)
        self._distribute(jobs)

    def _try_lines(self, lines: list[str]) -> None:
        """Jobs wait whose task somebody did not know: ask a child whether we do."""
        assert self.store is not None
        for child in self.crew.serving()[:1]:
            tasks = sorted({line.partition("#")[2] for line in lines})
            if tasks:
                self.hearing.asked = lines
                child.order("resolve", tasks)
                self.watch_backlog(child)

    def _store_opened(self, instance: str, url: str) -> None:
        self._reborn = False
        self._asked = None
        if self._opened:
            return
        self._opened = True
        assert self.store is not None and self.plain is not None
        at = self._at
        assert at is not None
        self._place = {"url": at.url, "namespace": at.namespace, "worker": self.identity.name}
        for child in self.crew.children.values():
            self._tell_place(child)
        pulse = Pulse(lambda: self.turns, self.store)
        self._beat = BeatThread(at.open, self.identity, self.store, self.mailbox, self.held, pulse)
        self._beat.start()
        self._say(self._banner(instance, url))

    def _banner(self, instance: str, url: str) -> str:
        config = self._config
        source = self._at.source if self._at is not None else "?"
        queues = "every queue" if config.queues is None else ", ".join("/".join(group) for group in config.queues)
        kind = f"{config.coroutines} coroutines" if config.coroutines else f"{config.threads} thread" + "s" * (config.threads > 1)
        tasks = self.identity.catalogue.get("tasks", {})
        unlimited = sorted(name for name, task in tasks.items() if task.get("timeout_default"))
        lines = [
            f"packhorse worker {self.identity.name}  store {url}  ({source})  instance {instance[:8]}",
            f"  serves {queues} with {config.processes} × {kind}; "
            + (f"{len(tasks)} tasks" if config.app else "no application given: it knows no task"),
        ]
        if unlimited:
            shown = ", ".join(unlimited[:5]) + (f" and {len(unlimited) - 5} more" if len(unlimited) > 5 else "")
            lines.append(f"  time limit 1 h by default for {shown}")
        return "\n".join(lines)

    def _declared_dead(self) -> None:
        if self._reborn or self._stopping_since is not None:
            return
        _log.error("this worker was declared dead (was it paused?); its jobs belong to others now. Beginning anew.")
        self._reborn = True
        self._waiting.clear()
        for child in self.crew.children.values():
            child.jobs.clear()
            child.kill()
        assert self.store is not None
        self.store.inbox.put(m.Reborn())

    # -- the end ------------------------------------------------------------------------------------------------------
    def stop(self, *, force: bool = False) -> None:
        """Claim nothing more, let running jobs end; ``force``: give back what runs now."""
        if self._stopping_since is None:
            self._stopping_since = monotonic()
            _log.info("stopping: %d jobs in hand, grace %s", self.outstanding(), self._config.grace)
            if self.store is None or not self._opened:
                self._exit = 0
                return
            self.store.inbox.put(m.Drain())
            waiting, self._waiting = self._waiting, []
            self.give_back(waiting, "the worker is stopping")
            for child in self.crew.children.values():
                self.give_back(child.withdraw(), "the worker is stopping")
        if force:
            self._force()

    def _force(self) -> None:
        if not self._forced:
            self._forced = True
            self.timers.stop_all("shutdown", monotonic_ns(), STOP_GRACE)

    def _stop_further(self, now: float) -> None:
        assert self._stopping_since is not None
        grace = self._config.grace
        if grace is not None and now - self._stopping_since >= grace:
            self._force()
        if self.outstanding() == 0 and not self._finishing:
            self._finishing = True
            self.crew.stopping = True
            for child in self.crew.children.values():
                if not child.closing:
                    child.close_permits()
            assert self.store is not None
            self.store.inbox.put(m.Finish(now + FINISH_LIMIT))

    def _end_burst(self) -> None:
        if self._config.burst and self._nothing and not self._unsettled and self.outstanding() == 0:
            self.stop()

    def _store_gone(self, left: list[str]) -> None:
        if left:
            self._say(f"packhorse worker: the store did not answer; left to the rescue: {', '.join(left[:20])}")
        self._exit = 69 if left else 0

    def _clean_up(self) -> None:
        signal.set_wakeup_fd(-1)
        if self._beat is not None:
            self._beat.stop()
        self.crew.stopping = True
        deadline = monotonic() + STOP_GRACE
        while self.crew.children and monotonic() < deadline and self._exit == 0:
            for pid, status, usage in reap():
                child = self.crew.children.pop(pid, None)
                if child is not None:
                    child.process.returncode = Death(status, usage).exit_code
            self._selector.select(0.01)
        for child in self.crew.children.values():
            child.kill()
        for child in self.crew.children.values():
            try:
                os.waitpid(child.pid, 0)
            except ChildProcessError:
                pass
            child.process.returncode = 0
        kill_strays(set())
        if self._beat is not None:
            self._beat.join(timeout=2.0)
        self.identity.release()


def _shares(
    children: list[ChildProcess], jobs: list[Claimed], room: Callable[[ChildProcess], int | None]
) -> list[tuple[ChildProcess, list[Claimed]]]:
    """Split jobs so that the children end up with about as many each, the emptiest first, ranks interleaved."""
    if len(jobs) == 1:
        able = [child for child in children if room(child) != 0]
        return [(min(able, key=lambda child: len(child.jobs)), jobs)] if able else []
    counts = [len(child.jobs) for child in children]
    limits = [room(child) for child in children]
    shares: list[list[Claimed]] = [[] for _ in children]
    if len(set(counts)) == 1 and all(limit is None for limit in limits):
        return [(child, jobs[n :: len(children)]) for n, child in enumerate(children)]
    for job in jobs:
        able_now = [n for n in range(len(children)) if limits[n] is None or len(shares[n]) < (limits[n] or 0)]
        if not able_now:
            break
        n = min(able_now, key=counts.__getitem__)
        counts[n] += 1
        shares[n].append(job)
    return list(zip(children, shares, strict=True))

