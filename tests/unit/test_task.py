"""``@task``: still the function, with a name, options and a queue."""

import asyncio
from typing import Any

import pytest

from packhorse import Queue, task, testing
from packhorse._task import Task
from packhorse.errors import BadArguments, BadName, BadOption

mail = Queue("mail", priority=7)
done: list[Any] = []


@task
def plain(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@task(queue="mail", retry=2, timeout="30s", tags=["x"])
def to_mail(to: str) -> str:
    done.append(to)
    return to


@task(queue=mail, priority=3)
def on_object(to: str) -> None: ...


@task(name="billing.pay", aliases="old-pay")
def pay(cents: int) -> None: ...


@task
async def fetch(url: str) -> str:
    return url


def test_it_is_still_the_function() -> None:
    assert plain(2) == 3
    assert plain(2, b=3) == 5
    assert asyncio.run(fetch("u")) == "u"  # type: ignore[arg-type]
    assert (plain.__name__, plain.__doc__, plain.__module__) == ("plain", "Add.", __name__)
    assert repr(plain) == f"<task {__name__}:plain>"


def test_it_has_a_name() -> None:
    assert plain.name == f"{__name__}:plain"
    assert (pay.name, pay.aliases) == ("billing.pay", ("old-pay",))


def test_decorating_twice_is_decorating_once() -> None:
    assert task(plain).__wrapped__ is plain.__wrapped__


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"retyr": 1}, BadOption, "@task of fn: 'retyr' is not an option. Did you mean 'retry'?"),
        ({"id": "x"}, BadOption, "belongs to one job"),
        ({"at": None}, BadOption, "belongs to one job"),
        ({"name": "a:b"}, BadName, "not a task name"),
        ({"name": "A"}, BadName, "not a task name"),
        ({"aliases": ["ok", "not ok"]}, BadName, "not a task name"),
        ({"aliases": 5}, BadOption, "list of names"),
        ({"queue": "a b"}, BadName, "not a name"),
        ({"queue": 5}, BadOption, "queue's name or a Queue"),
    ],
)
def test_wrong_options_are_told_at_import(options: dict[str, Any], error: type[Exception], words: str) -> None:
    def fn() -> None: ...

    fn.__qualname__ = "fn"
    with pytest.raises(error) as caught:
        task(**options)(fn)
    assert words in str(caught.value)


@pytest.mark.parametrize("thing", [5, "text", None])
def test_only_functions_are_decorated(thing: Any) -> None:
    with pytest.raises(TypeError, match="@task takes a function"):
        task()(thing)


def test_using_refuses_what_is_the_tasks_own() -> None:
    for option in ({"name": "x"}, {"aliases": ["x"]}):
        with pytest.raises(BadOption, match="option of @task"):
            plain.using(**option)
    with pytest.raises(BadOption, match="not an option"):
        plain.using(unknown=1)  # type: ignore[call-arg]
    with pytest.raises(BadName):
        plain.using(queue="a b")


def test_it_goes_to_its_queue() -> None:
    with testing.memory():
        assert plain.enqueue(1).queue == "default"
        assert to_mail.enqueue("ada").queue == "mail"
        assert on_object.enqueue("ada").queue == "mail"
        assert to_mail.using(queue="other").enqueue("ada").queue == "other"
        assert to_mail.using(queue=mail).enqueue("ada").queue == "mail"


def test_options_of_all_levels_meet() -> None:
    with testing.memory():
        assert on_object.enqueue("ada").priority == 3
        assert on_object.using(priority=1).enqueue("ada").priority == 1
        assert on_object.using(priority=1).using(tags="t").enqueue("ada").priority == 1
        assert to_mail.using(queue=mail).enqueue("ada").priority == 7
        assert to_mail.enqueue("ada").tags == ("x",)
        assert to_mail.using(tags="y").enqueue("ada").tags == ("y",)
        later = plain.using(delay="1h").enqueue(1)
        assert later.state == "scheduled"
        assert plain.enqueue(1).state == "queued"  # the task itself has not changed


def test_its_jobs_run() -> None:
    done.clear()
    with testing.memory() as store:
        job = to_mail.enqueue("ada")
        again = asyncio.run(to_mail.aenqueue("bob"))
        fetched = fetch.enqueue("u")
        store.run()
        assert (job.refresh().result(), again.refresh().result(), fetched.refresh().result()) == ("ada", "bob", "u")
    assert done == ["ada", "bob"]


def test_a_draft_is_checked() -> None:
    with testing.memory():
        draft = plain.draft(1)
        assert (draft.task, draft.queue) == (plain.name, "default")
        with pytest.raises(BadArguments, match="misses 'a'"):
            plain.draft()  # type: ignore[call-arg]
        with pytest.raises(BadArguments, match="job options go in"):
            plain.enqueue(1, delay=5)  # type: ignore[call-arg]


def test_the_queue_is_made_once_so_that_it_remembers_the_task() -> None:
    assert isinstance(plain, Task)
    assert plain._queue() is plain._queue()
    assert on_object._queue() is mail
