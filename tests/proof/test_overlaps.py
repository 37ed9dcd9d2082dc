"""The judge of the reserved run finds what is wrong: each kind of violation is planted into a ledger once."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packhorse._record import AttemptRecord, JobRecord
from tests.proof import jobs, reserved_jobs
from tests.proof.checking import Judgement
from tests.proof.ledger import Ledger, Start, Writer, read
from tests.proof.overlaps import Rules, judge_holds, spans
from tests.proof.picture import picture
from tests.proof.watching import Death, death_of

RULES = Rules(limits={"pool": 2}, rates={"rate": 10})
MS = 1000


class World:
    """What a ledger, the watch and the store say; times in milliseconds."""

    def __init__(self) -> None:
        self.book, self.result = Ledger(), Judgement()
        self.deaths: dict[int, list[Death]] = {}

    def ran(
        self, job: str, begin: float, end: float | None, *names: str, token: str = "t", outcome: str = "succeeded"
    ) -> None:
        """Let a job run; without an end it is killed in process 7."""
        self.book.starts.append(Start(job, token, 1, 7, 0, int(begin * MS), names))
        if end is not None:
            self.book.left[job, token] = self.book.ends[job, token] = int(end * MS)
        self.stored(job)
        attempt = AttemptRecord(job, token, 0, 1, "w", "ash", 0, 0, outcome, None, None, None, None)  # type: ignore[arg-type]
        self.result.attempts.setdefault(job, []).append(attempt)

    def stored(self, job: str, intended: float = 0, acked: float = 0.5) -> None:
        if job not in self.result.jobs:
            self.book.intended_at[job], self.book.acked_at[job] = int(intended * MS), int(acked * MS)
            self.result.jobs[job] = record(job, place=len(self.result.jobs) + 1)

    def judged(self) -> Judgement:
        judge_holds(self.result, self.book, self.deaths, RULES)
        return self.result


def record(job: str, **more: Any) -> JobRecord:
    facts: dict[str, Any] = dict.fromkeys(JobRecord._fields)
    return JobRecord(**{**facts, "id": job, **more})


@pytest.fixture
def world() -> World:
    """Two after each other, two readers at once, two in a pool, three let go by a rate, and one that was killed."""
    found = World()
    found.ran("a", 10, 20, "x:tape", "x:disk")
    found.ran("b", 21, 30, "x:disk", "x:tape")
    found.ran("c", 40, 60, "s:shelf")
    found.ran("d", 45, 55, "s:shelf")
    found.ran("e", 61, 65, "x:shelf")
    for n in range(3):
        found.ran(f"p{n}", 70 + 6 * n, 80 + 6 * n, "l:pool")
    for n in range(3):
        found.ran(f"r{n}", 100 + 100 * n, 110 + 100 * n, "l:rate")
    found.ran("k", 400, None, "x:tape", token="first", outcome="crashed")
    found.deaths[7] = [Death(1 * MS, 2 * MS), Death(405 * MS, 415 * MS)]
    found.ran("k", 420, 430, "x:tape", token="second")
    return found


def test_what_keeps_the_rules_is_no_violation(world: World) -> None:
    result = world.judged()
    assert result.violations == []
    counts = result.counts
    assert (counts["most at once, x"], counts["most at once, s"], counts["most at once, l"]) == (1, 2, 2)
    assert (counts["limit reached"], counts["interrupted exclusive holders"], counts["deaths unseen"]) == (2, 1, 0)
    assert (counts["rate let go"], counts["rate full"], counts["lost their turn"]) == (3, 2, 0)


def overlap(world: World) -> None:
    world.ran("z", 25, 26, "x:tape")


def write_beside_a_reader(world: World) -> None:
    world.ran("z", 50, 51, "x:shelf")


def read_beside_a_writer(world: World) -> None:
    world.ran("z", 62, 63, "s:shelf")


def take_a_place_of_what_is_reserved(world: World) -> None:
    world.ran("z", 500, 510, "x:pool")
    world.ran("y", 505, 506, "l:pool")


def begin_while_the_killed_one_lives(world: World) -> None:
    world.ran("z", 404, 404.5, "x:tape")


def hold_one_key_twice(world: World) -> None:
    world.ran("z", 500, 510, "u:key")
    world.ran("y", 505, 506, "u:key")


def be_one_too_many(world: World) -> None:
    world.ran("z", 78, 79, "l:pool")


def be_too_fast(world: World) -> None:
    for n, job in enumerate("yz"):
        world.stored(job, intended=500)
        world.ran(job, 510 + 80 * n, 511 + 80 * n, "l:rate")


def go_twice_though_the_first_run_failed(world: World) -> None:
    for n, job in enumerate("yz"):
        world.ran(job, 500 + 5 * n, 501 + 5 * n, "l:rate", outcome="retry")
        world.ran(job, 520 + 20 * n, 521 + 20 * n, "l:rate", token="second")


def hear_the_kernel_object(world: World) -> None:
    world.book.clashes.append(("a", "t", "x:tape"))


def stand_behind_who_came_later(world: World) -> None:
    world.stored("late", intended=600, acked=601)
    world.stored("early", intended=500, acked=501)


def begin_before_who_stood_in_front(world: World) -> None:
    world.ran("z", 900, 901, "x:tape")
    world.ran("y", 800, 801, "x:tape")


VIOLATIONS: dict[Callable[[World], None], str] = {
    overlap: "overlap: tape was held (x) by b",
    write_beside_a_reader: "overlap: shelf was held (s) by c",
    read_beside_a_writer: "overlap: shelf was held (x) by e",
    take_a_place_of_what_is_reserved: "overlap: pool was held (x) by z",
    begin_while_the_killed_one_lives: "overlap: tape was held (x) by k",
    hold_one_key_twice: "overlap: key key was held (u) by z",
    be_one_too_many: "limit: 3 runs held pool, limited to 2",
    be_too_fast: "runs held rate within",
    go_twice_though_the_first_run_failed: "runs held rate within",
    hear_the_kernel_object: "clash: run t of a began",
    stand_behind_who_came_later: "early was stored before the enqueue of late began, and stands behind it",
    begin_before_who_stood_in_front: "overtaken: z ",
}


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: violation.__name__)
def test_a_violation_is_found(world: World, violation: Callable[[World], None]) -> None:
    violation(world)
    assert any(VIOLATIONS[violation] in found for found in world.judged().violations), world.result.violations


def test_who_begins_while_a_killed_one_is_dying_is_in_doubt(world: World) -> None:
    world.ran("z", 410, 411, "x:tape")
    result = world.judged()
    assert [found for found in result.violations if "overlap" in found] == []
    assert result.counts["overlaps in doubt"] == 1


def test_a_reader_may_overtake_a_reader(world: World) -> None:
    world.ran("z", 900, 901, "s:shelf")
    world.ran("y", 800, 801, "s:shelf")
    assert world.judged().violations == []


def test_one_that_was_lost_before_it_ran_has_lost_its_turn(world: World) -> None:
    begin_before_who_stood_in_front(world)
    lost = world.result.attempts["z"][0]._replace(token="never ran", outcome="lost")
    world.result.attempts["z"].insert(0, lost)
    result = world.judged()
    assert (result.violations, result.counts["lost their turn"]) == ([], 1)


def test_a_run_after_a_crash_may_go_on_with_what_the_rate_let_go(world: World) -> None:
    world.ran("z", 400, None, "l:rate", outcome="crashed")
    world.ran("z", 420, 430, "l:rate", token="second")
    assert world.judged().violations == []


def test_the_ledger_keeps_names_and_ends_of_interrupted_runs(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path))
    writer.intend("a", "tape")
    writer.start("a", "t", 7, ["x:tape", "l:pool"])
    writer.broken("a", "t")
    writer.clash("a", "t", "x:tape")
    book = read(tmp_path)
    (span,) = spans(book, {})
    assert (span.names, span.interrupted, book.clashes) == (("x:tape", "l:pool"), True, [("a", "t", "x:tape")])
    assert book.intended_at["a"] <= span.begin <= span.sure == span.last


def test_a_process_id_may_be_used_again() -> None:
    deaths = {7: [Death(1, 2), Death(10, 12)]}
    assert death_of(deaths, 7, 3) == Death(10, 12)
    assert death_of(deaths, 7, 13) is death_of(deaths, 8, 1) is None


def test_the_kernel_tells_whether_a_name_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKHORSE_PROOF_LEDGER", str(tmp_path))
    jobs.writer.cache_clear()
    with (
        reserved_jobs._witnessed("a", "t", ["s:shelf-0", "l:pool-0", "l:rate-0"]),
        reserved_jobs._witnessed("b", "t", ["s:shelf-0", "l:pool-0", "l:rate-0"]),
        reserved_jobs._witnessed("c", "t", ["x:shelf-0", "l:pool-0"]),
        reserved_jobs._witnessed("d", "t", ["x:tape-0", "l:pool-0"]),
    ):
        pass
    assert read(tmp_path).clashes == [("c", "t", "x:shelf-0"), ("d", "t", "l:pool-0")]
    jobs.writer.cache_clear()
    with (tmp_path / "name.shelf-0.0").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # all have let go


def test_the_picture_has_a_bar_for_each_run(world: World) -> None:
    drawn = picture(spans(world.book, world.deaths))
    assert drawn.count("#d62728") == 2, "the killed run, and the legend"
    assert all(f">{name}</text>" in drawn for name in ("tape", "pool"))
