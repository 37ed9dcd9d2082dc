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
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from . import _failure, _outcome
from ._completing import Plan, reconsidered
from ._current import (
    CurrentJob,
    Running,
    Sink,
    current_job,
    ended_elsewhere,
    enter_context,
    enter_only,
    leave_context,
    leave_only,
    looked_at,
    running,
)
from ._fetching import Away, Results
from ._outcome import Run
from ._record import FINAL, Claimed, Verdict
from ._reference import MARK
from ._signals import Cancel, Interrupted, Retry, Snooze
from .errors import BadArguments, NotSerialisable, PackhorseError, PayloadTooLarge, ResultGone

if TYPE_CHECKING:
    import asyncio

    from ._codec import Codec
    from ._fetching import Look
    from ._options import Options, Policy
    from ._registry import Runnable

_log = logging.getLogger("packhorse.worker")

#: Told the limits of each run before it begins.
OnPolicy = Callable[[Claimed, "Policy"], None]

#: Told that a job waits for its thread (True), and that it begins (False).
OnWait = Callable[[Claimed, bool], None]

#: The counters of a job at its very first attempt, and the verdict on its success behind id and token.
_FIRST = (0, 0, 0, 0, 0)
_PLAIN = Verdict("", "", "succeeded", "succeeded", plain=True, result="null")[2:]


#: What a function may return whose body has not run at all.
_UNRUN = frozenset({GeneratorType, CoroutineType, AsyncGeneratorType})


class Outcome(NamedTuple):
    """How a job ended, as ``after_job`` sees it. ``error`` is data, as in ``JobFailed.error``; ``by`` says who ended it."""

    kind: Literal["succeeded", "failed", "cancelled"]
    error: dict[str, Any] | None
    attempt: int
    by: str
    reason: str | None = None


class Gate(Protocol):
    """Lets interruptions into the user's code, and only there. It is about the run of the calling thread or coroutine."""

    def arm(self, task: asyncio.Task[Any] | None = None) -> None:
        """From here on the run may be interrupted; raises at once if it already should be."""

    def disarm(self) -> None:
        """From here on it may not; what is pending is forgotten. Calling it twice is fine."""


