"""What users say of waiting rules, what is stored of it, and that tests respect it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from packhorse import App, Queue, current_job, task
from packhorse._job_rules import Rules
from packhorse._outbox import decode, encode
from packhorse._record import JobRecord, NewJob
from packhorse._store import JobFilter
from packhorse.errors import BadName, BadOption, BadState, UniqueConflict, UnknownParent
from packhorse.flows import Flow, chain
from packhorse.testing import Kit, memory

jobs = Queue("jobs")
ran: list[Any] = []


@pytest.fixture
def store() -> Iterator[Kit]:
    ran.clear()
    with memory() as kit:
        yield kit


def note(value: Any = None, other: Any = 0) -> Any:
    ran.append(value)
    return value


@task(reserves="box:{to}", shares=["house", "{kind} room"], limit="smtp", unique="{to}/{kind}", tags="to:{to}")
def mail(to: str, kind: str = "new") -> None:
    ran.append(to)


@task(unique=True)
def once(a: int, b: int = 2, *, c: int = 3) -> None:
    ran.append((a, b, c))


@dataclass
class Money:
    cents: int


def pay(amount: Money) -> None: ...


def record_of(job: Any) -> JobRecord:
    with jobs._connection as opened:
        return opened.get([job.id])[0]


def test_the_rules_are_the_last_fields_of_a_new_job() -> None:
    assert NewJob._fields[-len(Rules._fields) :] == Rules._fields
    assert Rules() == NewJob("", "", "", "")[-len(Rules._fields) :]


# -- names ------------------------------------------------------------------------------------------------------------
def test_names_are_stored_sorted_and_once(store: Kit) -> None:
    job = jobs.using(reserves=["b", "a"], shares="c", limit=["z", "d"]).enqueue(note)
    assert job.state == "blocked"
    assert json.loads(record_of(job).holds or "") == [["l", "d"], ["l", "z"], ["s", "c"], ["x", "a"], ["x", "b"]]


def test_fields_of_a_task_are_filled_from_the_call(store: Kit) -> None:
    job = jobs.enqueue(mail, "ada", kind="old")
    record = record_of(job)
    assert json.loads(record.holds or "") == [["l", "smtp"], ["s", "house"], ["s", "old room"], ["x", "box:ada"]]
    assert (record.unique_key, job.tags) == (f"{job.task}\x1fada/old", ("to:ada",))


def test_in_using_they_are_literal_and_replace_those_of_the_task(store: Kit) -> None:
    record = record_of(jobs.using(reserves="{to}", shares=(), unique=False).enqueue(mail, "ada"))
    assert json.loads(record.holds or "") == [["l", "smtp"], ["x", "{to}"]]
    assert record.unique_key is None


@pytest.mark.parametrize(
    "options, words",
    [
        ({"reserves": "house"}, "has 'house' both in reserves and in shares"),
        ({"reserves": "smtp"}, "has 'smtp' both in reserves and in limit"),
        ({"reserves": [f"r{n}" for n in range(60)], "shares": [f"s{n}" for n in range(60)]}, "121 keys"),
    ],
)
def test_what_only_shows_when_levels_come_together(store: Kit, options: Any, words: str) -> None:
    with pytest.raises(BadOption, match=words):
        jobs.using(**options).enqueue(mail, "ada")
    assert store.jobs == []


def test_an_argument_that_makes_no_key_is_refused(store: Kit) -> None:
    with pytest.raises(BadName, match="mail: tags: 'to:a"):
        jobs.enqueue(mail, "a\nb")
    assert store.jobs == []


@task(reserves="{nobody}")
def wrong_field() -> None: ...


def test_a_field_that_is_no_argument_is_refused(store: Kit) -> None:
    with pytest.raises(BadOption, match=r"reserves: \{nobody\} in '\{nobody\}' is not an argument"):
        jobs.enqueue(wrong_field)


# -- unique -----------------------------------------------------------------------------------------------------------
def test_a_key_belongs_to_its_task_unless_it_says_otherwise(store: Kit) -> None:
    first = jobs.using(unique="k").enqueue(note, 1)
    again = jobs.using(unique="k").enqueue(note, 2)
    assert (again.id, again.existing, again.args) == (first.id, True, (1,))
    assert not jobs.using(unique="k").enqueue(once, 1).existing
    shared = jobs.using(unique="//k").enqueue(note, 3)
    other = jobs.using(unique="//k").enqueue(once, 1)
    assert (other.id, other.task, record_of(other).unique_key) == (shared.id, shared.task, "//k")


def test_equal_calls_are_one_however_they_were_passed(store: Kit) -> None:
    first = jobs.enqueue(once, 1)
    assert jobs.enqueue(once, a=1, b=2) == first
    assert jobs.enqueue(once, 1, 2, c=3) == first
    assert jobs.enqueue(once, 1, 5) != first
    by_name = jobs.using(unique=True).enqueue("elsewhere:job", 1, x=2)
    assert jobs.using(unique=True).enqueue("elsewhere:job", 1, x=2) == by_name
    assert jobs.using(unique=True).enqueue("elsewhere:job", 1, x=3) != by_name
    paid = jobs.using(unique=True).enqueue(pay, Money(5))
    assert jobs.using(unique=True).enqueue(pay, amount=Money(5)) == paid


def test_until_when_a_key_is_held(store: Kit) -> None:
    jobs.using(unique="k", unique_until="60s").enqueue(note, 1)
    store.run()
    assert jobs.using(unique="k").enqueue(note, 2).existing
    store.travel("61s")
    assert not jobs.using(unique="k").enqueue(note, 3).existing


def crawl(deep: int) -> None:
    ran.append(deep)
    if deep:
        jobs.using(delay="1m").enqueue(crawl, deep - 1)


def test_a_key_may_be_held_until_the_flow_is_over(store: Kit) -> None:
    site = jobs.using(unique="site", span="flow")
    first = site.enqueue(crawl, 2)
    assert record_of(first).flow == first.id
    store.run()
    for done in (1, 2):
        assert (len(ran), first.refresh().state) == (done, "succeeded")
        again = site.enqueue(crawl, 2)
        assert (again.id, again.existing) == (first.id, True)
        store.travel("61s")
        store.run()
    assert ran == [2, 1, 0]
    assert not site.enqueue(crawl, 0).existing


def test_a_job_whose_key_spans_a_flow_opens_one_unless_it_is_given_one(store: Kit) -> None:
    site = jobs.using(unique="site", span="flow")
    assert record_of(site.using(flow="mine").enqueue(note)).flow == "mine"
    outer = jobs.using(flow="outer").enqueue(enqueue_inside)
    store.run()
    inner = next(job for job in jobs.jobs(task=note) if record_of(job).parent == outer.id)
    assert record_of(inner).flow == inner.id
    assert record_of(jobs.using(span="flow").enqueue(note)).flow is None  # without a key nothing spans anything


def enqueue_inside() -> None:
    jobs.using(unique="inner", span="flow").enqueue(note)


def test_a_whole_chain_may_hold_a_key(store: Kit) -> None:
    first = jobs.using(unique="k", span="flow", on_conflict="raise").draft(note, 1)
    chain(first, jobs.draft(note, 2), jobs.using(delay="1m").draft(note, 3))
    store.run()
    with pytest.raises(UniqueConflict):
        jobs.using(unique="k", on_conflict="raise").enqueue(note)
    store.travel("61s")
    store.run()
    assert ran == [1, 2, 3]
    assert not jobs.using(unique="k").enqueue(note).existing


def test_a_key_cannot_be_held_until_two_ends() -> None:
    with pytest.raises(
        BadOption, match="span='flow', so its unique key is held until its flow is over, and unique_until='started'"
    ):
        jobs.using(unique="k", span="flow", unique_until="started").enqueue(note)


def test_a_recurring_run_may_be_over_with_its_flow(store: Kit) -> None:
    jobs.schedule("crawl", jobs.draft(crawl, 2), every="90s", span="flow")
    for _ in range(5):
        store.travel("45s")
        store.run()
    # Ticks at 90 s and at 180 s; each run takes two minutes and more, so the second tick makes none.
    assert ran == [2, 1, 0][: len(ran)]
    assert len(ran) >= 2


def test_a_second_one_may_be_refused_or_replace_the_first(store: Kit) -> None:
    first = jobs.using(unique="k").enqueue(note, 1)
    with pytest.raises(UniqueConflict, match="'k' is held by job") as caught:
        jobs.using(unique="k", on_conflict="raise").enqueue(note, 2)
    assert caught.value.job_id == first.id
    second = jobs.using(unique="k", on_conflict="replace").enqueue(note, 3)
    assert (first.refresh().state, first.reason) == ("cancelled", f"replaced by {second.id}")


def test_an_ended_job_does_not_take_its_key_from_another(store: Kit) -> None:
    first = jobs.using(unique="k").enqueue(note, 1)
    store.run()
    jobs.using(unique="k").enqueue(note, 2)
    with pytest.raises(BadState, match="is succeeded, and another job holds its unique key by now"):
        first.requeue()


# -- running them in a test ---------------------------------------------------------------------------------------------
def test_one_runs_after_another_and_not_without_it(store: Kit) -> None:
    first = jobs.enqueue(note, "first")
    second = jobs.using(after=first).enqueue(note, "second")
    with pytest.raises(
        BadState, match=rf"it cannot be run: waits for the end of job {first.id} \(.*note\), which is queued"
    ):
        store.run(second)
    assert second.why() == f"waits for the end of job {first.id} ({first.task}), which is queued."
    assert store.run() == [first, second]
    assert ran == ["first", "second"]


def test_what_is_not_stored_cannot_be_waited_for(store: Kit) -> None:
    missing = "0190e6a4-0000-7000-8000-000000000000"
    with pytest.raises(UnknownParent) as caught:
        jobs.using(after=missing).enqueue(note)
    assert caught.value.job_id == missing
    assert store.jobs == []


def test_a_failed_parent_cancels_unless_told_otherwise() -> None:
    with memory(raises=False) as store:
        first = jobs.enqueue(note_failing)
        second = jobs.using(after=[first]).enqueue(note, 2)
        third = jobs.using(after=first.id, after_failure="run").enqueue(note, 3)
        store.run()
        assert (second.refresh().state, third.refresh().state) == ("cancelled", "succeeded")
        assert second.reason is not None
        assert second.reason.startswith(f"parent {first.task} {first.id} failed")
        assert "gave up" not in second.why()
        assert first.id in second.why()


def note_failing() -> None:
    raise ValueError("no")


def test_a_limit_of_the_app_holds_in_a_test() -> None:
    limited = App(limits={"api": "1/1m"})
    with memory(limited) as store:
        ran.clear()
        for number in range(3):
            last = jobs.using(limit="api").enqueue(note, number)
        undeclared = jobs.using(limit="nobody").enqueue(note, "never")
        store.run()
        assert ran == [0]
        assert last.why().startswith("limit 'api' (1/1m) lets the next job go at ")
        assert undeclared.why() == (
            "limit 'nobody' is declared nowhere; to declare it:  packhorse queues limit nobody 4"
        )
        store.travel("1m")
        store.run()
        assert ran == [0, 1]


def reserving(store: Kit) -> tuple[Any, Any, Any]:
    """Return three jobs that want the same, the first of which has it."""
    made = [jobs.using(reserves="box").enqueue(note, number) for number in range(3)]
    with jobs._connection as opened:
        store._runner.start()
        assert opened.get([made[0].id])[0].state == "queued"
    return made[0], made[1], made[2]


def test_why_names_the_holder_and_the_place(store: Kit) -> None:
    first, second, third = reserving(store)
    assert (
        second.why()
        == f"waits for 'box', held by job {first.id} ({first.task}), which is queued and starts soon, place 1 in the line."
    )
    assert third.why().endswith("place 2 in the line.")
    assert store.run() == [first, second, third]


def test_jobs_run_at_once_as_far_as_rules_let_them() -> None:
    ran.clear()
    with memory(eager=True):
        outer = jobs.using(reserves="box").enqueue(enqueues_one_for_the_same_box)
        assert outer.state == "succeeded"
        assert ran == ["outer", "inner"]


def enqueues_one_for_the_same_box() -> None:
    job = jobs.using(reserves="box").enqueue(note, "inner")
    assert job.state == "blocked"
    ran.append("outer")


# -- flows ------------------------------------------------------------------------------------------------------------
def test_what_a_job_enqueues_joins_its_flow(store: Kit) -> None:
    jobs.using(flow="import").enqueue(spreads)
    last = jobs.using(after=Flow("import"), flow=None).enqueue(note, "last")
    assert last.why() == "waits for the flow 'import', of which 1 job has not ended."
    store.run()
    assert set(ran) == {"joined", "apart", "other", "last"}
    assert ran.index("joined") < ran.index("last")
    flows = {job.args: job.flow for job in store.jobs if job.args}
    assert flows == {("joined",): "import", ("apart",): None, ("other",): "another", ("last",): None}
    assert [job.args for job in jobs.jobs(flow="import")] == [("joined",), ()]


def spreads() -> None:
    assert current_job().flow == "import"
    jobs.enqueue(note, "joined")
    jobs.using(flow=None).enqueue(note, "apart")
    jobs.using(flow="another").enqueue(note, "other")


def test_a_whole_flow_is_cancelled_and_runs_again(store: Kit) -> None:
    app = App()
    for number in range(3):
        jobs.using(flow="import").enqueue(note, number)
    other = jobs.enqueue(note, "other")
    assert app.cancel(flow="import", dry=True) == 3
    assert app.requeue(flow="import", dry=True) == 0
    assert app.cancel(flow="import", reason="enough") == 3
    assert (app.cancel(flow="import", dry=True), app.requeue(flow="import", dry=True)) == (0, 3)
    assert app.requeue(flow="import", state="cancelled") == 3
    store.run()
    assert sorted(ran, key=str) == [0, 1, 2, "other"]
    assert other.flow is None


def test_a_dry_run_counts_all(store: Kit) -> None:
    jobs.using(flow="large").enqueue_many(jobs.using(flow="large").draft(note, number) for number in range(2_500))
    assert App().cancel(flow="large", dry=True) == 2_500
    assert App().cancel(flow="large") == 2_500


# -- the outbox ---------------------------------------------------------------------------------------------------------
def test_rules_travel_through_an_outbox() -> None:
    job = NewJob(
        "id", "task", "queue", "[[],{}]", holds=(("x", "a"),), after=("p", "q"), unique="k", unique_until=60.0, flow="f"
    )
    assert decode(encode(job), 20.0) == job._replace(unique_until=40.0, options='{"kept_for":604800}')
    started = job._replace(unique_until="started")
    assert decode(encode(started), 20.0).unique_until == "started"


def test_filters_know_flows() -> None:
    assert not JobFilter(flow="f").empty
