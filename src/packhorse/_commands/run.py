"""One attempt of one command, from its payload to its verdict: a story told in order, that waits where it must.

``_story`` is a generator: where it yields, something has to happen first (a process ends, something done aside is done), and the
loop goes on with the others meanwhile. Whatever happens comes back through ``_go_on``.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Generator
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from .._codec import PLAIN
from .._command import Command, filled, is_raw, of_payload
from .._options import Options, Policy, effective
from .._programs import FOR, HOST, LACKS, RUNS
from .._record import Claimed, Verdict
from ..errors import PackhorseError
from . import checks, verdicts
from .aside import Answer, Unfit
from .environment import environment
from .journal import undo
from .outputs import publish
from .process import Ended
from .steps import Steps
from .workspace import Workspace, furnish, remove

if TYPE_CHECKING:
    from .loop import Commands

_log = logging.getLogger("packhorse.worker")

Story = Generator[None, Any, Any]


class Stopped(Exception):
    """The attempt was asked to stop."""


class Settled(Exception):
    """The verdict is known before the end of the story."""

    def __init__(self, verdict: Verdict) -> None:
        """Take it."""
        super().__init__()
        self.verdict = verdict


class Run(Steps):
    """One attempt. The loop asks it when it is next to be woken, and tells it what happens."""

    def __init__(self, host: Commands, index: int, job: Claimed) -> None:
        """Nothing has begun."""
        super().__init__(host)
        self.index = index
        self.job = job
        self._policy = Policy(timeout=None)
        self._workspace: Workspace | None = None
        self._keeps = "never"
        self._usage: dict[str, Any] = {}
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
        except Exception as error:  # a mistake of ours ends this job, and no other
            _log.exception("job %s could not be run", self.job.id)
            verdict = verdicts.unfit(self.job, self._policy, "E000", f"internal error: {type(error).__name__}: {error}")
        self._keep_workspace(verdict)
        self._report(verdict)
        yield from self._clean_up()

    def _attempt(self) -> Story:
        workspace = self._host.place.workspace(self.job.id, self._number)
        command, own, missing = self._command(workspace)
        self._keeps = command.keep_workspace
        programs = yield from self._look(command, own, workspace)
        self._workspace = workspace
        workspace.make()
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
        found = None if command.needs or host.needs else host.known.get(names, own, workspace.work)
        if found is not None:
            return found
        answer = yield from self._aside(
            lambda: checks.look(names, host.allowed, command.needs, own, workspace.work, host.needs), checks.PATIENCE
        )
        if answer is None:
            slow = HOST if host.needs else LACKS + command.needs[0] if command.needs else RUNS + names[0]
            answer = {"lacks": [slow, f"its host did not answer within {checks.PATIENCE:g} s"]}
        if "lacks" in answer:
            name, reason = answer["lacks"]
            raise Settled(verdicts.parked(self.job, self._line(name, own, names), host.lacks(name, reason)))
        host.known.learn(answer["programs"], own)
        return answer["programs"]

    def _line(self, name: str, own: bool, programs: tuple[str, ...]) -> str:
        """Return the name of the side line: with whoever is to run it, where that is not in the name already."""
        if own:
            return name + FOR + self.job.task
        return name if name.startswith(RUNS) else name + FOR + RUNS + programs[0]

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
        self._start(command, step, program, self._environ(command))
        ended: Ended = yield
        self._used(ended)
        name = shlex.join(step).replace("\n", " ")[:200]
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

    def _environ(self, command: Command) -> dict[str, str]:
        assert self._workspace is not None
        place = self._host.store_place if command.enqueues else None
        return environment(self.job, self._workspace.tmp, command.env, place)

    def _used(self, ended: Ended) -> None:
        usage = self._usage
        usage["exit"], usage["signal"] = ended.exit, ended.signal
        usage["cpu"] = round(usage.get("cpu", 0.0) + ended.cpu, 3)
        usage["peak"] = max(usage.get("peak", 0), ended.peak, self._most)

    # -- the end ------------------------------------------------------------------------------------------------------
    def _keep_workspace(self, verdict: Verdict) -> None:
        failed = verdict.state in ("failed", "retrying")
        if self._workspace is None or self._keeps == "never" or (self._keeps == "failed" and not failed):
            return
        try:
            self._usage["workspace"] = self._host.place.keep(self._workspace, self._host.keeps_output)
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
