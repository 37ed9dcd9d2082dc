"""Jobs that wait for each other by way of a flow: said, with the way out."""

from __future__ import annotations

from packhorse._store import JobFilter

from .test_why import clock, why, world  # noqa: F401  (fixtures)


def test_a_member_that_waits_for_who_waits_for_its_flow(world):  # noqa: F811
    world.worker()
    last = world.job("tasks:last", after_flow="f")
    member = world.job("tasks:member", flow="f", after=(last,))
    answer = why(world, last)
    assert answer.text == (
        "cannot start, since jobs wait for each other: it waits for the flow 'f', of which job "
        f"{member} (tasks:member) is one, which waits for job {last} (tasks:last); to get out, cancel one of them:  "
        f"packhorse jobs cancel {member}"
    )
    assert (answer.kind, answer.facts) == ("circle", {"circle": [last, member], "newest": member})
    other = why(world, member)
    assert f"it waits for job {last} (tasks:last), which waits for the flow 'f', of which job {member}" in other.text
    world.store.cancel(JobFilter(ids=(member,)))
    assert why(world, last).kind == "admission"


def test_flows_that_wait_for_each_other(world):  # noqa: F811
    world.worker()
    one = world.job(flow="f", after_flow="g")
    other = world.job(flow="g", after_flow="f")
    assert set(why(world, one).facts["circle"]) == {one, other}
    assert why(world, other).facts["newest"] == other


def test_who_waits_for_a_circle_is_told_of_it(world):  # noqa: F811
    world.worker()
    last = world.job("tasks:last", after_flow="f")
    member = world.job("tasks:member", flow="f", after=(last,))
    waits = world.job(after=(last,))
    answer = why(world, waits)
    assert (answer.kind, set(answer.facts["circle"])) == ("circle", {last, member})
    assert "jobs wait for each other: job " in answer.text
    assert waits not in answer.text


def test_one_due_later_is_a_part_of_it_too(world):  # noqa: F811
    world.worker()
    last = world.job(after_flow="f")
    world.job(flow="f", after=(last,), delay=3600.0)
    assert why(world, last).kind == "circle"


def test_no_circle_where_none_is(world):  # noqa: F811
    world.worker()
    first = world.job(flow="f")
    second = world.job(flow="f", after=(first,))
    third = world.job(flow="f", after=(first, second))
    last = world.job(flow="f", after_flow="f")
    for job in (second, third):
        assert why(world, job).kind == "after"
    assert why(world, last).kind == "flow"


def test_the_walk_is_bounded(world):  # noqa: F811
    world.worker()
    first = world.job("tasks:first", delay=3600.0)
    for _ in range(1100):
        first = world.job(after=(first,))
    assert why(world, first).kind == "after"
