"""The judge of the random-kill run finds what is wrong: each kind of lie in ledger or store is told to it once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from packhorse import _outcome
from packhorse._record import Claimed, NewJob, WorkerRecord
from packhorse._store import Store
from packhorse._stores import open_store
from tests.proof.checking import Judgement, Tail, judge
from tests.proof.ledger import Ledger, Start, Writer, now, read
from tests.proof.outages import Outage
from tests.proof.worker_logs import AWAY, BACK, REFUSED, tell
from tests.proof.workers import Life

ERROR = json.dumps({"type": "ProcessDied", "message": "killed"})


class World:
    """A store with one worker, and the ledger of what happens in it."""

    def __init__(self) -> None:
        self.store: Store = open_store(f"memory://{uuid.uuid4().hex}")
        self.store.register(WorkerRecord(id="w", name="w", host="ash", pid=1, boot_id="b"))
        self.ledger = Ledger()

    def enqueue(self, kind: str = "nothing", **more: Any) -> str:
        job = str(uuid.uuid4())
        self.ledger.intended[job] = kind
        self.store.enqueue([NewJob(job, "m:f", "q", "[[],{}]", **more)])
        self.ledger.acked[job] = 1
        return job

    def start(self) -> Claimed:
        (job,) = self.store.claim(["q"], 1, 0, "w", 1).jobs
        self.ledger.starts.append(Start(job.id, job.token, job.fence, 1))
        return job

    def succeed(self, job: Claimed) -> None:
        self.ledger.ends[job.id, job.token] = 2
        self.store.settle("w", [_outcome.succeeded(job, "null")._replace(started=0.0)])

    def crash(self, job: Claimed) -> None:
        self.store.settle("w", [_outcome.crashed(job, ERROR, "SIGKILL")._replace(started=0.0)])

    def judged(self) -> Judgement:
        return judge(self.store, self.ledger, "q", set())


@pytest.fixture
def world() -> Iterator[World]:
    """One job that crashed once and then succeeded, all of it on record."""
    found = World()
    found.enqueue()
    found.crash(found.start())
    found.succeed(found.start())
    yield found
    found.store.close()


def test_a_run_as_promised_has_no_violation(world: World) -> None:
    result = world.judged()
    assert result.violations == []
    assert (result.counts["starts"], result.counts["extra starts"], result.counts["explained"]) == (2, 1, 1)
    assert result.counts["interrupted runs"] == 1


def lose(world: World) -> None:
    world.ledger.acked["gone"] = 5


def invent(world: World) -> None:
    world.ledger.intended.clear()


def leave_stuck(world: World) -> None:
    world.enqueue()


def run_in_secret(world: World) -> None:
    first = world.ledger.starts[0]
    world.ledger.starts.append(first._replace(token="nobody", fence=first.fence + 10**9))


def run_twice_under_one_token(world: World) -> None:
    last = world.ledger.starts[-1]
    world.ledger.starts.append(last._replace(fence=last.fence + 1))


def succeed_without_running(world: World) -> None:
    world.ledger.ends.clear()


def turn_fences_round(world: World) -> None:
    world.ledger.starts.reverse()


def run_twice_what_must_not(world: World) -> None:
    (job,) = world.ledger.intended
    world.ledger.intended[job] = "once"


def fail_for_no_reason(world: World) -> None:
    world.enqueue()
    job = world.start()
    world.store.settle("w", [_outcome.failed(job, _backoff(), ERROR, retry=False)._replace(started=0.0)])


def _backoff() -> Any:
    from packhorse import Backoff

    return Backoff(0)


def forget_a_reason(world: World) -> None:
    real = world.store.attempts
    world.store.attempts = lambda job: [a._replace(reason=None, error=None) for a in real(job)]  # type: ignore[method-assign]


def forget_an_attempt(world: World) -> None:
    real = world.store.attempts
    world.store.attempts = lambda job: real(job)[1:]  # type: ignore[method-assign]


def tell_two_successes(world: World) -> None:
    real = world.store.attempts
    world.store.attempts = lambda job: [a._replace(outcome="succeeded") for a in real(job)]  # type: ignore[method-assign]


def miscount(world: World) -> None:
    world.store.queues = lambda names=None: []  # type: ignore[method-assign]


LIES: dict[Callable[[World], None], str] = {
    lose: "was acknowledged and is not stored",
    invent: "nobody intended it",
    leave_stuck: "stuck: ",
    run_in_secret: "no attempt tells of it",
    run_twice_under_one_token: "started twice under one token",
    succeed_without_running: "no run came to its end",
    turn_fences_round: "its fences do not grow",
    run_twice_what_must_not: "must not run twice",
    fail_for_no_reason: "failed: ",
    forget_a_reason: "without a reason",
    forget_an_attempt: "no attempt tells of it",
    tell_two_successes: "with 2 successful attempts",
    miscount: "the store counts {}",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_found(world: World, lie: Callable[[World], None]) -> None:
    lie(world)
    assert any(LIES[lie] in violation for violation in world.judged().violations)


def test_the_ledger_reads_what_was_written(tmp_path: Any) -> None:
    writer = Writer(str(tmp_path))
    writer.intend("a", "short")
    writer.acked("a", "b")
    writer.start("a", "t", 7)
    writer.end("a", "t")
    found = read(tmp_path)
    assert (found.intended, found.acked.keys(), found.ends.keys()) == ({"a": "short"}, {"a", "b"}, {("a", "t")})
    (start,) = found.starts
    assert start[:3] == ("a", "t", 7)
    assert found.acked["a"] <= start.at <= found.ends["a", "t"] <= now()


# -- a server that was killed -----------------------------------------------------------------------------------------
def test_what_a_server_forgot_is_forgiven_within_its_tail_and_nowhere_else(world: World) -> None:
    lose(world)
    assert judge(world.store, world.ledger, "q", set(), Tail([(6, 9)])).violations
    result = judge(world.store, world.ledger, "q", set(), Tail([(4, 9)]))
    assert (result.violations, result.counts["lost with a tail"]) == ([], 1)


def test_an_intent_that_was_never_acknowledged_may_be_stored_or_not(world: World) -> None:
    (job,) = world.ledger.intended
    del world.ledger.acked[job]
    world.ledger.intended["never stored"] = "nothing"
    result = world.judged()
    assert result.violations == []
    assert (result.counts["never acknowledged"], result.counts["never acknowledged, stored"]) == (2, 1)


OUTAGE = Outage(began=1100.0, ready=1104.0, killed=True)


def life(path: Path, *lines: tuple[float, str], began: float = 1000.0, ended: float | None = None) -> Life:
    """A worker's log with these messages."""
    log = path / "worker-0-0.log"
    with log.open("w") as file:
        print("packhorse worker serves", file=file)
        for at, message in lines:
            print(
                json.dumps({"timestamp": f"{datetime.fromtimestamp(at, UTC):%FT%T.%fZ}", "message": message}), file=file
            )
    return Life(log, began, ended)


