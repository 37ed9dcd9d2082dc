"""Run one claimed job in this process and say what became of it.

The same code serves a worker's child and the testing kit. What happened is turned into a verdict by ``_outcome``; nothing
here touches a store.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from . import _current, _failure, _outcome
from ._current import CurrentJob, Running, Sink
from ._outcome import Run
from ._record import FINAL, Claimed, Verdict
from ._signals import Cancel, Interrupted, Retry, Snooze
from .errors import NotSerialisable, PackhorseError

if TYPE_CHECKING:
    import asyncio

    from ._codec import Codec
    from ._options import Options, Policy
    from ._registry import Runnable

_log = logging.getLogger("packhorse.worker")

#: Told the limits of each run before it begins.
OnPolicy = Callable[[Claimed, "Policy"], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, as ``after_job`` sees it. ``error`` is data, as in ``JobFailed.error``; ``by`` says who ended it."""

    kind: Literal["succeeded", "failed", "cancelled"]
    error: dict[str, Any] | None
    attempt: int
    by: str
    reason: str | None = None


class Gate(Protocol):
    """Lets interruptions into the user's code, and only there."""

    def arm(self, run: Running, task: asyncio.Task[Any] | None = None) -> None:
        """From here on the run may be interrupted; raises at once if it already should be."""

    def disarm(self, run: Running) -> None:
        """From here on it may not; what is pending is forgotten."""


class _Open:
    def arm(self, run: Running, task: asyncio.Task[Any] | None = None) -> None:
        pass

    def disarm(self, run: Running) -> None:
        pass


