"""One attempt of one command, from its payload to its verdict: a story told in order, that waits where it must.

``_story`` is a generator: where it yields, something has to happen first (a process ends, something done aside is done), and the
loop goes on with the others meanwhile. Whatever happens comes back through ``_go_on``.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Generator
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any

from .._codec import PLAIN
from .._command import Command, filled, is_raw, of_payload
from .._options import Options, Policy, effective
from .._programs import LACKS, RUNS
from .._record import Claimed, Verdict
from ..errors import PackhorseError
from . import checks, verdicts
from .aside import Answer, Unfit
from .environment import environment
from .journal import undo
from .limits import WATCH_EVERY, Limits, memory_of
from .news import News
from .outputs import publish
from .process import Ended, Process
from .streams import TOLD
from .workspace import Workspace, furnish, remove

if TYPE_CHECKING:
    from .loop import Commands

#: Asked to end, a command is killed after so many seconds; one that must be gone in five, a little sooner.
REACT = 5.0
_SOONER = 4.0
#: What is killed and does not end hangs in the kernel: it is waited for no longer than this (seconds).
_STUCK = 3.0

Story = Generator[None, Any, Any]


class Stopped(Exception):
    """The attempt was asked to stop."""


class Settled(Exception):
    """The verdict is known before the end of the story."""

    def __init__(self, verdict: Verdict) -> None:
        """Take it."""
        super().__init__()
        self.verdict = verdict


class Run:
    """One attempt. The loop asks it when it is next to be woken, and tells it what happens."""

    def __init__(self, host: Commands, index: int, job: Claimed) -> None:
        """Nothing has begun."""
        self.index = index
        self.job = job
        self.process: Process | None = None
        self.clearing: Process | None = None  #: has ended; what it left is being ended
        self._host = host
        self._policy = Policy(timeout=None)
        self._workspace: Workspace | None = None
        self._keeps = "never"
        self._news: News | None = None
        self._usage: dict[str, Any] = {}
        self._stop: str | None = None
        self._kill_at: float | None = None
        self._watch_at: float | None = None
        self._most = 0
        self._over = ""
        self._heard_stop = False  #: its process was asked to stop while it ran
        self._began = monotonic_ns()
        self._story = self._tell()

    def begin(self) -> None:
        """Start the story."""
        self._go_on(None)

    def _go_on(self, value: Any) -> None:
        try:
            self._story.send(value)
        except StopIteration:
            self._host.done(self)

    # -- the story ----------------------------------------------------------------------------------------------------
    def _tell(self) -> Story:
        try:
            verdict = yield from self._attempt()
        except Settled as settled:
            verdict = settled.verdict
        except Stopped:
            assert self._stop is not None
            verdict = verdicts.stopped(self.job, self._policy, Command(), None, self._stop)
        except Unfit as problem:
            verdict = verdicts.unfit(self.job, self._policy, problem.code, str(problem))
        except PackhorseError as error:
            text = str(error).removesuffix(f"  [{error.code}]")
            verdict = verdicts.unfit(self.job, self._policy, error.code, text, retry=False)
        except OSError as error:
            verdict = verdicts.unfit(self.job, self._policy, "E213", f"the command cannot be run here: {error}")
        self._keep_workspace(verdict)
        self._report(verdict)
        yield from self._clean_up()

    def _attempt(self) -> Story:
        workspace = self._host.place.workspace(self.job.id, self._number)
        command, own, missing = self._command(workspace)
        self._keeps = command.keep_workspace
        programs = yield from self._look(command, own, workspace)
        workspace.make()
        self._workspace = workspace
        if command.inputs or command.links or command.outputs or missing:
            yield from self._aside(lambda: _prepare(workspace, command, missing, self._mine))
        self._news = self._host.news(self, command, self._number)
        status = 0
        for self._usage["step"], step in enumerate(command.steps, 1):
            status = yield from self._step(command, step, programs[step[0]])
        if command.outputs:
            yield from self._put_in_place(workspace, command)
        return verdicts.succeeded(self.job, self._policy, status)

    @property
    def _number(self) -> int:
        job = self.job
        return 1 + job.failures + job.crashes + job.losses

    @property
    def _mine(self) -> str:
        """Return the mark of outputs that may exist: an attempt may have put them in place and died before it could tell."""
        return self.job.id if self.job.crashes or self.job.losses else ""

    def _command(self, workspace: Workspace) -> tuple[Command, bool, Any]:
        """Return what is to be run, whether the worker's own file says so, and what looks for paths that are missing."""
        job = self.job
        task = self._host.tasks.get(job.task)
        self._learn(task.options if task is not None else None)
        if task is not None:
            _, given = PLAIN.decode_call(job.payload)
            return task.filled(given, workspace.work), True, lambda: task.missing(given)
        if not is_raw(job.task):
            raise Settled(verdicts.parked(job, job.task, f"no live worker knows the task '{job.task}'"))
        command = of_payload(job.payload, job.task)
        return filled(command, command.params, workspace.work), False, None

    def _learn(self, options: Options | None) -> None:
        """Find the limits of this attempt; a command has none of time unless one is given."""
        policy = effective(self.job.options, options, self._host.app_options)
        self._policy = policy if policy.timeout_given else policy._replace(timeout=None, timeout_given=True)
        self._host.tell_policy(self.job, self._policy)

    def _look(self, command: Command, own: bool, workspace: Workspace) -> Story:
        """Return the files of the programs. What is not there, or not allowed, sends the job to a side line."""
        names, host = command.programs, self._host
        found = None if command.needs else host.known.get(names, own, workspace.work)
        if found is not None:
            return found
        answer = yield from self._aside(
            lambda: checks.look(names, host.allowed, command.needs, own, workspace.work), checks.PATIENCE
        )
        if answer is None:
            slow = LACKS + command.needs[0] if command.needs else RUNS + names[0]
            answer = {"lacks": [slow, f"its host did not answer within {checks.PATIENCE:g} s"]}
        if "lacks" in answer:
            name, reason = answer["lacks"]
            raise Settled(verdicts.parked(self.job, name, host.lacks(name, reason)))
        host.known.learn(answer["programs"], own)
        return answer["programs"]

    # -- things done aside --------------------------------------------------------------------------------------------
    def _aside(self, work: Any, patience: float | None = None) -> Story:
        """Return what the work returns; None if it took longer than ``patience``. Raises ``Unfit`` and ``Stopped``."""
        if self._stop is not None:
            raise Stopped
        self._helper = self._host.aside(work, self._go_on, patience)
        answer: Answer = yield
        self._helper = None
        if answer.value is None and self.stopping:
            raise Stopped
        if answer.problem is not None:
            raise answer.problem
        return answer.value

    _helper: Any = None

    def _put_in_place(self, workspace: Workspace, command: Command) -> Story:
        job, mine = self.job, self._mine
        try:
            placed = yield from self._aside(lambda: publish(workspace, command, job.token, job.id, mine))
            if placed is None:
                raise Unfit("E215", "the process that put the outputs in place was killed; none of them was")
            self._usage["outputs"] = placed[:100]
        except Stopped:
            yield from self._undone(workspace)
            raise
        except Unfit:
            yield from self._undone(workspace)
            raise

    def _undone(self, workspace: Workspace) -> Story:
        self._host.aside(lambda: undo(workspace.journal), self._go_on, None)
        answer: Answer = yield
        if answer.value:
            self._note(f"packhorse: could not be undone: {answer.value}")

    # -- one step -----------------------------------------------------------------------------------------------------
    def _step(self, command: Command, step: tuple[str, ...], program: str) -> Story:
        assert self._workspace is not None
        assert self._news is not None
        if self._stop is not None:
            raise Stopped
        self._usage["program"] = program
        self._start(command, step, program)
        ended: Ended = yield
        self._used(ended)
        name = " ".join(step)[:200]
        if len(command.steps) > 1:
            name = f"step {self._usage['step']}, {name}"
        if self._over:
            raise Settled(verdicts.over(self.job, self._policy, f"{name} {self._over}", self._news.log))
        if (reason := self._stopped_by) is not None:
            raise Settled(verdicts.stopped(self.job, self._policy, command, ended, reason))
        verdict = verdicts.of_ending(self.job, self._policy, command, ended, name, self._news.log)
        if verdict is not None:
            raise Settled(verdict)
        return ended.exit

    def _start(self, command: Command, step: tuple[str, ...], program: str) -> None:
        assert self._workspace is not None
        place = self._host.store_place if command.enqueues else None
        self.process = Process(
            step,
            program,
            cwd=command.cwd or self._workspace.work,
            environ=environment(self.job, self._workspace.tmp, command.env, place),
            stdin=command.stdin,
            umask=command.umask,
            limits=Limits(command.nice, command.max_cpu),
        )
        self._kill_at = None
        self._max_memory = command.max_memory
        self._watch_at = monotonic() + WATCH_EVERY if command.max_memory is not None else None
        for stream in self.process.fds:
            self._host.listen(self, self.process, stream)

    _max_memory: int | None = None

    def heard(self, process: Process, stream: int) -> bool:
        """Take what a stream has brought; tell whether there may be more."""
        assert self._news is not None
        data = process.read(stream)
        if data is None:
            return False
        if data:
            self._news.heard(stream, data)
        return True

    def exited(self, ended: Ended) -> None:
        """The process has ended; what it has left running is ended before anything else happens."""
        self.clearing, self.process = self.process, None
        self._ended = ended
        self._kill_at = monotonic() + _STUCK
        self._watch_at = None

    def cleared(self) -> None:
        """Nothing is left of it."""
        process = self.clearing
        assert process is not None
        assert self._news is not None
        self._host.deafen(process)
        for stream in list(process.fds):
            for _ in range(64):  # what a pipe can hold, and no more: somebody may still write
                if not (data := process.read(stream)):
                    break
                self._news.heard(stream, data)
        process.close()
        self.clearing = None
        self._kill_at = None
        self._news.end_of_step()
        self._go_on(self._ended)

    _ended: Ended

    def _used(self, ended: Ended) -> None:
        usage = self._usage
        usage["exit"], usage["signal"] = ended.exit, ended.signal
        usage["cpu"] = round(usage.get("cpu", 0.0) + ended.cpu, 3)
        usage["peak"] = max(usage.get("peak", 0), ended.peak, self._most)

    @property
    def stopping(self) -> bool:
        """Tell whether it was asked to stop."""
        return self._stop is not None

    @property
    def _stopped_by(self) -> str | None:
        """Return why its process was asked to stop while it ran."""
        return self._stop if self._heard_stop else None

    # -- stopping -----------------------------------------------------------------------------------------------------
    def interrupt(self, reason: str) -> None:
        """Ask it to end; at the latest after five seconds it is made to."""
        if self._stop is not None and reason != "lost":
            return
        self._stop = reason
        if self._helper is not None:
            self._helper.kill()
        if self.process is None:
            return  # what has ended by itself ended as it did; nothing more is begun
        self._heard_stop = True
        if reason == "lost":
            self._kill_at = 0.0
            self.tick(monotonic())
            return
        self.process.signal(signal.SIGTERM)
        self.process.signal(signal.SIGCONT)  # one that is stopped could not hear
        self._kill_at = monotonic() + (_SOONER if reason == "cut off" else REACT)

    def kill(self) -> None:
        """Kill whatever runs, at once: the supervisor is gone."""
        if self._helper is not None:
            self._helper.kill()
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    # -- time ---------------------------------------------------------------------------------------------------------
    @property
    def due(self) -> float:
        """Return when to wake it next."""
        times = [self._kill_at, self._watch_at, self._news.due if self._news is not None else None]
        return min((each for each in times if each is not None), default=float("inf"))

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._news is not None:
            self._news.tick(now)
        if self._watch_at is not None and now >= self._watch_at:
            self._watch(now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill(now)

    def _watch(self, now: float) -> None:
        assert self.process is not None
        self._watch_at = now + WATCH_EVERY
        used = memory_of(self.process.pid)
        self._most = max(self._most, used)
        assert self._max_memory is not None
        if used > self._max_memory and not self._over:
            self._over = (
                f"used {used / 2**20:,.0f} MiB, more than its max_memory of {self._max_memory / 2**20:,.0f} MiB"
            )
            self._kill(now)

    _killed = False

    def _kill(self, now: float) -> None:
        if self.process is None:
            self._kill_at = None
            if self.clearing is not None:
                self._note("packhorse: a process of this command could not be killed; it hangs in the kernel")
                self.cleared()
        elif not self._killed:
            self._killed = True
            self.process.signal(signal.SIGKILL)
            self._host.kill_family(self)
            self._kill_at = now + _STUCK
        else:
            self._note("packhorse: the command could not be killed; it hangs in the kernel")
            self._host.abandon(self.process)
            self.exited(Ended(signal.SIGKILL))
            self.cleared()

    # -- the end ------------------------------------------------------------------------------------------------------
    def _note(self, text: str) -> None:
        if self._news is not None:
            self._news.heard(TOLD, f"{text}\n".encode())

    def _keep_workspace(self, verdict: Verdict) -> None:
        failed = verdict.state in ("failed", "retrying")
        if self._workspace is None or self._keeps == "never" or (self._keeps == "failed" and not failed):
            return
        try:
            self._usage["workspace"] = self._host.place.keep(self._workspace)
            self._workspace = None
        except OSError as error:
            self._note(f"packhorse: the workspace could not be kept: {error}")

    def _report(self, verdict: Verdict) -> None:
        news = self._news
        if news is not None:
            news.close()
            self._usage.update(news.usage())
            if news.log.seen:
                verdict = verdict._replace(log=news.log.text(), log_dropped=news.log.dropped)
        if self._usage:
            verdict = verdict._replace(usage=json.dumps(self._usage))
        self._host.report(self.index, self._began, monotonic_ns(), verdict)

    def _clean_up(self) -> Story:
        workspace, self._workspace = self._workspace, None
        if workspace is not None and not workspace.remove_empty():
            self._host.aside(lambda: _removed(workspace), self._go_on, None)
            yield


def _prepare(workspace: Workspace, command: Command, missing: Any, mine: str) -> bool:
    if missing is not None and (path := missing()):
        raise Unfit("E214", path)
    furnish(workspace, command, mine)
    return True


def _removed(workspace: Workspace) -> bool:
    remove(workspace.outer)
    return not os.path.lexists(workspace.outer)
