"""Calls that both type checkers must accept, with the types they must find."""

from __future__ import annotations

import asyncio
import functools
from datetime import UTC, datetime
from typing import Any, assert_type

from packhorse import App, Backoff, Cancel, Job, Queue, Retry, Snooze, command, cron, current_job, every, task
from packhorse._draft import Draft
from packhorse.flows import Flow, achain, agroup, chain, group

jobs = Queue("mail", priority=3, timeout="5m")


def add(a: int, b: int = 1) -> int:
    return a + b


def send(to: str, *, subject: str = "") -> None: ...


def maybe(a: int) -> int | Snooze:
    return a or Snooze("5m")


def picky(a: int) -> str | Retry | Snooze | Cancel:
    return str(a) if a else Cancel("zero")


async def fetch(url: str) -> bytes:
    return url.encode()


async def fetch_maybe(url: str) -> bytes | Retry:
    return url.encode() or Retry()


@task
def plain(a: int, b: str = "") -> float:
    return float(a)


@task(queue="mail", retry=Backoff(5, base="1s"), timeout=None, name="billing.charge", aliases=["old"])
def charge(cents: int) -> int | Retry:
    return cents or Retry("1m")


@task(queue=jobs)
async def crawl(url: str) -> list[str] | Snooze:
    return [url]


assert_type(jobs.enqueue(add, 1), Job[int])
assert_type(jobs.within(object()), Queue)
assert_type(jobs.within(object(), outbox=True).enqueue(add, 1), Job[int])
assert_type(jobs.using(priority=1).within(object(), after_commit=True).draft(fetch, "u"), Draft[bytes])
assert_type(jobs.within(object()).enqueue_many([jobs.draft(add, 1)]), list[Job[int]])
current_job().complete_in(object(), 3)
App(outbox="env:DATABASE_URL")
assert_type(jobs.enqueue(add, 1, b=2), Job[int])
assert_type(jobs.enqueue(send, "ada", subject="x"), Job[None])
assert_type(jobs.enqueue(maybe, 1), Job[int])
assert_type(jobs.enqueue(picky, 1), Job[str])
assert_type(jobs.enqueue(fetch, "u"), Job[bytes])
assert_type(jobs.enqueue(fetch_maybe, "u"), Job[bytes])
assert_type(jobs.enqueue("tasks:add", 1, anything=2), Job[Any])
assert_type(jobs.enqueue(functools.partial(add, 1), b=2), Job[int])
assert_type(jobs.enqueue(plain, 1), Job[float])
assert_type(jobs.enqueue(charge, 1), Job[int])
assert_type(jobs.enqueue(crawl, "u"), Job[list[str]])
assert_type(jobs.using(delay="5m", tags=["a", "b"], at=datetime.now(UTC)).enqueue(add, 1), Job[int])
assert_type(jobs.draft(add, 1), Draft[int])
assert_type(jobs.draft(fetch, "u"), Draft[bytes])
assert_type(jobs.enqueue_many(jobs.draft(maybe, n) for n in range(3)), list[Job[int]])
assert_type(jobs.enqueue(add, 1).result(timeout=10), int)
assert_type(jobs.enqueue(add, 1).refresh(), Job[int])
assert_type(jobs.job("x"), Job[Any])

assert_type(plain(1), float)
assert_type(plain(1, b="x"), float)
assert_type(charge(1), int | Retry)
assert_type(plain.enqueue(1), Job[float])
assert_type(plain.enqueue(1, b="x"), Job[float])
assert_type(charge.enqueue(5), Job[int])
assert_type(charge.using(priority=3, queue="fast").enqueue(5), Job[int])
assert_type(crawl.enqueue("u"), Job[list[str]])
assert_type(charge.draft(5), Draft[int])
assert_type(crawl.draft("u"), Draft[list[str]])