class Executor:
    """Runs jobs. ``find`` resolves a task name, ``app`` are the application's default options."""

    def __init__(
        self,
        find: Callable[[str], Runnable | None],
        codec: Codec,
        app: Options | None = None,
        middleware: Sequence[object] = (),
        *,
        single: bool = False,
        gate: Gate | None = None,
    ) -> None:
        """``single``: one job at a time in this process, visible to its threads too."""
        from ._options import effective

        self._find = find
        self._codec = codec
        self._app = app
        self._effective = effective
        self._around = [m for m in middleware if hasattr(m, "around_job")]
        self._after = [m for m in middleware if hasattr(m, "after_job")]
        self._single = single
        self._gate: Gate = gate or _Open()
        self._loops = threading.local()

    # -- the run ----------------------------------------------------------------------------------------------------
    def run(self, job: Claimed, sink: Sink | None = None, on_policy: OnPolicy | None = None) -> Verdict:
        """Run a job to its end in this thread, an ``async def`` in a loop of the thread's own."""
        runnable = self._find(job.task)
        if runnable is None:
            return _outcome.parked(job, job.queue)
        policy = self._effective(job.options, runnable.options, self._app)
        if on_policy is not None:
            on_policy(job, policy)
        run = Running(job, policy.retry.retries, sink)
        token = None
        if self._single:
            _current.enter_only(run)
        else:
            token = _current.enter_context(run)
        try:
            verdict = self._attempt(run, runnable, policy)
        finally:
            if token is None:
                _current.enter_only(None)
            else:
                _current.leave_context(token)
        return verdict if run.log is None else verdict._replace(log=run.log.text(), log_dropped=run.log.dropped)

    async def arun(self, job: Claimed, sink: Sink | None = None, on_policy: OnPolicy | None = None) -> Verdict:
        """Run a job as a coroutine of the running loop; a sync function runs in one thread beside it."""
        runnable = self._find(job.task)
        if runnable is None:
            return _outcome.parked(job, job.queue)
        if not runnable.is_async:
            from asyncio import to_thread

            return await to_thread(self.run, job, sink, on_policy)
        policy = self._effective(job.options, runnable.options, self._app)
        if on_policy is not None:
            on_policy(job, policy)
        run = Running(job, policy.retry.retries, sink)
        _current.enter_context(run)
        verdict = await self._async_attempt(run, runnable, policy)
        return verdict if run.log is None else verdict._replace(log=run.log.text(), log_dropped=run.log.dropped)

    def _attempt(self, run: Running, runnable: Runnable, policy: Policy) -> Verdict:
        job = run.job
        try:
            args, kwargs = self._codec.decode_call(job.payload, runnable.hints)
            self._gate.arm(run)
            try:
                if self._around:
                    value = self._call_within(run, runnable, args, kwargs)
                elif runnable.is_async:
                    value = self._run_async(run, runnable, args, kwargs)
                else:
                    value = runnable.fn(*args, **kwargs)
            finally:
                self._gate.disarm(run)
        except BaseException as error:
            verdict = self._verdict_of(error, run, policy)
        else:
            if value is None and policy.keep_result is True and not self._after and _outcome.untouched(job):
                # The common case of a small job, kept short.
                return Verdict(job.id, job.token, "succeeded", "succeeded", None, 0.0, True, "null")
            verdict = self._verdict_of_value(value, run, policy)
        return self._finish(run, verdict)

    async def _async_attempt(self, run: Running, runnable: Runnable, policy: Policy) -> Verdict:
        from ._coroutines import driven

        try:
            args, kwargs = self._codec.decode_call(run.job.payload, runnable.hints)
            try:
                with self._surrounded(run):
                    value = await driven(self._gate, run, runnable.fn(*args, **kwargs))
            finally:
                self._gate.disarm(run)
        except BaseException as error:
            verdict = self._verdict_of(error, run, policy)
        else:
            verdict = self._verdict_of_value(value, run, policy)
        return self._finish(run, verdict)

    def _call_within(self, run: Running, runnable: Runnable, args: list[Any], kwargs: dict[str, Any]) -> Any:
        with self._surrounded(run):
            if runnable.is_async:
                return self._run_async(run, runnable, args, kwargs)
            return runnable.fn(*args, **kwargs)

    def _surrounded(self, run: Running) -> ExitStack:
        stack = ExitStack()
        view = _view(run)
        try:
            for each in self._around:
                stack.enter_context(each.around_job(view))
        except BaseException:
            stack.close()
            raise
        return stack

    def _run_async(self, run: Running, runnable: Runnable, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run an ``async def`` in this thread's own loop. asyncio is imported by whoever needs it: it costs 30 ms of a start."""
        from . import _coroutines

        loop = getattr(self._loops, "loop", None)
        if loop is None or loop.is_closed():
            loop = self._loops.loop = _coroutines.new_loop()
        return loop.run_until_complete(_coroutines.driven(self._gate, run, runnable.fn(*args, **kwargs)))

    # -- the verdict ------------------------------------------------------------------------------------------------
    def _verdict_of_value(self, value: object, run: Running, policy: Policy) -> Verdict:
        if isinstance(value, (Retry, Snooze, Cancel)):
            return _asked(value, run.job, policy)
        if policy.keep_result is False:
            return _outcome.succeeded(run.job, None)
        keep = None if policy.keep_result is True else float(policy.keep_result)
        try:
            return _outcome.succeeded(run.job, self._codec.encode_value(value, "result"), keep=keep)
        except (PackhorseError, RecursionError) as error:
            return _outcome.succeeded(run.job, None, reason=_dropped(run.job, value, error))
        except Exception as error:  # an encoder of the App's own
            return _outcome.succeeded(run.job, None, reason=_dropped(run.job, value, error))

    def _verdict_of(self, error: BaseException, run: Running, policy: Policy) -> Verdict:
        if isinstance(error, (Retry, Snooze, Cancel)):
            return _asked(error, run.job, policy)
        if isinstance(error, Interrupted):
            return interrupted(run.job, policy, str(error.reason), error)
        if isinstance(error, SystemExit):
            text = _failure.plain("SystemExit", f"called sys.exit({error.code!r})", frames=[])
            return _outcome.failed(run.job, policy.retry, text, retry=policy.retry.wants(error))
        if _is_cancelled_error(error):
            text = _failure.plain("CancelledError", "cancelled itself: nobody had cancelled the job")
            return _outcome.failed(run.job, policy.retry, text, retry=policy.retry.wants(error))
        retry = policy.retry.wants(error)
        return _outcome.failed(run.job, policy.retry, _failure.describe(error), retry=retry)

    def _finish(self, run: Running, verdict: Verdict) -> Verdict:
        if self._after and verdict.state in FINAL:
            self.after(CurrentJob(run), verdict, run.job)
        return verdict

    # -- the end of a job -------------------------------------------------------------------------------------------
    def after(self, view: CurrentJob, verdict: Verdict, job: Run, by: str = "job") -> None:
        """Tell the middleware that the *job* has ended; what they raise is logged and changes nothing."""
        error = json.loads(verdict.error) if verdict.error else None
        attempt = 1 + job.failures + job.crashes + job.losses
        kind: Any = verdict.state
        outcome = Outcome(kind, error, attempt, by, verdict.reason)
        for each in self._after:
            try:
                each.after_job(view, outcome)
            except Exception:
                _log.exception("after_job of %s failed for job %s", type(each).__name__, job.id)

    def after_elsewhere(self, job: Claimed, verdict: Verdict) -> None:
        """Do the same for a job whose own child is dead."""
        run = Running(job, 0, None)
        self.after(CurrentJob(run), verdict, job, by="worker")


def interrupted(job: Run, policy: Policy, reason: str, error: BaseException | None = None) -> Verdict:
    """Return the verdict on a run that was stopped: by its time limit, a cancel, or a forced shutdown."""
    if reason == "cancelled":
        return _outcome.cancelled(job, "cancelled while it ran")
    if reason == "shutdown":
        return _outcome.stopped(job)
    limit = f"{policy.timeout:g} s" if policy.timeout is not None else "its"
    frames: dict[str, Any] = {}
    if error is not None:
        frames = {k: v for k, v in json.loads(_failure.describe(error)).items() if k in ("frames", "traceback")}
    text = _failure.plain("TimeLimit", f"stopped at its time limit of {limit}", code="E150", **frames)
    wanted = not policy.retry.refuses(Interrupted)
    return _outcome.failed(job, policy.retry, text, retry=wanted)


def _asked(signal: Retry | Snooze | Cancel, job: Run, policy: Policy) -> Verdict:
    if isinstance(signal, Cancel):
        return _outcome.cancelled(job, _failure.message(signal) or "cancelled by the job itself")
    if isinstance(signal, Snooze):
        return _outcome.snoozed(job, signal.delay, signal.reason or None)
    if signal.__cause__ is not None:
        text = _failure.describe(signal.__cause__)
    else:
        text = _failure.plain("Retry", signal.reason or "the job asked for another attempt")
    return _outcome.retried(job, policy.retry, text, signal.delay)


def _dropped(job: Run, value: object, error: BaseException) -> str:
    kind = "too large" if "large" in type(error).__name__.lower() else type(value).__name__
    if not isinstance(error, NotSerialisable):
        kind = f"{kind}: {_failure.message(error)}"
    return (
        f"ran to its end, but its result ({kind}) cannot be stored and was dropped. "
        f"Return data, or set keep_result=False to silence this.  [E122]"
    )


def _view(run: Running) -> CurrentJob:
    if run.view is None:
        run.view = CurrentJob(run)
    return run.view


def _is_cancelled_error(error: BaseException) -> bool:
    kind = type(error)
    return kind.__name__ == "CancelledError" and kind.__module__ == "asyncio.exceptions"
