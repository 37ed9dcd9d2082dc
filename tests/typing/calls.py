"""Calls as users write them: type checkers must accept these, and refuse exactly the lines marked ``# wrong``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_type

from packhorse import App, Backoff, Cancel, Draft, Job, Queue, Retry, Snooze, current_job, task

mail = Queue("mail", retry=5, timeout="30s")


def add(x: int, y: int = 1) -> int:
    return x + y


async def fetch(url: str, *, deep: bool = False) -> str:
    return url


def poll(feed: int) -> int | Snooze:
    return feed


async def apoll(feed: int) -> int | Retry | Cancel:
    return feed


def nothing() -> None: ...


@task
def bare(to: str) -> bytes:
    return to.encode()


@task(queue="mail", retry=Backoff(3, base="2s"), timeout=None, tags=["to:{to}"])
def send(to: str, *, urgent: bool = False) -> bool:
    return urgent


@task(queue=mail)
async def asend(to: str) -> float:
    return 1.0


# -- right ----------------------------------------------------------------------------------------------------------------
assert_type(mail.enqueue(add, 1), Job[int])
assert_type(mail.enqueue(add, 1, y=2), Job[int])
assert_type(mail.enqueue(fetch, "u", deep=True), Job[str])
assert_type(mail.enqueue(poll, 1), Job[int])
assert_type(mail.enqueue(apoll, 1), Job[int])
assert_type(mail.enqueue(nothing), Job[None])
assert_type(mail.enqueue("tasks:add", 1, 2, any=3), Job[Any])
assert_type(mail.enqueue(add, 1).result(timeout=10), int)
assert_type(mail.draft(add, 1), Draft[int])
assert_type(mail.draft(fetch, "u"), Draft[str])
assert_type(mail.enqueue_many(mail.draft(add, n) for n in range(3)), list[Job[int]])
assert_type(list(mail.enqueue_iter([mail.draft(add, 1)], keep=100)), list[str])
assert_type(mail.using(delay="5m", priority=3, tags="x", expires=60), Queue)
mail.using(at=datetime.now(UTC), keep_result=False, on_crash="fail", meta={"a": 1}, id="x").enqueue(add, 1)
assert_type(mail.enqueue(send, "ada", urgent=True), Job[bool])
assert_type(send.enqueue("ada"), Job[bool])
assert_type(asend.enqueue("ada"), Job[float])
assert_type(bare.enqueue("ada"), Job[bytes])
assert_type(bare("ada"), bytes)
assert_type(send.using(delay=3).enqueue("ada", urgent=True), Job[bool])
assert_type(mail.job("x"), Job[Any])
assert_type(mail.enqueue(add, 1).refresh(), Job[int])
app = App(store="sqlite:///x.db", tasks=["tasks"], types={complex: (str, complex)}, priority=1)
assert_type(app.main(["worker"], prog="x"), int)
assert_type(current_job().attempt, int)
counts: dict[str, int] = mail.counts()


async def twins() -> None:
    assert_type(await mail.aenqueue(add, 1), Job[int])
    assert_type(await mail.aenqueue(fetch, "u"), Job[str])
    assert_type(await (await mail.aenqueue(apoll, 1)).aresult(), int)
    assert_type(await mail.aenqueue_many([mail.draft(add, 1)]), list[Job[int]])
    assert_type(await asend.aenqueue("ada"), Job[float])
    async for job_id in mail.aenqueue_iter([mail.draft(add, 1)]):
        assert_type(job_id, str)


# -- wrong ----------------------------------------------------------------------------------------------------------------
mail.enqueue(add)  # wrong
mail.enqueue(add, "one")  # wrong
mail.enqueue(add, 1, z=2)  # wrong
mail.enqueue(add, 1, delay="5m")  # wrong
mail.enqueue(fetch, 5)  # wrong
mail.draft(add, None)  # wrong
mail.using(dealy=5)  # wrong
mail.using(retry="three")  # wrong
mail.using(on_crash="explode")  # wrong
Queue("mail", timeout=b"x")  # wrong
App(priority="high")  # wrong
send.enqueue("ada", True)  # wrong
send.enqueue(to=1)  # wrong
bare(1)  # wrong
text: str = mail.enqueue(add, 1).result()  # wrong
mail.enqueue_many([add])  # wrong
send.using(queue=5)  # wrong
mail.enqueue(5)  # wrong
