"""What is wrong with rules, limits and schedules is told at once, in full; and nothing of it is stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import App, Queue, cron, every, task, testing
from packhorse._declared import collect, forget
from packhorse.errors import BadName, BadOption, BadSchedule, PackhorseError, UnknownParent
from packhorse.flows import Flow, chain, group

NOBODY = "0190e6a4-0000-7000-8000-000000000000"
OTHER = "0190e6a4-0000-7000-8000-000000000001"


def send(to: str = "ada") -> None: ...


@task(reserves="box:{to}")
def boxed(to: str) -> None: ...


@task(reserves="box:{whom}", unique="{to}")
def misfit(to: str) -> None: ...


def keys(number: int, first: str = "k") -> list[str]:
    return [f"{first}{each}" for each in range(number)]


def deleted(mail: Queue) -> str:
    job = mail.using(flow="gone").enqueue(send)
    with mail._connection as store:
        store.cancel(_ids(job.id))
        store.delete(_ids(job.id))
    return job.id


def _ids(*ids: str) -> Any:
    from packhorse._store import JobFilter

    return JobFilter(ids=ids)


def circle(mail: Queue) -> Any:
    one = mail.using(id=NOBODY, after=OTHER).draft(send)
    return mail.enqueue_many([one, mail.using(id=OTHER, after=NOBODY).draft(send)])


def flow_circle(mail: Queue) -> Any:
    last = mail.using(flow="f", after=Flow("f")).draft(send)
    return mail.enqueue_many([last, mail.using(flow="f").draft(send, last.as_argument)])


#: what is done with a queue → the class of the error, words of it
CASES: dict[str, tuple[Callable[[Queue], object], type[PackhorseError], str]] = {
    # -- names --
    "reserved and shared": (
        lambda mail: mail.using(reserves="a", shares=["b", "a"]), BadOption,
        "mail.using: 'a' is both in reserves and in shares; it can be held in one way only.  [E123]",
    ),
    "reserved here, shared there": (
        lambda mail: Queue("mail", store=mail._source.store, shares="a").using(reserves="a").enqueue(send), BadOption,
        "has 'a' both in reserves and in shares; it can be held in one way only. Nothing stored.",
    ),
    "reserved and limited": (
        lambda mail: mail.using(reserves="a", limit="a").enqueue(send), BadOption,
        "has 'a' both in reserves and in limit; it can be held in one way only. Nothing stored.",
    ),
    "101 names of one kind": (
        lambda mail: mail.using(reserves=keys(101)), BadName, "mail.using: reserves: 101 keys given, at most 100 are allowed."
    ),
    "101 names of several kinds": (
        lambda mail: mail.using(reserves=keys(60), shares=keys(41, "s")).enqueue(send), BadOption,
        "has 101 keys in reserves, shares and limit; at most 100 are allowed. Nothing stored.",
    ),
    "a field that is no parameter": (lambda mail: mail.enqueue(misfit, "ada"), BadOption, "whom"),
    "a field of a task known by name alone": (lambda mail: mail.enqueue(f"{__name__}:misfit", "ada"), BadOption, "whom"),
    "a field that makes no name": (lambda mail: mail.enqueue(boxed, "x" * 600), BadName, "a key has 1 to 500 bytes"),
    # -- parents and flows --
    "a parent that never was": (
        lambda mail: mail.using(after=NOBODY).enqueue(send), UnknownParent,
        f"is to start after job {NOBODY}, which is not stored; nothing was stored.",
    ),
    "a parent that was deleted": (
        lambda mail: mail.using(after=deleted(mail)).enqueue(send), UnknownParent, "which is not stored; nothing was stored."
    ),
    "half an id": (
        lambda mail: mail.using(after="8000-00000000"), BadOption, "their whole ids, a flow or 'flow:' and its id"
    ),
    "a job after itself": (
        lambda mail: mail.using(id=NOBODY, after=NOBODY).enqueue(send), UnknownParent, f"after job {NOBODY}, which is not"
    ),
    "two after each other": (circle, PackhorseError, f"start after job {OTHER}, which is not stored; nothing was stored."),
    "a circle by way of a flow": (flow_circle, PackhorseError, "would never start: it belongs to the flow 'f'"),
    "two flows": (lambda mail: mail.using(after=[Flow("a"), Flow("b")]), BadOption, "a job can wait for one flow, not for 2"),
    "one draft twice in a chain": (
        lambda mail: chain(*[mail.using(id=NOBODY).draft(send)] * 2), BadOption, "is given here twice. Nothing stored."
    ),
    "an empty group": (lambda mail: group([]), BadOption, "group takes 1 to 10,000 drafts, not 0. Nothing stored."),
    # -- keys --
    "a key held until two ends": (
        lambda mail: mail.using(unique="k", span="flow", unique_until="1m").enqueue(send), BadOption, "Leave one of them out."
    ),
    "a key for no time": (lambda mail: mail.using(unique="k", unique_until=0), BadOption, "hold the key for no time at all"),
    # -- limits --
    "a limit of 0": (
        lambda mail: App(limits={"smtp": 0}), BadOption,
        "App(limits=): 'smtp': The limit '0' must have numbers from 1 to 1,000,000; `packhorse queues pause` stops a queue.",
    ),
    "a limit below 0": (lambda mail: App(limits={"smtp": -1}), BadOption, "not '-1'"),
    "a rate of nothing": (lambda mail: App(limits={"smtp": "0/1s"}), BadOption, "The limit '0/1s' must have numbers from 1"),
    "a rate in no time": (lambda mail: App(limits={"smtp": "4/0s"}), BadOption, "'4/0s'"),
    # -- schedules --
    "a rule that is wrong": (
        lambda mail: mail.schedule("x", send, cron="0 25 * * *"), BadSchedule, "cron="
    ),
    "a zone that is not": (
        lambda mail: mail.schedule("x", send, cron="@daily", timezone="Europe/Berlni"), BadSchedule, "Europe/Berlni"
    ),
    "an interval too short": (lambda mail: mail.schedule("x", send, every=0.5), BadSchedule, "every="),
    "two rules": (
        lambda mail: mail.schedule("x", send, every=5, cron="@daily"), BadSchedule, "takes either every= or cron=, not both."
    ),
    "no rule": (lambda mail: mail.schedule("x", send), BadSchedule, "takes either every= or cron=, and got neither."),
    "a schedule after a job": (
        lambda mail: mail.schedule("x", mail.using(after=NOBODY).draft(send), every=5), BadSchedule, "a schedule makes many"
    ),
    "a schedule whose names collide": (
        lambda mail: mail.schedule("x", mail.using(reserves="a", limit="a").draft(send), every=5), BadOption, "in one way only"
    ),
    "an overlap that is none": (
        lambda mail: mail.schedule("x", send, every=5, overlap="wait"), BadSchedule, 'must be "allow", "skip" or "queue"'  # type: ignore[arg-type]
    ),
    "a schedule's name": (lambda mail: mail.schedule("a b", send, every=5), BadName, "'a b' is not a name"),
}  # fmt: skip


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[Queue]:
    made = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
    yield made
    with made._connection as store:
        assert store.export(0) == []
        assert (store.limits(), store.flows(), list(store.schedules().schedules or ())) == ([], [], [])


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_and_nothing_is_stored(case: str, mail: Queue) -> None:
    do, kind, words = CASES[case]
    with pytest.raises(kind) as caught:
        do(mail)
    told = str(caught.value)
    assert words in told
    assert f"[{caught.value.code}]" in told


def test_a_mistake_in_a_rule_is_told_with_its_place(mail: Queue) -> None:
    with pytest.raises(BadSchedule) as caught:
        mail.schedule("x", send, cron="0 25 * * *")
    assert "25" in str(caught.value)
    assert "hour" in str(caught.value)


def test_two_schedules_of_one_name_stop_what_declares_them() -> None:
    every(60, send, name="again")
    cron("@daily", send, name="again")
    try:
        with pytest.raises(BadSchedule, match="two schedules are called 'again'"):
            collect(None)
    finally:
        forget()


def test_the_rest_of_a_batch_is_not_stored_either(mail: Queue) -> None:
    drafts = [mail.draft(send), mail.using(after=str(uuid.uuid4())).draft(send), mail.draft(send)]
    with pytest.raises(PackhorseError, match="start after job"):
        mail.enqueue_many(drafts)


def test_the_same_in_memory() -> None:
    with testing.memory() as store:
        with pytest.raises(UnknownParent):
            Queue("mail").using(after=NOBODY).enqueue(send)
        assert store.jobs == []