async def main() -> None:
    assert_type(await jobs.aenqueue(add, 1), Job[int])
    assert_type(await jobs.aenqueue(fetch, "u"), Job[bytes])
    assert_type(await jobs.aenqueue("tasks:add", 1), Job[Any])
    assert_type(await charge.aenqueue(5), Job[int])
    assert_type(await crawl.aenqueue("u"), Job[list[str]])
    assert_type(await crawl("u"), list[str] | Snooze)
    assert_type(await (await jobs.aenqueue(add, 1)).aresult(), int)


App(store="sqlite:///x.db", tasks=["a"], types={complex: (str, complex)}, retry=3, keep_result="7d")
App(limits={"smtp": 4, "api": "10/1s"}, reserves="x", after_failure="run")
Queue("q", unique=True, unique_until="5m", on_conflict="raise", shares=["a"], limit=("b",), flow=None)


# -- waiting for others ---------------------------------------------------------------------------------------------------
@task(reserves="box:{to}", unique="{to}", unique_until="started", limit=["smtp"])
def limited(to: str) -> bool:
    return bool(to)


first = jobs.draft(add, 1)
stored = jobs.enqueue(fetch, "u")
assert_type(first.as_argument, int)
assert_type(stored.as_argument, bytes)
assert_type(stored.flow, str | None)
assert_type(jobs.enqueue(add, first.as_argument, b=jobs.enqueue(maybe, 1).as_argument), Job[int])
assert_type(limited.enqueue("ada"), Job[bool])
jobs.using(after=stored).using(after=[stored, "id", Flow("f")]).using(after="flow:f", flow="f", unique="k").enqueue(
    add, 1
)
assert_type(chain(first, jobs.draft(fetch, "u"), within=object(), priority=3), Job[Any])
assert_type(group([first, jobs.draft(add, 2)], then=jobs.draft(picky, 1), tags="x"), Job[str])
assert_type(group(jobs.draft(add, n) for n in range(3)), Flow)
assert_type(Flow("f").id, str)
assert_type(App().cancel(flow="f", dry=True), int)
assert_type([outcome for job, outcome, result in current_job().parents()], list[str])


def tidy() -> None: ...


@task(retry=3)
async def sweep(deep: bool = False) -> int:
    return int(deep)


every("5m", tidy)
every(None, sweep, name="off", queue=jobs, missed="all", overlap="queue", jitter="10s")
cron("0 7 * * *", jobs.draft(send, "ada", subject="x"), timezone="Europe/Berlin")
cron(None, tidy, queue="mail", name="never")


def schedules() -> None:
    jobs.schedule("tidy", tidy, every="1h")
    jobs.schedule("digest", jobs.draft(send, "ada"), cron="0 7 * * *", timezone="Europe/Berlin", missed="skip")
    assert_type(jobs.unschedule("tidy"), bool)


def commands() -> None:
    made = jobs.draft_command(
        ["/bin/publish.sh", "{book}"], params={"book": "b1"}, outputs={"aux": "/content/aux"}, ok=(0, 3)
    )
    assert_type(made, Draft[int])
    assert_type(jobs.using(priority=3).command(["a"], exits={75: "snooze:5m"}, keep_output="7d", slots="all"), Job[int])
    assert_type(jobs.enqueue_many([made, jobs.draft(add, 1)]), list[Job[int]])
    assert_type(chain(made, jobs.draft("publish-book", book="b1")), Job[Any])
    assert_type(group([made], then=made), Job[int])
    assert_type(command(["a"], cwd="/", timeout="5m", max_memory="2GiB", stdin=b"x"), int)
    jobs.schedule("nightly", made, cron="0 2 * * *")


async def flows() -> None:
    assert_type(await jobs.acommand(["a"], steps=[["b"]]), Job[int])
    assert_type(await achain(first), Job[Any])
    assert_type(await agroup([first], then=first), Job[int])
    assert_type(await agroup([first]), Flow)


asyncio.run(flows())
asyncio.run(main())
