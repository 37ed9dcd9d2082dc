"""Chains, groups, and results as arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from packhorse import App, Draft, Job, Queue, current_job, task
from packhorse._codec import PLAIN
from packhorse._reference import Reference
from packhorse.errors import BadName, BadOption, BatchFailed, JobCancelled, NotSerialisable, ResultGone, UnknownParent
from packhorse.flows import Flow, achain, agroup, chain, group
from packhorse.testing import Kit, memory

jobs = Queue("jobs")
other = Queue("other")
ran: list[Any] = []


@pytest.fixture
def store() -> Iterator[Kit]:
    ran.clear()
    with memory() as kit:
        yield kit


@pytest.fixture
def quiet() -> Iterator[Kit]:
    ran.clear()
    with memory(raises=False) as kit:
        yield kit


@dataclass
class Money:
    cents: int


def note(value: Any) -> Any:
    ran.append(value)
    return value


def fail() -> None:
    raise ValueError("no")


def earn(cents: int) -> Money:
    return Money(cents)


def spend(*parts: Money) -> int:
    return sum(part.cents for part in parts)


def total(parts: list[Money], extra: dict[str, int]) -> int:
    return sum(part.cents for part in parts) + sum(extra.values())


def as_text(money: Any) -> str:
    return repr(money)


async def later(money: Money) -> int:
    return money.cents


@task(keep_result=False)
def forget() -> int:
    return 1


# -- results as arguments ---------------------------------------------------------------------------------------------
def test_a_result_is_rebuilt_as_the_parameter_says(store: Kit) -> None:
    earned = jobs.enqueue(earn, 5)
    spent = jobs.enqueue(spend, earned.as_argument, Money(2))
    read = jobs.enqueue(as_text, earned.as_argument)
    awaited = jobs.enqueue(later, earned.as_argument)
    assert spent.state == "blocked"
    assert spent.args == (Reference(earned.id), {"cents": 2})
    store.run()
    assert (spent.result(), read.result(), awaited.result()) == (7, "{'cents': 5}", 5)


def test_it_may_stand_anywhere_in_an_argument(store: Kit) -> None:
    drafts = [jobs.draft(earn, cents) for cents in (1, 2)]
    number = jobs.draft(note, 10)
    summed = jobs.draft(total, [draft.as_argument for draft in drafts], extra={"a": number.as_argument, "$": 100})
    stored = jobs.enqueue_many([*drafts, number, summed])
    store.run()
    assert stored[-1].result() == 113


def test_a_dict_that_looks_like_one_is_none(store: Kit) -> None:
    job = jobs.enqueue(note, {"$result": "x"})
    assert job.state == "queued"
    store.run()
    assert ran == [{"$result": "x"}]


def test_a_draft_that_was_referred_to_is_one_job(store: Kit) -> None:
    draft = jobs.draft(note, 1)
    assert draft.as_argument == draft.as_argument
    first, again = jobs.enqueue_many([draft, draft])
    assert first == again
    assert again.existing
    plain = jobs.draft(note, 2)
    assert len({job.id for job in jobs.enqueue_many([plain, plain])}) == 2


def test_it_has_to_be_stored_first(store: Kit) -> None:
    draft = jobs.draft(note, 1)
    with pytest.raises(UnknownParent):
        jobs.enqueue(note, draft.as_argument)
    assert store.jobs == []


# -- circles ----------------------------------------------------------------------------------------------------------
NEVER = "would never start: it belongs to the flow 'f' and waits for job"


def test_a_member_may_not_wait_for_who_waits_for_its_flow(store: Kit) -> None:
    members = jobs.using(flow="f")
    members.enqueue(note, 1)
    report = members.using(after=Flow("f")).enqueue(note, "report")
    with pytest.raises(BadOption, match=NEVER) as caught:
        members.using(after=report).enqueue(note, "mail")
    assert report.id in str(caught.value)
    then = jobs.using(after=report).enqueue(note, "no member")
    with pytest.raises(BadOption, match=NEVER):
        members.using(after=then).enqueue(note, "by way of another")
    with pytest.raises(BadOption, match=NEVER):
        members.enqueue(note, then.as_argument)
    assert len(store.jobs) == 3
    members.using(after=[Flow("f"), then]).enqueue(note, "it waits for the flow too")
    members.using(flow="g", after=report).enqueue(note, "of another flow")
    store.run()
    assert members.using(after=report).enqueue(note, "it has ended").refresh().state == "blocked"
    store.run()
    assert len(ran) == 6


def mails_after_the_report() -> None:
    report = jobs.using(after=Flow(str(current_flow()))).enqueue(note, "report")
    jobs.using(after=report).enqueue(note, "mail")


def current_flow() -> str | None:
    with jobs._connection as opened:
        return opened.get([current_job().id])[0].flow


def test_nor_one_that_joins_since_a_member_enqueues_it(quiet: Kit) -> None:
    job = jobs.using(flow="f").enqueue(mails_after_the_report)
    quiet.run()
    assert job.refresh().state == "failed"
    assert NEVER in str(job.error)


def test_nor_within_one_call(store: Kit) -> None:
    report = jobs.using(flow="f", after=Flow("f")).draft(note, "report")
    between = jobs.draft(note, report.as_argument)
    member = jobs.using(flow="f").draft(note, between.as_argument)
    with pytest.raises(BatchFailed) as caught:
        jobs.enqueue_many([report, between, member])
    assert NEVER in str(caught.value.__cause__)
    with pytest.raises(BadOption, match=NEVER):
        chain(report, jobs.draft(note, 1), flow="f")
    assert store.jobs == []


def test_long_chains_and_many_parents_are_none(store: Kit) -> None:
    first = jobs.enqueue(note, 0)
    last = chain(*[jobs.draft(note, n) for n in range(3000)], after=first, flow="f")
    assert last.state == "blocked"
    jobs.using(after=Flow("f")).enqueue(note, "report")
    for number in range(10):
        jobs.using(flow="f", after=last).enqueue(note, number)
    assert len(store.jobs) == 3012


def test_a_result_that_is_gone_fails_the_job_for_good(quiet: Kit) -> None:
    gone = jobs.enqueue(forget)
    job = jobs.using(retry=5).enqueue(note, gone.as_argument)
    quiet.run()
    assert (job.refresh().state, ran) == ("failed", [])
    assert job.error is not None
    assert job.error["type"].endswith("ResultGone")
    assert f"job {gone.id}" in job.error["message"]
    assert "succeeded, but" in job.error["message"]


def test_a_parent_that_failed_has_no_result(quiet: Kit) -> None:
    failed = jobs.enqueue(fail)
    given_up = jobs.enqueue(note, failed.as_argument)
    insists = jobs.using(after_failure="run").enqueue(note, failed.as_argument)
    quiet.run()
    assert (given_up.refresh().state, insists.refresh().state) == ("cancelled", "failed")
    assert "is failed and has no result" in insists.error["message"]  # type: ignore[index]


def returns_a_reference() -> Any:
    return Reference("0190e6a4-0000-7000-8000-000000000000")


def test_it_means_something_among_arguments_only(quiet: Kit) -> None:
    with pytest.raises(NotSerialisable, match="among arguments only"):
        PLAIN.encode_value([Reference("x")], "result")
    job = jobs.enqueue(returns_a_reference)
    quiet.run()
    with pytest.raises(ResultGone):
        job.refresh().result()


# -- chains -----------------------------------------------------------------------------------------------------------
def test_a_chain_runs_in_order_each_link_in_its_own_queue(store: Kit) -> None:
    last = chain(jobs.draft(note, 1), other.using(priority=5).draft(note, 2), jobs.draft(note, 3), priority=7, tags="x")
    assert last == store.jobs[-1]
    assert [job.queue for job in store.jobs] == ["jobs", "other", "jobs"]
    assert [job.priority for job in store.jobs] == [7, 5, 7]
    assert {job.flow for job in store.jobs} == {last.flow} != {None}
    assert [job.tags for job in store.jobs] == [("x",)] * 3
    assert [job.state for job in store.jobs] == ["queued", "blocked", "blocked"]
    store.run()
    assert ran == [1, 2, 3]


def test_only_the_first_link_waits_for_what_the_chain_waits_for(store: Kit) -> None:
    before = jobs.using(delay="1h").enqueue(note, "before")
    last = chain(jobs.draft(note, 1), jobs.draft(note, 2), after=before, delay="5m", flow="f")
    assert [job.state for job in store.jobs] == ["scheduled", "scheduled", "blocked"]
    assert last.flow == "f"
    store.travel("2h")
    store.run()
    assert ran == ["before", 1, 2]


def test_results_go_down_a_chain(store: Kit) -> None:
    earned = jobs.draft(earn, 5)
    assert chain(earned, jobs.draft(spend, earned.as_argument)).refresh().state == "blocked"
    assert store.run()[-1].result() == 5


def test_the_rest_of_a_broken_chain_is_cancelled_and_comes_back(quiet: Kit) -> None:
    breaks = jobs.draft(fails_until_mended)
    last = chain(breaks, jobs.draft(note, 2), jobs.draft(note, 3))
    mended.clear()
    quiet.run()
    assert [job.state for job in quiet.jobs] == ["failed", "cancelled", "cancelled"]
    with pytest.raises(JobCancelled, match="failed"):
        last.refresh().result()
    mended.append(True)
    quiet.jobs[0].requeue()
    quiet.run()
    assert ran == [2, 3]


mended: list[bool] = []


def fails_until_mended() -> None:
    if not mended:
        raise ValueError("no")


def test_a_chain_is_stored_wholly_or_not_at_all(store: Kit) -> None:
    missing = "0190e6a4-0000-7000-8000-000000000000"
    with pytest.raises(UnknownParent):
        chain(jobs.draft(note, 1), jobs.using(after=missing).draft(note, 2))
    assert store.jobs == []


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: chain(), "takes 1 to 10,000 drafts, not 0"),
        (lambda: chain(jobs.draft(note, 1), id="0190e6a4-0000-7000-8000-000000000000"), "'id' belongs to one job"),
        (lambda: chain(jobs.draft(note, 1), unique="k"), "'unique' belongs to one job"),
        (lambda: chain(jobs.draft(note, 1), dealy=5), "Did you mean 'delay'"),  # type: ignore[call-arg]
        (lambda: chain(jobs.using(unique="k").draft(note, 1), jobs.draft(note, 2)), 'Give it on_conflict="raise"'),
        (lambda: chain(jobs.using(flow="a").draft(note, 1), jobs.draft(note, 2)), "a flow of its own, 'a'"),
        (lambda: group([]), "takes 1 to 10,000 drafts, not 0"),
        (lambda: group([jobs.draft(note, 1)], then=jobs.using(after=Flow("b")).draft(note, 2)), "cannot wait for 'b'"),
        (
            lambda: chain(jobs.draft(note, 1), Queue("x", store="memory://elsewhere").draft(note, 2)),
            "must be for one store",
        ),
    ],
)
def test_what_makes_no_flow_is_refused(store: Kit, make: Any, words: str) -> None:
    with pytest.raises(BadOption) as caught:
        make()
    assert words in str(caught.value)
    assert store.jobs == []


def test_one_draft_is_no_two_links(store: Kit) -> None:
    draft = jobs.draft(note, 1)
    assert chain(draft, draft).flow != chain(draft, draft).flow
    assert draft.as_argument
    with pytest.raises(BadOption, match="stands for one job, and is given here twice"):
        chain(draft, draft)
    with pytest.raises(TypeError, match="takes drafts"):
        chain(note)  # type: ignore[arg-type]


def test_a_unique_link_that_refuses_a_second_one_may_be_waited_for(store: Kit) -> None:
    link = jobs.using(unique="k", on_conflict="raise").draft(note, 1)
    assert chain(link, jobs.draft(note, 2)).state == "blocked"


# -- groups -----------------------------------------------------------------------------------------------------------
def test_then_starts_when_all_have_ended_and_takes_their_results(store: Kit) -> None:
    parts = [jobs.draft(earn, cents) for cents in (1, 2, 3)]
    summed = group(parts, then=other.draft(total, [part.as_argument for part in parts], {}))
    assert (summed.queue, summed.state) == ("other", "blocked")
    assert summed.why().startswith("waits for the end of job ")
    store.run()
    assert summed.result() == 6


def spreads(depth: int) -> None:
    ran.append(depth)
    if depth:
        jobs.using(delay="1m").enqueue(spreads, depth - 1)


def test_then_waits_for_what_members_enqueue_however_deep(store: Kit) -> None:
    last = group([jobs.draft(spreads, 2)], then=jobs.draft(note, "last"))
    for _ in range(3):
        assert last.refresh().state == "blocked"
        store.run()
        store.travel("1m")
    assert last.refresh().state == "succeeded"
    assert ran == [2, 1, 0, "last"]


def test_a_failed_member_cancels_then_unless_told_otherwise(quiet: Kit) -> None:
    cancelled = group([jobs.draft(fail), jobs.draft(note, 1)], then=jobs.draft(note, 2))
    runs = group([jobs.draft(fail)], then=jobs.using(after_failure="run").draft(note, 3))
    quiet.run()
    assert (cancelled.refresh().state, runs.refresh().state) == ("cancelled", "succeeded")
    assert ran == [1, 3]


def test_without_then_it_is_a_flow_to_wait_for(store: Kit) -> None:
    flow = group([jobs.draft(note, 1), jobs.draft(note, 2)], flow="import")
    assert flow == Flow("import")
    last = jobs.using(after=flow).enqueue(note, "last")
    by_text = jobs.using(after=str(flow)).enqueue(note, "text")
    store.run()
    assert ran[2:] == ["last", "text"]
    assert (last.flow, by_text.flow) == (None, None)


def test_a_large_group_is_sent_another_way(store: Kit) -> None:
    draft = jobs.draft(note, 1)
    with pytest.raises(BadOption, match="not 10,001.*For more, store them with enqueue_many"):
        group([draft] * 10_001)


def test_flows_have_the_rules_of_keys() -> None:
    with pytest.raises(BadName):
        Flow("a\nb")
    with pytest.raises(BadName):
        Flow("")
    assert Flow() != Flow()
    assert repr(Flow("x")) == "<Flow x>"
    assert {Flow("x"), Flow("x")} == {Flow("x")}


# -- twins, and middleware ----------------------------------------------------------------------------------------------
def test_the_awaited_ones_do_the_same(store: Kit) -> None:
    async def both() -> tuple[Job[Any], Job[Any], Flow]:
        chained = await achain(jobs.draft(note, 1), jobs.draft(note, 2))
        grouped = await agroup([jobs.draft(note, 3)], then=jobs.draft(note, 4))
        return chained, grouped, await agroup([jobs.draft(note, 5)], flow="f")

    chained, grouped, flow = asyncio.run(both())
    assert (chained.state, grouped.state, flow.id) == ("blocked", "blocked", "f")
    assert chained.by["file"].endswith("test_flows.py")
    store.run()
    assert sorted(ran) == [1, 2, 3, 4, 5]


class Marking:
    @contextmanager
    def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
        draft.add(tags="marked", meta={"by": "middleware"})
        yield


def test_the_middleware_of_each_draft_sees_it(store: Kit) -> None:
    marked = Queue("marked", app=App(middleware=[Marking()]))
    mine = jobs.draft(note, 1)
    mine.add(tags="mine", meta={"a": 1})
    chain(mine, marked.draft(note, 2), tags="x")
    first, second = store.jobs
    assert (first.tags, first.meta) == (("mine",), {"a": 1})
    assert (second.tags, second.meta) == (("x", "marked"), {"by": "middleware"})


# -- parents ----------------------------------------------------------------------------------------------------------
def tells_its_parents() -> list[list[Any]]:
    return [
        [job.task.rpartition(":")[2], outcome, None if result is None else repr(result)]
        for job, outcome, result in current_job().parents()
    ]


def test_a_job_is_told_of_its_parents(quiet: Kit) -> None:
    one, two, three = jobs.enqueue(earn, 5), jobs.enqueue(fail), jobs.enqueue(forget)
    job = jobs.using(after=[one, two, three], after_failure="run").enqueue(tells_its_parents)
    quiet.run()
    assert job.result() == [
        ["earn", "succeeded", "Money(cents=5)"],
        ["fail", "failed", None],
        ["forget", "succeeded", None],
    ]


def test_the_members_of_a_flow_are_parents_too_but_not_who_waits_for_it(store: Kit) -> None:
    flow = group((jobs.draft(note, number) for number in range(150)), flow="f")
    job, _ = jobs.enqueue_many(
        [jobs.using(after=flow, flow="f").draft(tells_its_parents), jobs.using(after=flow, flow="f").draft(note, "too")]
    )
    store.run()
    told = job.result()
    assert [each[2] for each in told] == [str(number) for number in reversed(range(150))]


def test_outside_a_job_there_are_none() -> None:
    assert list(current_job().parents()) == []
    assert current_job().flow is None
