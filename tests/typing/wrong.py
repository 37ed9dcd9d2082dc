"""Calls that both type checkers must refuse: each line marked ``# wrong``, and no other."""

from __future__ import annotations

from packhorse import App, Backoff, Job, Queue, command, cron, current_job, every, task
from packhorse.flows import Flow, chain, group

jobs = Queue("mail")


def add(a: int, b: int = 1) -> int:
    return a + b


def send(to: str, *, subject: str = "") -> None: ...


async def fetch(url: str) -> bytes:
    return url.encode()


@task
def plain(a: int) -> float:
    return float(a)


@task(retry=2)
async def crawl(url: str) -> str:
    return url


jobs.enqueue(add)  # wrong: an argument is missing
jobs.enqueue(add, "1")  # wrong: a str for an int
jobs.enqueue(add, 1, 2, 3)  # wrong: too many
jobs.enqueue(add, 1, c=2)  # wrong: no such argument
jobs.enqueue(send, "ada", "subject")  # wrong: by name only
jobs.enqueue(send, "ada", delay=5)  # wrong: an option among the arguments
jobs.enqueue(fetch)  # wrong
jobs.enqueue(fetch, 5)  # wrong
jobs.enqueue(5)  # wrong: no function
jobs.draft(add, "1")  # wrong
jobs.within()  # wrong: no transaction
jobs.within(transaction=object())  # wrong: by position only
jobs.within(object(), True)  # wrong: by name only
jobs.within(object(), outbox="yes")  # wrong: a str for a bool
jobs.within(object()).enqueue(add, "one")  # wrong
current_job().complete_in()  # wrong
jobs.command("echo", 5)  # wrong: a list of words
jobs.command([5])  # wrong: text
jobs.command(["a"], oks=[0])  # wrong: no such key
jobs.command(["a"], priority=5)  # wrong: an option goes in using
jobs.command(["a"], ok="0")  # wrong
jobs.command(["a"], existing="ignore")  # wrong
jobs.command(["a"], inputs=["a"])  # wrong
jobs.draft_command(["a"], slots="most")  # wrong
command(["a"], outputs={"a": "/b"})  # wrong: no workspace there
App(outbox=5)  # wrong
jobs.aenqueue(add, "1")  # wrong
jobs.using(dealy=5)  # wrong: no such option
jobs.using(delay=[5])  # wrong
jobs.using(priority="high")  # wrong
jobs.using(retry="5")  # wrong
jobs.using(on_crash="explode")  # wrong
jobs.using(at=5)  # wrong
jobs.using(queue="other")  # wrong: the queue you call is the queue
jobs.using(unique=5)  # wrong
jobs.using(unique_until=[5])  # wrong
jobs.using(on_conflict="ignore")  # wrong
jobs.using(reserves=5)  # wrong
jobs.using(shares={"a": 1}.items())  # wrong
jobs.using(limits="smtp")  # wrong: it is limit
jobs.using(flow=5)  # wrong
jobs.using(after=5)  # wrong
jobs.using(after=jobs.draft(add, 1))  # wrong: a draft is not stored
jobs.using(after_failure="ignore")  # wrong
jobs.enqueue(send, jobs.draft(add, 1).as_argument)  # wrong: an int for a str
jobs.enqueue(add, jobs.enqueue(fetch, "u").as_argument)  # wrong: bytes for an int
App(limits={"smtp": 1.5})  # wrong
App(limits=["smtp"])  # wrong
chain(add)  # wrong: no draft
chain(jobs.draft(add, 1), dealy=5)  # wrong
group(jobs.draft(add, 1))  # wrong: one draft is no list
group([add])  # wrong
group([jobs.draft(add, 1)], add)  # wrong: by name only
group([jobs.draft(add, 1)], then=add)  # wrong
Flow(5)  # wrong
total: Job[str] = group([jobs.draft(add, 1)], then=jobs.draft(add, 1))  # wrong: the result is an int
Queue("mail", name="x")  # wrong
Queue("mail", delay=None)  # wrong
App(priorty=5)  # wrong
Backoff(5, base=None)  # wrong
Backoff(5, only=[ValueError])  # wrong: a tuple
plain()  # wrong
plain("1")  # wrong
plain.enqueue()  # wrong
plain.enqueue("1")  # wrong
plain.enqueue(1, delay=5)  # wrong
plain.using(name="x", unknown=1)  # wrong
crawl.enqueue(5)  # wrong
crawl.draft()  # wrong
every(30, send)  # wrong: it needs an argument
every(30, "tasks:tidy")  # wrong
cron(30, plain)  # wrong
jobs.schedule("tidy", send, every=30)  # wrong
jobs.schedule("tidy", jobs.draft(add, 1), evry=30)  # wrong
number: Job[str] = jobs.enqueue(add, 1)  # wrong: the result is an int
text: Job[str] = plain.enqueue(1)  # wrong
page: Job[int] = crawl.enqueue("u")  # wrong


@task(retyr=5)  # wrong
def misspelt() -> None: ...


@task(queue=5)  # wrong
def nowhere() -> None: ...
