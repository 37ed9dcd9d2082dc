"""Results of other jobs, looked up before a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from packhorse import Queue, _fetching
from packhorse._codec import PLAIN
from packhorse._executor import Executor
from packhorse._fetching import Away, Results
from packhorse._record import JobRecord, Verdict
from packhorse._registry import Runnable
from packhorse.errors import ResultGone, StoreUnavailable
from packhorse.testing import memory
from tests.unit.test_executor import job

ID = "0190e6a4-0000-7000-8000-000000000000"
PAYLOAD = json.dumps([[{"$result": ID}], {}], separators=(",", ":"))


def one() -> int:
    return 1


def stored(**changed: Any) -> JobRecord:
    """Return the record of a job that succeeded."""
    with memory() as store:
        Queue().enqueue(one)
        done = store.run()[0]._record
        assert done is not None
        return done._replace(id=ID, **changed)


class Flaky:
    """A store that is away for a while."""

    def __init__(self, away: int) -> None:
        self.away = away

    def __call__(self, ids: Sequence[str]) -> list[JobRecord]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("gone")
        return [stored()]


def ran(fn: Any, look: Any, payload: str = PAYLOAD) -> Verdict:
    executor = Executor({"tasks:it": Runnable("tasks:it", fn)}.get, PLAIN, single=True, look=look)
    try:
        return executor.run(job(payload=payload))
    finally:
        executor.close()


def test_a_store_that_is_back_soon_is_waited_for() -> None:
    assert ran(lambda number: number + 1, Flaky(2)).result == "2"


def test_one_that_stays_away_puts_the_job_back_unblamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fetching, "_PATIENCE", 0.0)
    verdict = ran(lambda number: number, Flaky(10))
    assert (verdict.outcome, verdict.state, verdict.failures) == ("released", "queued", 0)
    assert verdict.reason == "the store did not answer when its arguments were looked up"
    with pytest.raises(Away):
        Results(Flaky(10), PLAIN)([ID])


@pytest.mark.parametrize(
    "found, words",
    [
        ([], "is not stored any more"),
        ([{"result": None}], "succeeded, but its result is not stored"),
        (
            [{"result": None, "reason": "ran, but its result was dropped."}],
            "succeeded, but ran, but its result was dropped;",
        ),
        ([{"state": "cancelled", "result": None}], "is cancelled and has no result"),
    ],
)
def test_what_is_not_there_is_gone(found: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ResultGone, match=words):
        Results(lambda ids: [stored(**each) for each in found], PLAIN)([ID])


def test_a_job_that_asks_for_a_result_itself_may_try_again() -> None:
    def asks() -> None:
        raise ResultGone("mine")

    assert "ResultGone" in str(ran(asks, Flaky(0), "[[],{}]").error)


def test_a_result_that_does_not_fit_is_told() -> None:
    def takes(money: Money) -> None: ...

    verdict = ran(takes, Flaky(0))
    assert verdict.state == "failed"
    assert "argument 'money' does not fit the annotation" in str(verdict.error)


class Money:
    @classmethod
    def model_validate(cls, data: Any) -> Any:
        raise NotImplementedError

    def model_dump(self) -> Any:
        raise NotImplementedError
