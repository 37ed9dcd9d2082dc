"""What a child's death means for each of its jobs."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from packhorse._options import Policy
from packhorse._record import Claimed
from packhorse._worker.child_process import Observed
from packhorse._worker.death import Death, verdicts

USAGE = SimpleNamespace(ru_maxrss=2048, ru_utime=0.5, ru_stime=0.25)


def job(name: str, **changes: Any) -> Claimed:
    fields = dict.fromkeys(Claimed._fields)
    counters = dict.fromkeys(("failures", "crashes", "losses", "snoozes", "generation", "fence", "priority"), 0)
    more = {"id": name, "token": "t", "task": "m:f", "queue": "q", "crash_fails": False, "suspect": False}
    return Claimed(**{**fields, **counters, **more, **changes})  # type: ignore[arg-type]


class Hearing:
    def policy(self, job: Claimed) -> Policy:
        return Policy()

    def last_news(self, job: Claimed, seen: object) -> None:
        """Nobody listens."""


def dead(jobs: list[Claimed], *, doomed: dict[int, str] | None = None, faults: str = "", **more: Any) -> Any:
    return SimpleNamespace(
        jobs=dict(enumerate(jobs)), observed={}, doomed=doomed or {}, last_result=0, last_given=1, cut_off=False, commands=False,
        fault_text=lambda: faults, **more,
    )  # fmt: skip


def by(signal_number: int) -> Death:
    return Death(signal_number, USAGE)


def judge(child: Any, death: Death) -> dict[str, Any]:
    return {job.id: verdict for job, _, _, verdict in verdicts(child, death, Hearing())}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "status, text",
    [
        (signal.SIGKILL, "process killed by SIGKILL, likely out of memory (peak memory 2 MiB)"),
        (signal.SIGSEGV, "process killed by SIGSEGV (peak memory 2 MiB)"),
        (0, "process exited without reporting (exit status 0)"),
        (3 << 8, "process exited without reporting (exit status 3)"),
    ],
)
def test_a_death_is_told_in_words(status: int, text: str) -> None:
    assert Death(status, USAGE).text == text


def test_a_job_that_was_alone_is_to_blame() -> None:
    verdict = judge(dead([job("a")]), by(signal.SIGSEGV))["a"]
    assert (verdict.outcome, verdict.state, verdict.crashes, verdict.suspect) == ("crashed", "queued", 1, False)
    assert json.loads(verdict.usage) == {"exit": -11, "signal": "SIGSEGV", "peak_memory": 2097152, "child_cpu": 0.75}


def test_of_several_each_is_a_suspect_and_none_is_counted() -> None:
    for verdict in judge(dead([job("a"), job("b")]), by(signal.SIGSEGV)).values():
        assert (verdict.outcome, verdict.state, verdict.crashes, verdict.suspect) == ("crashed", "queued", 0, True)
        assert "only suspected" in json.loads(verdict.error)["message"]


def test_the_neighbours_of_a_killed_job_are_released_and_told_why() -> None:
    found = judge(dead([job("slow"), job("b")], doomed={0: "timeout"}), by(signal.SIGKILL))
    assert (found["slow"].outcome, found["slow"].failures) == ("failed", 1)
    assert (found["b"].outcome, found["b"].state, found["b"].losses, found["b"].crashes) == ("released", "queued", 0, 0)
    assert "slow" in found["b"].reason


def test_a_killed_cancelled_job_is_cancelled() -> None:
    assert judge(dead([job("a")], doomed={0: "cancelled"}), by(signal.SIGKILL))["a"].state == "cancelled"


def test_a_run_that_is_no_longer_ours_gets_no_verdict() -> None:
    assert judge(dead([job("a")], doomed={0: "lost"}), by(signal.SIGKILL)) == {}


@pytest.mark.parametrize("alone", [True, False])
def test_what_must_not_run_twice_fails(alone: bool) -> None:
    jobs = [job("a", crash_fails=True), *([] if alone else [job("b")])]
    verdict = judge(dead(jobs), by(signal.SIGSEGV))["a"]
    assert (verdict.state, verdict.reason.partition(":")[0]) == ("failed", "crashed, not retried")


def test_the_fault_trace_is_in_the_log_and_the_error() -> None:
    verdict = judge(dead([job("a")], faults="Fatal Python error"), by(signal.SIGSEGV))["a"]
    assert verdict.log == "Fatal Python error"
    assert json.loads(verdict.error)["traceback"] == "Fatal Python error"


def test_what_it_had_printed_comes_before_the_trace() -> None:
    child = dead([job("a")], faults="Fatal")
    seen = Observed(5)
    from packhorse._capture import Tail

    seen.tail = Tail()
    seen.tail.add("printed\n")
    child.observed[0] = seen
    assert judge(child, by(signal.SIGSEGV))["a"].log == "printed\nFatal"
