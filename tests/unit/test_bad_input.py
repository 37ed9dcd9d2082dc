"""Bad input, each with its whole message: what is wrong, the value and where it came from, what follows, what to do, the code.

Through the public API and on a real file, so that a message is what a user sees. Three more kinds of bad input need a
worker or another program: an application that cannot be imported and two tasks of one name are in ``test_registry.py`` and
``tests/cli/test_end_to_end.py``, a schema of a newer version is in ``tests/cli/test_messages.py``.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from packhorse import App, Queue, task, testing
from packhorse.errors import PackhorseError

HERE = __name__


def send(to: str, *, subject: str = "") -> None: ...


def takes(x: Any, y: Any = None) -> None: ...


def untyped(user): ...  # type: ignore[no-untyped-def]


nameless = lambda: None  # noqa: E731


def twice() -> None: ...


first_twice = twice


def twice() -> None: ...  # type: ignore[no-redef]


class Base:
    @classmethod
    def make(cls) -> None: ...

    def method(self) -> None: ...


class Child(Base): ...


def outer() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


def unstorable() -> Any:
    return threading.Lock()


@dataclass
class User:
    name: str
    lock: Any = None


NAIVE = datetime(2026, 11, 20, 9)  # noqa: DTZ001

OPTIONS = (
    "delay, expires, priority, retry, timeout, on_crash, unique, unique_until, span, on_conflict, reserves, shares, limit, tags, "
    "flow, after_failure, meta, keep_result"
)
NAME_RULE = "is not a name. Use 1 to 200 of the characters A-Z a-z 0-9 _ . : and -.  [E128]"
NO_ZONE = (
    "which has no time zone, so it could be hours away from what you mean. Nothing stored. "
    "Write datetime(…, tzinfo=timezone.utc), or .astimezone() for local time.  [E129]"
)
MOVE = "Not enqueued.\n  "

#: what is done with a queue named mail → the message, <…> standing for an address in memory
CASES: dict[str, tuple[Callable[[Any], object], str]] = {
    # -- the identity rule --
    "a lambda": (
        lambda mail: mail.enqueue(nameless),
        f"a worker cannot find '<lambda>' again: it is a lambda (line {nameless.__code__.co_firstlineno} of {__file__}). {MOVE}"
        "Write it as a function with def, at the top of a module.  [E110]",
    ),
    "a partial of a lambda": (
        lambda mail: mail.enqueue(functools.partial(nameless)),
        f"a worker cannot find '<lambda>' again: it is a lambda (line {nameless.__code__.co_firstlineno} of {__file__}). {MOVE}"
        "Write it as a function with def, at the top of a module.  [E110]",
    ),
    "a nested function": (
        lambda mail: mail.enqueue(outer()),
        f"a worker cannot find 'inner' again: it is defined inside outer() and exists only while that runs. {MOVE}"
        "Move it to the top of its module, and pass what it takes from around it as arguments.  [E110]",
    ),
    "a shadowed function": (
        lambda mail: mail.enqueue(first_twice),
        f"a worker cannot find 'twice' again: '{HERE}:twice' is something else now: <…>. {MOVE}"
        "Give the two different names, or use functools.wraps in the decorator.  [E110]",
    ),
    "an inherited class method": (
        lambda mail: mail.enqueue(Child.make),
        f"a worker cannot find 'make' again: it is inherited: '{HERE}:Base.make' is the method of another class than "
        f"<…>. {MOVE}Write a function that calls it.  [E110]",
    ),
    "a bound method": (
        lambda mail: mail.enqueue(Base().method),
        f"a worker cannot find 'method' again: it is a method bound to a Base object. {MOVE}"
        "Write a function that takes an id, loads the object, and calls the method.  [E110]",
    ),
    "a mock": (
        lambda mail: mail.enqueue(mock.Mock()),
        f"a worker cannot find <…> again: it is a mock. {MOVE}"
        "Enqueue the real function; packhorse.testing.memory() runs jobs in place.  [E110]",
    ),
    "no function": (
        lambda mail: mail.enqueue(5),
        "enqueue() takes a function or a task's name, not 5. Not enqueued.  [E110]",
    ),
    "a misspelt name": (
        lambda mail: mail.enqueue(f"{HERE}:sned", "ada"),
        f"{HERE} has no 'sned'; did you mean 'send'? Not enqueued.  [E110]",
    ),
    # -- arguments --
    "a missing argument": (
        lambda mail: mail.enqueue(send),
        "enqueue(send, …) misses 'to' — send(to: str, *, subject: str = ''). Not enqueued.  [E121]",
    ),
    "an argument too many": (
        lambda mail: mail.enqueue(send, "ada", "x"),
        "enqueue(send, …) takes 1 positional argument, not 2 — send(to: str, *, subject: str = ''). Not enqueued.  [E121]",
    ),
    "an unknown argument": (
        lambda mail: mail.enqueue(send, "ada", too=1),
        "enqueue(send, …) has no argument 'too' — send(to: str, *, subject: str = ''). Not enqueued.  [E121]",
    ),
    "an option among the arguments": (
        lambda mail: mail.enqueue(send, "ada", delay="5m"),
        "'delay' is not an argument of send(to: str, *, subject: str = ''); job options go in "
        ".using(delay='5m').enqueue(send, …). Not enqueued.  [E121]",
    ),
    "a live object, deep inside": (
        lambda mail: mail.enqueue(takes, 1, {"user": [threading.Lock()]}),
        "takes(…) argument 2, 'y['user'][0]', is a _thread.lock; jobs carry JSON data, not live objects. Nothing stored.\n"
        "  Pass an id and load it in the job:  enqueue(takes, …, y_id=y.id)  [E120]",
    ),
    "a key that is no str": (
        lambda mail: mail.enqueue(takes, {1: 2}),
        "takes(…) argument 1, 'x', has the key 1, an int; keys must be str. Nothing stored.\n"
        "  Make the keys str, or pass a list of pairs.  [E120]",
    ),
    "NaN": (
        lambda mail: mail.enqueue(takes, [float("nan")]),
        "takes(…) argument 1, 'x[0]', is nan, which JSON cannot say. Nothing stored.\n  Use None, or leave it out.  [E120]",
    ),
    "a model without its annotation": (
        lambda mail: mail.enqueue(untyped, User("ada")),
        "untyped(…) argument 1, 'user', is a User (dataclass), which is rebuilt from the parameter's annotation, but 'user' "
        "has no annotation that holds one. Nothing stored.\n"
        "  Annotate it with User (list[User], … for containers), or pass plain data.  [E124]",
    ),
    "more than 1 MiB": (
        lambda mail: mail.enqueue(send, "x" * (1 << 20)),
        "the arguments of send: 1,048,585 bytes as JSON, and a job carries at most 1,048,576. Nothing stored.\n"
        "  Put the data into a file or a database and pass its path or id.  [E126]",
    ),
    # -- names and keys --
    "a queue's name": (lambda mail: Queue("my queue"), f"Queue: 'my queue' {NAME_RULE}"),
    "a namespace": (lambda mail: App(namespace="a/b"), f"App(namespace=): 'a/b' {NAME_RULE}"),
    "a task's name": (
        lambda mail: task(name="Bad Name")(send),
        "@task of send: name: 'Bad Name' is not a task name. Use 1 to 100 of the characters a-z 0-9 _ . and - "
        "(a colon marks Python paths).  [E128]",
    ),
    "a tag with a line break": (
        lambda mail: mail.using(tags="a\nb"),
        r"mail.using: tags: 'a\nb' contains control characters or half characters, which a key cannot.  [E128]",
    ),
    "a long tag": (
        lambda mail: mail.using(tags="é" * 251),
        f"mail.using: tags: a key has 1 to 500 bytes; this one has 502: '{'é' * 40}'…  [E128]",
    ),
    "many tags": (
        lambda mail: mail.using(tags=[str(number) for number in range(101)]),
        "mail.using: tags: 101 keys given, at most 100 are allowed.  [E128]",
    ),
    # -- options --
    "at without a zone": (lambda mail: mail.using(at=NAIVE), f"mail.using: at is {NAIVE!r}, {NO_ZONE}"),
    "expires without a zone": (lambda mail: mail.using(expires=NAIVE), f"mail.using: expires is {NAIVE!r}, {NO_ZONE}"),
    "since without a zone": (lambda mail: mail.jobs(since=NAIVE), f"since is {NAIVE!r}, {NO_ZONE}"),
    "a negative delay": (
        lambda mail: mail.using(delay=-1),
        "mail.using: delay must be between 0 and 100 years, not -1.  [E123]",
    ),
    "no duration": (
        lambda mail: mail.using(timeout="soon"),
        'mail.using: timeout takes a duration: seconds, text like "5m" or "1h30m" (units ms s m h d w), or a timedelta; '
        "not 'soon'.  [E123]",
    ),
    "a misspelt option": (
        lambda mail: mail.using(dealy=5),
        "mail.using: 'dealy' is not an option. Did you mean 'delay'? Nothing stored.  [E123]",
    ),
    "an unknown option": (
        lambda mail: Queue("a", colour="red"),  # type: ignore[call-arg]
        f"Queue('a'): 'colour' is not an option. There are: {OPTIONS}. Nothing stored.  [E123]",
    ),
    "an option of one job on a queue": (
        lambda mail: Queue("a", id="x"),
        "Queue('a'): 'id' belongs to one job, so it goes in using(id=…), not on a Queue.  [E123]",
    ),
    # -- looking --
    "an unknown id": (
        lambda mail: mail.job("01234567"),
        "no job '01234567' in sqlite:///{place}/jobs.db  (from the argument store=): never stored there, or deleted, or "
        "pruned after its end.\n  To see what is there:  packhorse jobs list  [E114]",
    ),
    # -- the store --
    "a directory": (
        lambda mail: Queue(store=f"sqlite:///{os.getcwd()}/folder").enqueue(takes, 1),
        "The job store {place}/folder is a directory. The store URL must name a file, for example "
        "sqlite:///{place}/folder/packhorse.db\n  sqlite:///{place}/folder  (from the argument store=)  [E104]",
    ),
    "another kind of file": (
        lambda mail: Queue(store=f"sqlite:///{os.getcwd()}/letter.txt").enqueue(takes, 1),
        "{place}/letter.txt is not a SQLite database. Nothing was changed. Name another file in the store URL.\n"
        "  sqlite:///{place}/letter.txt  (from the argument store=)  [E104]",
    ),
}


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue on a file, which must still be empty at the end: whatever is refused is not stored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "letter.txt").write_text("Dear Ada, this is no database.\n" * 100)
    made = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
    yield made
    assert sum(made.counts().values()) == 0


def _same_everywhere(text: str) -> str:
    """Take out what differs from run to run: how objects without a name are shown."""
    import re

    return re.sub(r"<(?!lambda>)[^<>]*>", "<…>", text)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_in_full(case: str, mail: Queue, tmp_path: Path) -> None:
    do, message = CASES[case]
    with pytest.raises(PackhorseError) as caught:
        do(mail)
    assert _same_everywhere(str(caught.value)) == message.replace("{place}", str(tmp_path))


def test_a_result_that_cannot_be_stored_is_dropped_and_said() -> None:
    """The job succeeded all the same, and the value is never a false one."""
    with testing.memory() as store:
        job = Queue().enqueue(unstorable)
        (ran,) = store.run()
        assert (ran.id, ran.state) == (job.id, "succeeded")
        with pytest.raises(PackhorseError) as caught:
            job.result()
        assert str(caught.value) == (
            f"job {job.id} ({HERE}:unstorable) ran to its end, but its result (lock) cannot be stored and was dropped. "
            "Return data, or set keep_result=False to silence this.  [E122]  [E202]"
        )
