"""``packhorse run --here``: one attempt in this process, as a worker's child would run it; no store is touched."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from .. import _current, _why, _why_error
from .._completing import async_handle, committed, sync_handle
from .._durations import spoken
from .._record import Claimed, NewJob, Verdict
from .._when import rfc3339
from ..errors import NotImportable
from . import _show
from ._job import call_text_of, error_text, value_text
from ._names import Found
from ._session import Session, app_specs

#: After its time limit a job has so long to end; then it is interrupted again.
_AGAIN = 5.0


def run_here(
    session: Session, found: Found, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any], as_json: bool
) -> int:
    """Run one attempt and print what became of it; return 0 if it succeeded, else 1."""
    app, registry = _load(session, found)
    runnable = registry.find(found.name)
    if runnable is None:
        raise NotImportable(_not_runnable(found.name))
    new = _encoded(found, app, args, kwargs, options)
    start = time.monotonic()
    # The document must be alone on stdout, whatever the job prints.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        verdict = _run(app, registry, _claimed(new))
    _tell(new, verdict, time.monotonic() - start, as_json)
    return 0 if verdict.state == "succeeded" else 1


def _load(session: Session, found: Found) -> tuple[Any, Any]:
    """Return App and tasks of the application that a worker here would run; without one, the task's own module."""
    from .. import _registry

    loaded = _registry.load(app_specs(session))
    app = session.app or loaded.app
    known = loaded.registry.find(found.name) is not None
    return app, loaded.registry if known else _of_module(found)


def _of_module(found: Found) -> Any:
    from .._identity import unwrap
    from .._registry import Registry

    module = getattr(unwrap(found.target), "__module__", None) or found.name.partition(":")[0]
    return Registry([importlib.import_module(module)])


def _not_runnable(name: str) -> str:
    return (
        f"a worker would not run '{name}': only functions of the application, under the name they are defined with and "
        f"without a leading underscore. Nothing was run."
    )


def _encoded(found: Found, app: Any, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any]) -> NewJob:
    from .._draft import contents
    from .._queue import Queue

    draft = Queue(app=app).using(**options).draft(found.target or found.name, *args, **kwargs)
    return NewJob._make(contents([draft], "{}", (None, None))[0])


def _claimed(new: NewJob) -> Claimed:
    now = time.time_ns() // 1000
    return Claimed(
        id=new.id,
        token="0" * 32,
        task=new.task,
        queue=new.queue,
        payload=new.payload,
        options=new.options,
        crash_fails=new.crash_fails,
        suspect=False,
        failures=0,
        crashes=0,
        losses=0,
        snoozes=0,
        generation=0,
        fence=now,
        priority=new.priority,
        created_at=now,
        scheduled_at=None,
        tags=new.tags,
        meta=new.meta,
        by=new.by,
        parent=None,
        error=None,
    )


def _run(app: Any, registry: Any, job: Claimed) -> Verdict:
    from .._codec import PLAIN
    from .._executor import Executor

    gate = _Limit()
    executor = Executor(
        registry.find,
        app.codec if app is not None else PLAIN,
        app.options if app is not None else None,
        app.middleware if app is not None else (),
        single=True,
        gate=gate,
    )
    news = _News()
    with gate.installed():
        verdict = executor.run(job, news, lambda _, policy: gate.set(policy.timeout))
    if verdict.elsewhere and news.completed:
        # There is no store whose row could tell: what the job asked for is what it got.
        verdict = committed(verdict, news.completed[-1])
        executor.after_elsewhere(job, verdict)
    return verdict


class _News:
    """Shows progress on stderr."""

    def __init__(self) -> None:
        self.completed: list[str | None] = []

    def progress(self, run: Any, bars: dict[str, Any]) -> None:
        """Print the bars."""
        _show.echo("; ".join(_show.clean(_why.bar_text(name, bar)) for name, bar in bars.items()), err=True)

    def meta(self, run: Any, values: dict[str, Any]) -> None:
        """Keep nothing: there is no store."""

    def complete(self, run: Any, transaction: object, result: str | None, keep: float | None) -> None:
        """Check the handle; the transaction itself is the job's affair."""
        sync_handle(transaction).connect()
        self.completed.append(result)

    async def acomplete(self, run: Any, transaction: object, result: str | None, keep: float | None) -> None:
        """Do the same for one that is awaited."""
        await async_handle(transaction).aconnect()
        self.completed.append(result)


class _Limit:
    """The time limit of the attempt, by an alarm instead of a supervisor."""

    def __init__(self) -> None:
        self._limit: float | None = None
        self._started = False
        self._task: asyncio.Task[Any] | None = None

    def set(self, limit: float | None) -> None:
        """Take the limit of the job's policy, seconds."""
        self._limit = limit

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Own the alarm for the time of a run."""
        before = signal.signal(signal.SIGALRM, self._strike)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def arm(self, task: asyncio.Task[Any] | None = None) -> None:
        """Start the time, when the user's code begins."""
        self._task = task
        if not self._started and self._limit is not None:
            signal.setitimer(signal.ITIMER_REAL, self._limit, _AGAIN)
        self._started = True

    def disarm(self) -> None:
        """Stop it."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        from .._signals import Interrupted

        run = _current.running()
        if run is not None:
            run.stop = "timeout"
        if self._task is None:
            raise Interrupted("timeout")
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)


# -- what became of it ------------------------------------------------------------------------------------------------
def _tell(new: NewJob, verdict: Verdict, ran: float, as_json: bool) -> None:
    if as_json:
        _show.document(_data(new, verdict, ran))
        return
    call = call_text_of(new.task, new.payload)
    if verdict.state == "succeeded":
        result = value_text(_why_error.loads(verdict.result)) if verdict.result is not None else "(result not stored)"
        head = f"{_show.symbol('succeeded')} {_show.clean(result)}    {call}"
        _show.echo(f"{head}   ran {spoken(ran)}   (here, nothing stored)")
    else:
        head = f"{_show.symbol(verdict.state)} {call}  {verdict.outcome}"
        _show.echo(f"{head} after {spoken(ran)}{_next(verdict)}   (here)")
    if verdict.reason:
        _show.echo(f"  {_show.clean(verdict.reason)}")
    error = _why_error.loads(verdict.error)
    for line in error_text(error) if isinstance(error, dict) else ():
        _show.echo(f"  {line}")


def _next(verdict: Verdict) -> str:
    if verdict.state not in ("retrying", "scheduled"):
        return ""
    return f"; a worker would run it again in {spoken(verdict.delay)}"


def _data(new: NewJob, verdict: Verdict, ran: float) -> dict[str, Any]:
    args, kwargs = _why_error.loads(new.payload)
    return {
        "task": new.task,
        "args": args,
        "kwargs": kwargs,
        "state": verdict.state,
        "outcome": verdict.outcome,
        "result": _why_error.loads(verdict.result),
        "error": _why_error.loads(verdict.error),
        "reason": verdict.reason,
        "ran": round(ran, 6),
        "ended_at": rfc3339(time.time_ns() // 1000),
    }