class _Open:
    def arm(self, task: asyncio.Task[Any] | None = None) -> None:
        """Nobody interrupts."""

    def disarm(self) -> None:
        """Nobody interrupts."""


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
        look: Look | None = None,
    ) -> None:
        """``single``: one job at a time in this process, visible to its threads too. ``look`` asks the store for the jobs whose
        results are arguments of others."""
        from ._options import effective

        self._find = find
        self._codec = codec
        self._app = app
        self._decode = codec.decode_call
        self._results = Results(look, codec) if look is not None else None
        self._effective = effective
        self._plans: dict[str, Plan] = {}
        self._around = [m for m in middleware if hasattr(m, "around_job")]
        self._after = [m for m in middleware if hasattr(m, "after_job")]
        self._single = single
        self._gate: Gate = gate or _Open()
        self._loops = threading.local()

    # -- the run ----------------------------------------------------------------------------------------------------
    def run(self, job: Claimed, sink: Sink | None = None, on_policy: OnPolicy | None = None) -> Verdict:
        """Run a job to its end in this thread, an ``async def`` in a loop of the thread's own."""
        plan = self._plans.get(job.task) if job.options is None else None
        if plan is None:
            plan = self._plan(job, on_policy)
            if plan is None:
                return _outcome.parked(job, job.queue)
        if self._single:
            enter_only((job, plan.retries, sink, plan))
            verdict = self._attempt(job, plan)
            run = leave_only()
        else:
            run = Running(job, plan.retries, sink, plan)
            token = enter_context(run)
            try:
                verdict = self._attempt(job, plan)
            finally:
                leave_context(token)
        return verdict if run is None or run.log is None else _logged(verdict, run)

    async def arun(self, job: Claimed, sink: Sink | None, on_policy: OnPolicy | None, on_wait: OnWait) -> Verdict:
        """Run a job as a coroutine of the running loop; a sync function waits for, and runs in, one thread beside it."""
        plan = self._plan(job, on_policy)
        if plan is None:
            return _outcome.parked(job, job.queue)
        if not plan.is_async:
            from asyncio import to_thread

            on_wait(job, True)
            return await to_thread(self._run_beside, job, sink, on_policy, on_wait)
        run = Running(job, plan.retries, sink, plan)
        enter_context(run)
        verdict = await self._async_attempt(run, plan)
        return verdict if run.log is None else _logged(verdict, run)

    def _run_beside(self, job: Claimed, sink: Sink | None, on_policy: OnPolicy | None, on_wait: OnWait) -> Verdict:
        on_wait(job, False)
        return self.run(job, sink, on_policy)

    def _plan(self, job: Claimed, on_policy: OnPolicy | None) -> Plan | None:
        """Return how to run a job; None: nobody knows the task. Kept for jobs without options of their own."""
        runnable = self._find(job.task)
        if runnable is None:
            return None
        plan = Plan(runnable, self._effective(job.options, runnable.options, self._app), self._codec)
        if on_policy is not None:
            on_policy(job, plan.policy)
        if job.options is None:
            self._plans[job.task] = plan
        return plan

    def _attempt(self, job: Claimed, plan: Plan) -> Verdict:
        gate = self._gate
        try:
            args, kwargs = self._decode(job.payload, plan.hints, self._results)
            gate.arm()
            try:
                if self._around:
                    value = self._call_within(plan, args, kwargs)
                elif plan.is_async:
                    value = self._run_async(plan, args, kwargs)
                else:
                    value = plan.fn(*args, **kwargs)
            finally:
                gate.disarm()
        except BaseException as error:
            gate.disarm()  # once more: the interruption may have come in the middle of the first time
            verdict = self._verdict_of(error, job, plan)
        else:
            if value is None and plan.keeps and not self._after and job[8:13] == _FIRST and not ended_elsewhere():
                # The common case of a small job, kept short.
                return tuple.__new__(Verdict, (job.id, job.token, *_PLAIN))
            verdict = self._verdict_of_value(value, job, plan)
        return self._finish(job, verdict, plan)

    async def _async_attempt(self, run: Running, plan: Plan) -> Verdict:
        from ._coroutines import driven

        job = run.job
        try:
            args, kwargs = await self._adecode(job, plan)
            try:
                with self._surrounded():
                    value = await driven(self._gate, run, plan.fn(*args, **kwargs))
            finally:
                self._gate.disarm()
        except BaseException as error:
            verdict = self._verdict_of(error, job, plan)
        else:
            verdict = self._verdict_of_value(value, job, plan)
        return self._finish(job, verdict, plan)

    async def _adecode(self, job: Claimed, plan: Plan) -> tuple[list[Any], dict[str, Any]]:
        if MARK not in job.payload:
            return self._decode(job.payload, plan.hints)
        from asyncio import to_thread

        return await to_thread(self._decode, job.payload, plan.hints, self._results)

    def _call_within(self, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Any:
        with self._surrounded():
            return self._run_async(plan, args, kwargs) if plan.is_async else plan.fn(*args, **kwargs)

    def _surrounded(self) -> ExitStack:
        stack = ExitStack()
        view = current_job()
        try:
            for each in self._around:
                stack.enter_context(each.around_job(view))
        except BaseException:
            stack.close()
            raise
        return stack

    def close(self) -> None:
        """Close the event loop of this thread, if an ``async def`` ran here."""
        loop: asyncio.AbstractEventLoop | None = getattr(self._loops, "loop", None)
        if loop is not None and not loop.is_closed():
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _run_async(self, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run an ``async def`` in this thread's own loop. asyncio is imported by whoever needs it: it costs 30 ms of a start."""
        from . import _coroutines

        run = running()
        assert run is not None
        loop = getattr(self._loops, "loop", None)
        if loop is None or loop.is_closed():
            loop = self._loops.loop = _coroutines.new_loop()
        return loop.run_until_complete(_coroutines.driven(self._gate, run, plan.fn(*args, **kwargs)))

    # -- the verdict ------------------------------------------------------------------------------------------------
    def _verdict_of_value(self, value: object, job: Claimed, plan: Plan) -> Verdict:
        policy = plan.policy
        if isinstance(value, (Retry, Snooze, Cancel)):
            return _asked(value, job, policy)
        if type(value) in _UNRUN and (type(value) is CoroutineType or plan.is_generator):
            return _outcome.failed(job, policy.retry, _unrun(value), retry=False)
        try:
            text, keep = plan.encoded(value)
            return _outcome.succeeded(job, text, keep=keep)
        except (PackhorseError, RecursionError) as error:
            return _outcome.succeeded(job, None, reason=_dropped(job, value, error))
        except Exception as error:  # an encoder of the App's own
            return _outcome.succeeded(job, None, reason=_dropped(job, value, error))

    def _verdict_of(self, error: BaseException, job: Claimed, plan: Plan) -> Verdict:
        policy = plan.policy
        if isinstance(error, BaseExceptionGroup):
            error = _interruption(error) or error
        if isinstance(error, (Retry, Snooze, Cancel)):
            return _asked(error, job, policy)
        if isinstance(error, Away):
            return _outcome.released(job, str(error))
        if isinstance(error, Interrupted):
            return interrupted(job, policy, str(error.reason), error)
        if isinstance(error, SystemExit):
            text = _failure.plain("SystemExit", f"called sys.exit({error.code!r})", frames=[])
            return _outcome.failed(job, policy.retry, text, retry=policy.retry.wants(error))
        if _is_cancelled_error(error):
            text = _failure.plain("CancelledError", "cancelled itself: nobody had cancelled the job")
            return _outcome.failed(job, policy.retry, text, retry=policy.retry.wants(error))
        misfit = self._misfit(error, job, plan)
        if misfit is not None:
            return _outcome.failed(job, policy.retry, _failure.describe(misfit), retry=False)
        return _outcome.failed(job, policy.retry, _failure.describe(error), retry=policy.retry.wants(error))

    def _misfit(self, error: BaseException, job: Claimed, plan: Plan) -> BaseException | None:
        """Return what is wrong if the stored arguments no longer fit the function, or one of them is the result of another job
        and gone: no number of attempts mends that."""
        ours = isinstance(error, (BadArguments, ResultGone))
        if ours or not isinstance(error, TypeError):
            return error if ours and not _from_user(error) else None
        from ._signature import check_call

        try:
            args, kwargs = self._decode(job.payload, plan.hints, self._results)
            check_call(plan.fn, tuple(args), kwargs, job.task)
        except BadArguments as misfit:
            return misfit
        except (PackhorseError, Away):
            return None
        return None

    def _finish(self, job: Claimed, verdict: Verdict, plan: Plan) -> Verdict:
        run = looked_at()
        if run is not None and run.elsewhere:
            return reconsidered(verdict, run, plan)  # how the job ended is known when it is settled
        if self._after and verdict.state in FINAL:
            self.after(current_job(), verdict, job)
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

    def after_elsewhere(self, job: Claimed, verdict: Verdict, by: str | None = None) -> None:
        """Do the same for a job whose own child is dead, that ended itself in a transaction of the user's, or that was a command
        (``by`` then says so)."""
        run = Running(job, 0, None)
        self.after(CurrentJob(run), verdict, job, by=by or ("job" if verdict.elsewhere else "worker"))


def interrupted(job: Run, policy: Policy, reason: str, error: BaseException | None = None) -> Verdict:
    """Return the verdict on a run that was stopped: by its time limit, a cancel, or a forced shutdown."""
    if reason == "cancelled":
        return _outcome.cancelled(job, None)
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


def _unrun(value: object) -> str:
    kind = type(value).__name__
    text = f"returned a {kind}, whose code has not run. Iterate or await it inside the task, or make the task an 'async def'."
    return _failure.plain("TypeError", text, frames=[])


def _dropped(job: Run, value: object, error: BaseException) -> str:
    kind = type(value).__name__
    if isinstance(error, PayloadTooLarge):
        kind = f"{kind}, larger than 1 MiB as JSON"
    elif not isinstance(error, NotSerialisable):
        kind = f"{kind}: {type(error).__name__}: {_failure.message(error)}"
    return (
        f"ran to its end, but its result ({kind}) cannot be stored and was dropped. "
        f"Return data, or set keep_result=False to silence this.  [E122]"
    )


def _logged(verdict: Verdict, run: Running) -> Verdict:
    return verdict._replace(log=run.log.text(), log_dropped=run.log.dropped)


def _from_user(error: BaseException) -> bool:
    """Tell whether the user's own code raised it, and not the decoding of the job's arguments."""
    return bool(json.loads(_failure.describe(error))["frames"])


def _interruption(error: BaseException) -> Interrupted | None:
    """Return the interruption in a group: a task group wraps what arrives in it."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_interruption, error.exceptions)), None)
    return error if isinstance(error, Interrupted) else None


def _is_cancelled_error(error: BaseException) -> bool:
    kind = type(error)
    return kind.__name__ == "CancelledError" and kind.__module__ == "asyncio.exceptions"
