"""What becomes of a run, decided without a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from packhorse import Cancel, Retry, Snooze
from packhorse._codec import Codec
from packhorse._executor import Executor
from packhorse._options import check
from packhorse._record import Claimed, Verdict
from packhorse._registry import Runnable


def job(task: str = "tasks:it", payload: str = "[[],{}]", **more: Any) -> Claimed:
    """Return a job at its first attempt."""
    plain: dict[str, Any] = dict.fromkeys(Claimed._fields)
    plain.update(dict.fromkeys(("failures", "crashes", "losses", "snoozes", "generation", "fence", "priority"), 0))
    plain.update(id="0" * 36, token="t" * 32, task=task, queue="default", payload=payload, created_at=1)
    plain.update(crash_fails=False, suspect=False)
    return Claimed(**{**plain, **more})


def ran(fn: Callable[..., Any], **more: Any) -> Verdict:
    """Return the verdict on one run of ``fn``."""
    runnable = Runnable("tasks:it", fn)
    executor = Executor({"tasks:it": runnable}.get, Codec(), check({}, "App", "App"), single=True)
    try:
        return executor.run(job(**more))
    finally:
        executor.close()


def numbers() -> Iterator[int]:
    yield 1


def lazy() -> object:
    return (n for n in range(3))


async def awaited() -> int:
    return 5


def forgotten() -> object:
    return awaited()


def test_a_function_without_a_value_leaves_a_plain_success() -> None:
    verdict = ran(lambda: None)
    assert (verdict.state, verdict.plain, verdict.result) == ("succeeded", True, "null")


def test_a_generator_that_a_function_made_is_merely_no_data() -> None:
    verdict = ran(lazy)
    assert (verdict.state, verdict.result) == ("succeeded", None)
    assert "generator" in str(verdict.reason)
    assert "[E122]" in str(verdict.reason)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("fn", [numbers, forgotten])
def test_a_body_that_has_not_run_is_no_success(fn: Callable[..., Any]) -> None:
    verdict = ran(fn)
    assert verdict.state == "failed"
    assert "has not run" in str(verdict.error)


def test_a_coroutine_function_is_awaited() -> None:
    assert ran(awaited).result == "5"


@pytest.mark.parametrize("raised", [True, False])
@pytest.mark.parametrize(
    "signal, state", [(Retry("1s"), "failed"), (Snooze("1s", "later"), "scheduled"), (Cancel("done"), "cancelled")]
)
def test_signals_may_be_returned_or_raised(signal: Exception, state: str, raised: bool) -> None:
    def fn() -> object:
        if raised:
            raise signal
        return signal

    assert ran(fn).state == state


def test_an_unknown_task_is_parked_in_its_side_line() -> None:
    executor = Executor({}.get, Codec(), check({}, "App", "App"))
    verdict = executor.run(job("tasks:gone"))
    assert (verdict.outcome, verdict.state, verdict.line) == ("released", "blocked", "default#tasks:gone")


def test_arguments_that_no_longer_fit_are_told_and_not_retried() -> None:
    verdict = ran(lambda a: a, payload="[[1,2],{}]", options='{"retry":{"retries":5}}')
    assert verdict.state == "failed"
    assert "takes 1" in str(verdict.error)
