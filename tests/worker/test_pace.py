"""How far ahead of its slots a worker claims."""

from packhorse._worker.pace import MOST, Pace


def known(queue: str, count: int, seconds: float) -> Pace:
    pace = Pace()
    pace.claimed([queue])
    for _ in range(count):
        pace.ran(queue, seconds)
    return pace


def test_nothing_ahead_before_ten_jobs_are_known() -> None:
    assert known("mail", 9, 0.001).ahead({}) == 0
    assert known("mail", 10, 0.0024).ahead({}) == 20


def test_fifty_milliseconds_of_work_ahead() -> None:
    assert known("mail", 10, 0.024).ahead({}) == 2


def test_slow_jobs_are_never_claimed_ahead() -> None:
    assert known("mail", 100, 0.051).ahead({}) == 0


def test_never_more_than_a_thousand_ahead() -> None:
    assert known("mail", 10, 0.0).ahead({}) == MOST
    assert known("mail", 10, 1e-9).ahead({}) == MOST


def test_only_the_last_hundred_count() -> None:
    pace = known("mail", 100, 10.0)
    for _ in range(100):
        pace.ran("mail", 0.0098)
    assert pace.ahead({}) == 5


def test_jobs_that_run_count_with_their_age() -> None:
    """A queue of quick jobs whose present one hangs must not fill the slot behind it."""
    pace = known("mail", 10, 0.001)
    assert pace.ahead({"mail": (1, 60.0)}) == 0


def test_the_slowest_queue_of_the_last_claim_decides() -> None:
    pace = known("quick", 10, 0.0024)
    for _ in range(10):
        pace.ran("slow", 1.0)
    pace.claimed(["quick", "slow"])
    assert pace.ahead({}) == 0
    pace.claimed(["quick"])
    assert pace.ahead({}) == 20


def test_a_queue_never_seen_gets_nothing_ahead() -> None:
    pace = known("mail", 10, 0.001)
    pace.claimed(["mail", "new"])
    assert pace.ahead({}) == 0


def test_many_runs_at_once_count_like_single_ones() -> None:
    pace = Pace()
    pace.claimed(["mail"])
    pace.ran_many("mail", [4_900_000] * 250)
    assert pace.ahead({}) == 10