GONE = (1100.1, f"no answer\n  retrying … {AWAY})")
THERE = (1104.4, f"{BACK} 4.3 s")


def test_a_worker_that_says_once_that_the_server_went_and_once_that_it_came_is_right(tmp_path: Path) -> None:
    told = tell([life(tmp_path, GONE, THERE)], [OUTAGE])
    assert (told.wrong, told.away, told.back) == ([], 1, 1)
    assert told.seconds == [pytest.approx(0.4)]


@pytest.mark.parametrize(
    "lines, more, what",
    [
        ([], {}, "says nothing of the outage"),
        ([GONE], {}, "and never that it is back"),
        ([GONE, GONE, THERE], {}, "says twice"),
        ([THERE, GONE, THERE], {}, "had not said that it was away"),
        ([GONE, THERE, (1150.0, GONE[1]), (1151.0, THERE[1])], {}, "and it was not"),
        ([(1100.2, f"{REFUSED}0 s: no such password"), GONE, THERE], {}, "that it was refused"),
    ],
)
def test_a_worker_that_says_too_little_or_too_much_is_found(
    tmp_path: Path, lines: list[tuple[float, str]], more: dict[str, Any], what: str
) -> None:
    told = tell([life(tmp_path, *lines, **more)], [OUTAGE])
    assert [wrong for wrong in told.wrong if what in wrong], told.wrong


@pytest.mark.parametrize("lines, began, ended", [([], 1099.0, None), ([], 1000.0, 1104.5), ([GONE], 1000.0, 1100.5)])
def test_who_did_not_live_through_it_need_not_say_so(
    tmp_path: Path, lines: list[tuple[float, str]], began: float, ended: float | None
) -> None:
    assert tell([life(tmp_path, *lines, began=began, ended=ended)], [OUTAGE]).wrong == []


def test_a_worker_that_was_stopped_itself_may_say_that_its_store_was_away(tmp_path: Path) -> None:
    lived = life(tmp_path, (1150.0, GONE[1]), (1151.0, THERE[1]))
    assert tell([lived], [], [(1100.0, 1149.5)]).wrong == []
    assert tell([lived], [], [(1100.0, 1140.0)]).wrong


def test_an_outage_may_be_too_short_to_be_noticed(tmp_path: Path) -> None:
    assert tell([life(tmp_path)], [Outage(began=1100.0, ready=1101.0, killed=True)]).wrong == []
