"""What it takes to run the jobs of one task; and jobs that end themselves, in a transaction of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _failure, _outcome
from ._current import Running
from ._inside import Inside
from ._record import Claimed, Verdict
from .errors import BadState, WrongHandle

if TYPE_CHECKING:
    from ._codec import Codec
    from ._handles import Handle
    from ._handles.acting import Aside
    from ._options import Policy
    from ._registry import Runnable

#: Flags of the code of generator functions, sync and async (``inspect.CO_GENERATOR`` and ``CO_ASYNC_GENERATOR``).
_GENERATORS = 0x20 | 0x200

#: What a store does inside a transaction, and in which dialect; and what the store is called.
Acts = tuple[Inside | None, str | None, str]


class Plan:
    """All that is needed to run the jobs of one task."""

    __slots__ = ("codec", "fn", "hints", "is_async", "is_generator", "keeps", "policy", "retries", "runnable")

    def __init__(self, runnable: Runnable, policy: Policy, codec: Codec) -> None:
        """Bring together what the code and the options say."""
        self.runnable = runnable
        self.fn = runnable.fn
        self.hints = runnable.hints
        self.is_async = runnable.is_async
        # A call of such a function runs none of its body; a generator that another function made is merely no data.
        self.is_generator = bool(getattr(getattr(runnable.fn, "__code__", None), "co_flags", 0) & _GENERATORS)
        self.policy = policy
        self.retries = policy.retry.retries
        self.keeps = policy.keep_result is True
        self.codec = codec

    def encoded(self, value: object) -> tuple[str | None, float | None]:
        """Return a result as it is stored, and for how many seconds (None: as long as the job). Raises what the codec raises."""
        keep = self.policy.keep_result
        if keep is False:
            return None, None
        text = self.codec.encode_value(value, "result", self.runnable.returns)
        return text, None if keep is True else float(keep)


# -- in the job -----------------------------------------------------------------------------------------------------------
def complete(acts: Acts, given: object, job: Claimed, result: str | None, keep: float | None) -> None:
    """Make a job succeeded when the caller's transaction commits. Raises ``WrongHandle``, ``WrongDatabase``, ``BadState``."""
    from ._handles import acting, check, usable  # most children never need them

    handle = sync_handle(given)
    raw = handle.connect()
    inside = usable(raw, *acts)
    check(raw, inside)
    if not acting(raw, inside.complete(job.id, job.token, result, keep)):
        raise _not_mine(job)
    handle.used()


async def acomplete(
    acts: Acts, given: object, job: Claimed, result: str | None, keep: float | None, aside: Aside
) -> None:
    """Do the same on a connection that is awaited; ``aside`` runs a call in a thread."""
    from ._handles import aacting, acheck, usable

    handle = async_handle(given)
    raw = await handle.aconnect()
    inside = usable(raw, *acts)
    await acheck(raw, inside, aside)
    if not await aacting(raw, inside.complete(job.id, job.token, result, keep), aside):
        raise _not_mine(job)
    handle.used()


def sync_handle(given: object) -> Handle:
    """Return a handle for ``complete_in``. Raises ``WrongHandle``."""
    from ._handles import handle_of

    handle = handle_of(given)
    if handle.is_async:
        raise WrongHandle(
            f"this {handle.name} is an async handle: await current_job().acomplete_in(…). Nothing was stored."
        )
    return handle


def async_handle(given: object) -> Handle:
    """Return a handle for ``acomplete_in``. Raises ``WrongHandle``."""
    from ._handles import handle_of

    handle = handle_of(given)
    if not handle.is_async:
        raise WrongHandle(
            f"this {handle.name} is a sync handle: call current_job().complete_in(…). Nothing was stored."
        )
    return handle


def _not_mine(job: Claimed) -> BadState:
    return BadState(
        f"job {job.id} ({job.task}) cannot be completed: it was cancelled, or given to another run, while this one was at work. "
        "Nothing was changed; roll back."
    )


# -- after it ---------------------------------------------------------------------------------------------------------------
def reconsidered(verdict: Verdict, run: Running, plan: Plan) -> Verdict:
    """Return the verdict on a run that called ``complete_in``: what holds unless that transaction was committed.

    Never a success: only the transaction can make it one.
    """
    if verdict.state == "succeeded":
        text = _failure.plain(
            "NotCommitted",
            "the job called complete_in() and returned, but the transaction was not committed",
            frames=[],
        )
        verdict = _outcome.failed(run.job, plan.policy.retry, text, reason="the transaction was not committed")
    return verdict._replace(elsewhere=True)


def committed(verdict: Verdict, result: str | None = None) -> Verdict:
    """Return the success that was committed, in place of the verdict that had been prepared."""
    return Verdict(verdict.job, verdict.token, "succeeded", "succeeded", result=result, elsewhere=True)
