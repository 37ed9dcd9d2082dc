"""Which child gets which job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from packhorse._worker.dispatch import Dispatch, share_out


def child(held: int = 0, room: int | None = None) -> Any:
    return SimpleNamespace(jobs=dict.fromkeys(range(held)), room=room)


def shared(children: list[Any], jobs: list[int]) -> tuple[list[list[int]], list[int]]:
    shares, left = share_out(children, jobs, lambda each: each.room)  # type: ignore[arg-type]
    return [list(part) for _, part in shares], left  # type: ignore[return-value]


def test_equal_children_share_equally_in_order_of_rank() -> None:
    assert shared([child(), child()], [1, 2, 3, 4, 5]) == ([[1, 3, 5], [2, 4]], [])


def test_who_has_less_gets_more() -> None:
    shares, left = shared([child(3), child(0)], [1, 2, 3])
    assert (shares, left) == ([[], [1, 2, 3]], [])


def test_a_child_near_its_end_gets_no_more_than_it_may() -> None:
    shares, left = shared([child(room=1), child(room=2)], [1, 2, 3, 4])
    assert sorted(map(len, shares)) == [1, 2]
    assert left == [4]


def test_every_job_goes_somewhere_once() -> None:
    shares, left = shared([child(2, 3), child(0, 1), child(1, None)], list(range(20)))
    assert sorted([n for part in shares for n in part] + left) == list(range(20))


def test_without_children_all_is_left() -> None:
    assert shared([], [1, 2]) == ([], [1, 2])


def test_work_ahead_of_one_child_takes_no_slot_of_another() -> None:
    """Else a job that reserves something, which is claimed for free slots only, would wait for the other child's work."""
    busy = SimpleNamespace(jobs=dict.fromkeys(range(3)), solo=False)
    idle = SimpleNamespace(jobs={}, solo=False)
    config = SimpleNamespace(slots_per_child=1, max_jobs=None, app=("tasks",))
    dispatch = Dispatch(SimpleNamespace(config=config, timers=SimpleNamespace(ages=dict)))  # type: ignore[arg-type]
    dispatch._ahead = lambda: 4  # type: ignore[method-assign]
    want = dispatch._wanted([busy, idle])  # type: ignore[list-item]
    assert want is not None
    assert (want.free, want.ahead) == (1, 7)
