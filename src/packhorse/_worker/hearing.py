"""What children say, line by line."""

from __future__ import annotations

import json
import logging
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from .._backoff import Backoff
from .._capture import Tail
from .._options import Policy
from .._record import FINAL, LOG_STORED, Claimed, Verdict
from . import mailbox as m
from .child_process import ChildProcess, Observed
from .exclusive import CUT_OFF, told
from .telling import tell
from .timers import news_of

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger("packhorse.worker")
_POLICIES = 5000
#: A line that begins so is JSON; every other is the plain success of a job without a value.
_SPECIAL = b"["


class Hearing:
    """Turns lines into ended runs, and keeps the limits of the tasks that children have told."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Serve this supervisor."""
        self._supervisor = supervisor
        self._policies: dict[tuple[str, str | None], Policy] = {}
        self._default = Policy()

    def policy(self, job: Claimed) -> Policy:
        """Return the limits of a job, as far as they are known."""
        return self._policies.get((job.task, job.options), self._default)

    def lines(self, child: ChildProcess, lines: list[bytes]) -> list[m.Done]:
        """Take in what a child said; return the runs that ended."""
        ended: list[m.Done] = []
        jobs, observed = child.jobs, child.observed
        for text in lines:
            try:
                if text[:1] == _SPECIAL:
                    body = json.loads(text)
                else:
                    index, start, end = map(int, text.split())
                    body = None
            except ValueError:
                self._garbled(child, text)
                continue
            if body is not None:
                self._special(child, body, ended)
                continue
            job = jobs.pop(index, None)
            if job is None:
                continue  # it was declared lost meanwhile
            ended.append((job, start, end, None))
            if observed:
                self.last_news(job, observed.pop(index, None))
        if ended:
            self._account(child, ended)
        return ended

    def _garbled(self, child: ChildProcess, text: bytes) -> None:
        """A job wrote into our pipe, or two processes at once: nothing this child says can be believed any more."""
        if not child.garbled:
            child.garbled = child.closing = True
            _log.error("child %d reported what is no report (%r); killed", child.pid, text[:100])
            child.kill()

    def _account(self, child: ChildProcess, ended: list[m.Done]) -> None:
        child.done += len(ended)
        child.last_result = ended[-1][2]
        child.solo = child.solo and bool(child.jobs)
        pace = self._supervisor.dispatch.pace
        for queue in {run[0][3] for run in ended}:
            pace.ran_many(queue, [end - start for job, start, end, _ in ended if job[3] == queue])

    def _special(self, child: ChildProcess, body: list[Any], ended: list[m.Done]) -> None:
        kind = body[0]
        if kind == "verdict":
            self._verdict(child, body[1], body[2], body[3], body[4], ended)
        elif kind in ("log", "tail", "progress", "meta"):
            self._news(child, kind, body)
        elif kind == "waits":
            self._waits(child, body[1], body[2])
        elif kind == "policy":
            self._learn(body)
        else:
            self._of_the_child(child, kind, body)

    def _of_the_child(self, child: ChildProcess, kind: str, body: list[Any]) -> None:
        if kind == "hello":
            child.hello = body[1]
            self._supervisor.opening.said_hello(child)
        elif kind == "ready":
            child.ready = True
            if child.commands:
                self._supervisor.crew.commands_ready()
            self._supervisor.errands.tell()
        elif kind == "after":
            child.errands.pop((body[1], body[2]), None)
        elif kind == "refused":
            self._supervisor.opening.refused(child, body[1]["code"], body[1]["text"])
        elif kind == "resolved":
            self._supervisor.errands.found(child, body[1])

    def _waits(self, child: ChildProcess, index: int, waiting: bool) -> None:
        if index in child.jobs:
            seen = child.observed.setdefault(index, Observed(monotonic_ns()))
            seen.waiting, seen.since = waiting, monotonic_ns()

    def _verdict(
        self, child: ChildProcess, index: int, start: int, end: int, fields: list[Any], ended: list[m.Done]
    ) -> None:
        job = child.jobs.pop(index, None)
        seen = child.observed.pop(index, None)
        if job is None or (child.commands and self._ended_command(child, index, job)):
            return
        self.last_news(job, seen)
        verdict = Verdict(job.id, job.token, *fields)
        parked = verdict.state == "blocked"
        if parked and not (child.commands and self._supervisor.commanding.knows(job.task)):
            self._supervisor.parked(job)
        if seen is not None and seen.stopped and verdict.state == "failed":
            _log.debug("job %s ended by itself after it was asked to stop (%s)", job.id, seen.stopped)
        if seen is not None and seen.stopped == CUT_OFF:
            verdict = told(verdict)
        run = (job, 0 if parked else start, end, verdict)
        if not verdict.elsewhere:  # else it may have succeeded
            tell(run, self.policy(job).retry.retries)
        ended.append(run)
        if child.commands and verdict.state in FINAL:
            self._supervisor.errands.after(job, verdict, "job")

    def _ended_command(self, child: ChildProcess, index: int, job: Claimed) -> bool:
        """Tell whether a command that has ended was another's already."""
        self._supervisor.commanding.ended(job)
        return child.doomed.pop(index, None) == "lost"

    def last_news(self, job: Claimed, seen: Observed | None) -> None:
        """Pass on what a run told and nobody has stored yet: its meta is a checkpoint for the next attempt."""
        store = self._supervisor.store
        if seen is not None and seen.changed and store is not None:
            store.inbox.put(m.Told([news_of(job, seen)]))

    def _news(self, child: ChildProcess, kind: str, body: list[Any]) -> None:
        if body[1] not in child.jobs:
            return
        seen = child.observed.get(body[1])
        if seen is None:
            seen = child.observed[body[1]] = Observed(max(child.last_result, child.last_given) or monotonic_ns())
        seen.changed = True
        if kind == "progress":
            seen.progress = body[2]
        elif kind == "meta":
            seen.meta.update(body[2])
        else:
            if seen.tail is None or kind == "tail":
                seen.tail = Tail(LOG_STORED) if child.commands else Tail()
            seen.tail.add(body[2])
            if kind == "tail":
                seen.tail.dropped += body[3]

    def _learn(self, body: list[Any]) -> None:
        _, task, options, timeout, given, retry = body
        if len(self._policies) >= _POLICIES:
            self._forget_policies()
        self._policies[(task, options)] = Policy(Backoff.of(retry), timeout, True, given)

    def _forget_policies(self) -> None:
        """Forget those of options of single jobs, which are told again each time; never a task's own, nor of what runs."""
        children = self._supervisor.crew.children.values()
        used = {(job.task, job.options) for child in children for job in child.jobs.values()}
        self._policies = {key: policy for key, policy in self._policies.items() if key[1] is None or key in used}
