"""Time limits, cancels, withdrawals: what the passing of time does to running jobs, whether the store answers or not."""

from __future__ import annotations

import json
import logging
from time import monotonic_ns
from typing import TYPE_CHECKING

from .._durations import spoken
from .._record import BeatReply, Claimed
from . import mailbox as m
from .child_process import ChildProcess, Observed
from .exclusive import CUT_OFF

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")

#: A claim that has not started by then, because its slot is busy, goes back.
WITHDRAW_AFTER = 150_000_000
#: A job running for so long is reported as started.
TELL_AFTER = 50_000_000
#: A job that was asked to stop may take so long (seconds).
REACT = 5.0
#: A child that runs commands kills what does not stop in time. It has so long to do that and to tell (seconds).
_ITS_OWN = 8.0
_NEWS_EVERY = 1_000_000_000
_WARN_AT = 0.8


class Timers:
    """Looks at all that runs, every 50 ms while anything does."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Serve this supervisor."""
        self._supervisor = supervisor
        self._last_tick = 0
        self._next_news = 0
        self._shutdown: float | None = None  #: seconds to react, once all must stop

    def tick(self, now: int) -> None:
        """Look once."""
        news: list[m.News] = []
        for child in list(self._supervisor.crew.children.values()):
            if child.jobs and child.ready:
                self._look_at(child, now, news)
        self._last_tick = now
        if news and self._supervisor.store is not None:
            self._supervisor.store.inbox.put(m.Told(news))
        if now >= self._next_news:
            self._next_news = now + _NEWS_EVERY

    def _look_at(self, child: ChildProcess, now: int, news: list[m.News]) -> None:
        self._withdraw(child, now)
        for index in child.running():
            job = child.jobs[index]
            seen = child.observed.get(index)
            if seen is None:
                seen = child.observed[index] = Observed(self._began(child, now))
            if not seen.waiting:
                self._limit(child, index, job, seen, now)
            told = self._news(job, seen, now)
            if told is not None:
                news.append(told)

    def _began(self, child: ChildProcess, now: int) -> int:
        """Return when a job that is first seen running must have begun, as nearly as can be told."""
        return min(now, max(child.last_result, child.last_given, self._last_tick if child.observed else 0))

    def _withdraw(self, child: ChildProcess, now: int) -> None:
        if not child.unstarted():
            return
        if now - max(child.last_result, child.last_given) < WITHDRAW_AFTER:
            return
        self._supervisor.give_back(child.withdraw(), None)

    # -- limits -------------------------------------------------------------------------------------------------------
    def _limit(self, child: ChildProcess, index: int, job: Claimed, seen: Observed, now: int) -> None:
        if seen.stop_at is not None:
            if now >= seen.stop_at and not seen.killed:
                self._kill(child, index, seen)
            return
        policy = self._supervisor.hearing.policy(job)
        if policy.timeout is None:
            return
        age = (now - seen.since) / 1e9
        if age >= policy.timeout:
            self.stop(child, index, seen, "timeout", now)
        elif age >= policy.timeout * _WARN_AT and not seen.warned and not policy.timeout_given:
            seen.warned = True
            _log.warning(
                "job %s (%s) has used 80 %% of the default time limit of %s; set timeout= on the task if that is right for it",
                job.id,
                job.task,
                spoken(policy.timeout),
            )

    def stop(
        self, child: ChildProcess, index: int, seen: Observed, reason: str, now: int, react: float = REACT
    ) -> None:
        """Ask a job to stop, and note when it will be made to."""
        seen.stopped = reason
        if child.commands and reason != CUT_OFF:
            react += _ITS_OWN  # it kills the command by itself; only if it does not come to that, all it runs is killed
        seen.stop_at = now + int(react * 1e9)
        child.interrupt(index, _told(child, reason))

    def _kill(self, child: ChildProcess, index: int, seen: Observed) -> None:
        seen.killed = True
        job = child.jobs[index]
        _log.warning("job %s (%s) did not stop (%s); killing its process", job.id, job.task, seen.stopped)
        child.doomed[index] = seen.stopped
        self._supervisor.give_back(child.withdraw(), None)
        child.closing = True
        child.kill()

    def stop_all(self, reason: str, now: int, react: float) -> None:
        """Ask everything that runs to stop."""
        for child in self._supervisor.crew.children.values():
            self._supervisor.give_back(child.withdraw(), "the worker is stopping")
            for index in child.running():
                seen = child.observed.setdefault(index, Observed(self._began(child, now)))
                if seen.stop_at is None:
                    self.stop(child, index, seen, reason, now, react)

    # -- orders of a beat ---------------------------------------------------------------------------------------------
    def ordered(self, reply: BeatReply) -> None:
        """Obey a beat: stop what was cancelled, end at once what is no longer ours."""
        if reply.ghosts:
            _log.warning(
                "%d jobs had been claimed for us in a reply that was lost; they are queued again", len(reply.ghosts)
            )
        if not reply.cancelled and not reply.lost:
            return
        now = monotonic_ns()
        cancelled = {(job, token) for job, token, _ in reply.cancelled}
        lost = set(reply.lost)
        self._drop_waiting(cancelled, lost)
        for child in list(self._supervisor.crew.children.values()):
            running = set(child.running())
            for index, job in list(child.jobs.items()):
                key = (job.id, job.token)
                if key in lost:
                    self._drop(child, index, index in running)
                elif key in cancelled and index in running:
                    seen = child.observed.setdefault(index, Observed(self._began(child, now)))
                    if seen.stop_at is None:
                        self.stop(child, index, seen, "cancelled", now)
                elif key in cancelled:
                    self._supervisor.give_back(
                        child.withdraw(), None
                    )  # going back ends it; the others are claimed again

    def _drop_waiting(self, cancelled: set[tuple[str, str]], lost: set[tuple[str, str]]) -> None:
        """See to what no child has been given yet: a large command may wait for its slots for long."""
        for job in self._supervisor.dispatch.drop(cancelled | lost):
            if (job.id, job.token) in lost:
                self._supervisor.held.forget(job.id, job.token)
            else:
                self._supervisor.give_back([job])  # going back ends it

    def _drop(self, child: ChildProcess, index: int, running: bool) -> None:
        job = child.jobs[index]
        _log.warning("job %s is no longer ours; stopping this run", job.id)
        self._supervisor.held.forget(job.id, job.token)
        if running and child.commands:
            child.doomed[index] = "lost"
            child.interrupt(index, "lost")
        elif running:
            child.doomed[index] = "lost"
            child.closing = True
            self._supervisor.give_back(child.withdraw(), None)
            child.kill()
        else:
            # It has not started: take all permits back; the others are claimed again at once.
            self._supervisor.give_back([each for each in child.withdraw() if each.id != job.id], None)

    # -- news ---------------------------------------------------------------------------------------------------------
    def _news(self, job: Claimed, seen: Observed, now: int) -> m.News | None:
        begun = not seen.told and now - seen.since >= TELL_AFTER
        if not begun and not (seen.changed and now >= self._next_news):
            return None
        seen.told = seen.told or begun
        return news_of(job, seen)

    def ages(self) -> dict[str, tuple[int, float]]:
        """Return, per queue, how many jobs are seen running and the sum of their ages in seconds."""
        now = monotonic_ns()
        found: dict[str, tuple[int, float]] = {}
        for child in self._supervisor.crew.children.values():
            for index, seen in child.observed.items():
                job = child.jobs.get(index)
                if job is not None:
                    count, total = found.get(job.queue, (0, 0.0))
                    found[job.queue] = (count + 1, total + (now - seen.since) / 1e9)
        return found


def _told(child: ChildProcess, reason: str) -> str:
    """Return a reason as the child is told it."""
    if reason != CUT_OFF:
        return reason
    return "cut off" if child.commands else "shutdown"


def news_of(job: Claimed, seen: Observed) -> m.News:
    """Return all that is known of a running job, as something to report."""
    seen.changed = False
    progress = json.dumps(seen.progress) if seen.progress is not None else None
    meta = json.dumps(seen.meta) if seen.meta else None
    log = seen.tail.text() if seen.tail is not None else None
    return m.News(job, seen.since, progress, log, seen.tail.dropped if seen.tail is not None else 0, meta)
