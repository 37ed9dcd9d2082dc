"""Commands as jobs, from a program: what is stored, what is refused at the door, and how a name leads to a command task."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import App, Draft, Queue, _runtime, task
from packhorse._catalogue import command_entry
from packhorse._command_draft import declared_here, find
from packhorse._command_task import read_tasks
from packhorse._ids import new_id
from packhorse._record import JobRecord, WorkerRecord
from packhorse._recurring import from_config
from packhorse.errors import BadArguments, BadOption, ConfigError, NotSerialisable, PackhorseError
from packhorse.flows import chain, group
from packhorse.testing import Kit, memory

TOML = """
[tasks.publish-book]
command  = ["/opt/rstar/bin/publish.sh", "{rstar}", "{book}", "{*extra}"]
inputs   = { "wip/se/{book}/data" = "/content/{book}/data" }
reserves = ["book:{book}"]
shares   = "root:{rstar}"
tags     = ["{rstar}", "book"]
unique   = true
timeout  = "8h"
priority = 5
queue    = "books"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("PACKHORSE_URL", raising=False)
    (tmp_path / "packhorse.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    _runtime.forget()


@pytest.fixture
def kit(place: Path) -> Iterator[Kit]:
    with memory() as found:
        yield found


jobs = Queue()


def record(kit: Kit, job_id: str) -> JobRecord:
    with jobs._connection as store:
        return store.get([job_id])[0]


# -- raw commands -----------------------------------------------------------------------------------------------------
def test_a_command_is_a_job(kit: Kit) -> None:
    job = jobs.using(priority=3, tags="x", retry=2).command(
        ["/opt/bin/p.sh", "{b}"], params={"b": "1"}, ok=(0, 3), stdin=b"\xff"
    )
    stored = record(kit, job.id)
    assert (stored.task, stored.state, stored.priority, stored.tags) == ("$p.sh", "queued", 3, '["x"]')
    assert json.loads(stored.payload) == [
        ["/opt/bin/p.sh", "{b}"],
        {"params": {"b": "1"}, "stdin": {"$bytes": "/w=="}, "ok": [0, 3]},
    ]
    assert json.loads(str(stored.by))["file"] == __file__
    assert job.args == ("/opt/bin/p.sh", "{b}")


def test_awaited_commands_and_drafts_are_the_same(kit: Kit) -> None:
    first = asyncio.run(jobs.acommand(["a"], nice=5))
    (second,) = jobs.enqueue_many([jobs.draft_command(["a"], nice=5)])
    (third,) = jobs.enqueue_iter([jobs.draft_command(["a"], nice=5)])
    assert {record(kit, each).payload for each in (first.id, second.id, third)} == {'[["a"],{"nice":5}]'}


def test_commands_follow_each_other_like_any_jobs(kit: Kit) -> None:
    last = chain(jobs.draft_command(["a"]), jobs.draft_command(["c"]), jobs.draft("publish-book", rstar="r", book="b"))
    assert record(kit, last.id).after is not None
    end = group([jobs.draft_command(["x", str(number)]) for number in range(3)], then=jobs.draft_command(["done"]))
    assert record(kit, end.id).after_flow is not None


def test_a_command_may_be_scheduled_and_declared(kit: Kit) -> None:
    jobs.schedule("nightly", jobs.draft_command(["/bin/report"]), cron="0 2 * * *")
    tables = {"weekly": {"task": "publish-book", "kwargs": {"rstar": "r", "book": "b"}, "every": "7d"}}
    said = json.loads(from_config(tables, "of a test", None)["weekly"])
    assert said["job"]["queue"] == "books"
    assert json.loads(said["job"]["payload"])[1] == {"rstar": "r", "book": "b"}


def test_a_command_can_be_unique_by_what_it_is(kit: Kit) -> None:
    line = jobs.using(unique=True)
    assert not line.command(["a", "1"]).existing
    assert line.command(["a", "1"]).existing
    assert not line.command(["a", "2"]).existing


def test_middleware_sees_a_command(place: Path) -> None:
    seen: list[tuple[str, Any]] = []

    class Watch:
        def around_enqueue(self, draft: Draft[Any]) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def around() -> Iterator[None]:
                draft.add(meta={"seen": 1})
                seen.append((draft.task, draft.args))
                yield

            return around()

    app = App(middleware=[Watch()])
    with memory(app=app):
        job = Queue(app=app).command(["a", "b"])
        assert job.meta == {"seen": 1}
    assert seen == [("$a", ("a", "b"))]


def test_a_command_goes_into_the_callers_transaction(place: Path) -> None:
    line = Queue(store=f"sqlite:///{place}/jobs.db")
    line.counts()
    connection = sqlite3.connect(place / "jobs.db", isolation_level=None)
    for end, there in (("ROLLBACK", 0), ("COMMIT", 2)):
        connection.execute("BEGIN")
        line.within(connection).command(["a"])
        line.within(connection).enqueue("publish-book", rstar="r", book="b")
        connection.execute(end)
        assert sum(line.counts().values()) == there
    connection.close()


Refused = tuple[Callable[[], Any], type[PackhorseError], str]

REFUSED: list[Refused] = [
    (lambda: jobs.command([]), BadOption, "command(): command is empty"),
    (lambda: jobs.command("echo hello"), BadOption, "takes a list: a program and its arguments"),
    (lambda: jobs.command(["a\x00"]), BadOption, "NUL byte"),
    (lambda: jobs.command(["a", 5]), BadOption, "word 2 takes text, not 5"),  # type: ignore[list-item]
    (lambda: jobs.command(["bin/a"]), BadOption, "is a relative path"),
    (lambda: jobs.command(["a"], ok=(256,)), BadOption, "from 0 to 255"),
    (lambda: jobs.command(["a"], oks=(0,)), BadOption, "Did you mean 'ok'?"),  # type: ignore[call-arg]
    (lambda: jobs.command(["a"], priority=5), BadOption, "nothing that a command takes"),  # type: ignore[call-arg]
    (lambda: jobs.command(["a"], params={"x": "1"}), BadArguments, "'x' is used nowhere"),
    (lambda: jobs.command(["a"], inputs={"../x": "/y"}), BadOption, "leaves the workspace"),
    (lambda: jobs.command(["a"], outputs={"/x": "/y"}), BadOption, "leaves the workspace"),
    (lambda: jobs.command(["a"], outputs={"x": "y"}), BadOption, "must be an absolute path"),
    (lambda: jobs.command(["a"], outputs={"x": "/y", "x/z": "/z"}), BadOption, "lie one within the other"),
    (lambda: jobs.command(["a"], inputs={"i": "/c/{b}"}, params={"b": "x/y"}), BadArguments, "stands for one name"),
    (lambda: jobs.command([jobs.draft_command(["b"]).as_argument]), BadOption, "takes text"),  # type: ignore[list-item]
    (lambda: jobs.command(["a", "x" * 2_000_000]), PackhorseError, "1,048,576"),
    (
        lambda: jobs.enqueue("publish-book", "r", "b"),
        BadArguments,
        "takes its parameters by name — publish-book(*, rstar",
    ),
    (lambda: jobs.enqueue("publish-book", rstar="r"), BadArguments, "publish-book misses 'book'"),
    (lambda: jobs.enqueue("publish-book", rstar="r", book="b", bok="c"), BadArguments, "did you mean 'book'?"),
    (lambda: jobs.enqueue("publish-book", rstar="r", book="a/b"), BadArguments, "stands for one name within a path"),
    (lambda: jobs.enqueue("publish-book", rstar="r\x00", book="b"), BadArguments, "NUL byte"),
    (lambda: jobs.enqueue("publish-book", rstar="r\n", book="b"), BadOption, "control characters"),
    (lambda: jobs.enqueue("publish-book", rstar=object(), book="b"), BadArguments, "takes text"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_wrong_is_refused_and_nothing_stored(kit: Kit, number: int) -> None:
    call, kind, message = REFUSED[number]
    with pytest.raises(kind) as caught:
        call()
    assert message in str(caught.value)
    assert kit.jobs == []


def test_a_refusal_says_that_nothing_is_stored_once(kit: Kit) -> None:
    with pytest.raises(BadOption) as caught:
        jobs.command([])
    assert str(caught.value).count("Nothing stored.") == 1
    assert str(caught.value).endswith("[E123]")


# -- command tasks ----------------------------------------------------------------------------------------------------
def test_a_command_task_is_enqueued_by_its_name(kit: Kit) -> None:
    job = jobs.enqueue("publish-book", rstar="r", book="b1", extra=["--force"])
    stored = record(kit, job.id)
    assert (stored.task, stored.queue, stored.priority) == ("publish-book", "default", 5)
    assert json.loads(stored.payload) == [[], {"rstar": "r", "book": "b1", "extra": ["--force"]}]
    assert json.loads(str(stored.holds)) == [["s", "root:r"], ["x", "book:b1"]]
    assert json.loads(str(stored.tags)) == ["r", "book"]
    # timeout and retry are read where it runs
    assert json.loads(str(stored.options)) == {"kept_for": 365 * 86400}
    assert jobs.enqueue("publish-book", rstar="r", book="b1", extra=["--force"]).existing


def test_what_is_given_goes_before_what_is_declared(kit: Kit) -> None:
    job = jobs.using(reserves="mine", priority=-1, timeout="1m").enqueue("publish-book", rstar="r", book="b1")
    stored = record(kit, job.id)
    assert json.loads(str(stored.holds)) == [["s", "root:r"], ["x", "mine"]]
    assert (stored.priority, json.loads(str(stored.options))) == (
        -1,
        {"timeout": 60.0, "kept_for": 365 * 86400},
    )


def test_the_file_is_read_again_when_it_changes(kit: Kit, place: Path) -> None:
    first = declared_here()
    assert declared_here() is first
    (place / "packhorse.toml").write_text('[tasks.other-one]\ncommand = ["p", "{x}"]\n')
    assert set(declared_here()) == {"other-one"}
    assert jobs.enqueue("other-one", x=1).kwargs == {"x": "1"}
    (place / "packhorse.toml").write_text('[tasks.other-one]\ncomand = ["p"]\n')
    with pytest.raises(ConfigError, match="'comand' is unknown"):
        jobs.enqueue("other-one", x=1)
    (place / "packhorse.toml").unlink()
    assert declared_here() == {}


def test_an_awaited_call_takes_the_same_checks(kit: Kit) -> None:
    async def both() -> None:
        job = await jobs.aenqueue("publish-book", rstar="r", book="b")
        assert job.kwargs == {"rstar": "r", "book": "b"}
        with pytest.raises(BadArguments, match="misses 'book'"):
            await jobs.aenqueue("publish-book", rstar="r")

    asyncio.run(both())


def test_a_function_of_this_process_goes_before_a_command(kit: Kit) -> None:
    named = task(name="publish-book")(_publish)
    assert find("publish-book", None) is None
    assert jobs.enqueue("publish-book", 5).args == (5,)
    del named


def _publish(number: int) -> None: ...


# -- command tasks that only a worker knows -----------------------------------------------------------------------------
def _told(store: Any, text: str, **about: Any) -> None:
    import tomllib

    tasks = {name: command_entry(each) for name, each in read_tasks(tomllib.loads(text)["tasks"], "f").items()}
    told = {"tasks": {**tasks, **about}}
    store.register(WorkerRecord(new_id(), "w", "h", 1, "b", catalogue=json.dumps(told)))


def test_what_a_live_worker_tells_of_holds_where_no_file_does(kit: Kit, place: Path) -> None:
    (place / "packhorse.toml").unlink()
    with jobs._connection as store:
        _told(store, TOML.replace("publish-book", "told-book"))
    job = jobs.enqueue("told-book", rstar="r", book="b1")
    assert json.loads(str(record(kit, job.id).holds)) == [["s", "root:r"], ["x", "book:b1"]]
    with pytest.raises(BadArguments, match="'book' stands for one name within a path"):
        jobs.enqueue("told-book", rstar="r", book="b/1")
    awaited = asyncio.run(jobs.aenqueue("told-book", rstar="r", book="b2"))
    assert json.loads(str(record(kit, awaited.id).tags)) == ["r", "book"]


def test_what_nobody_tells_of_is_kept_for_a_worker_that_will(kit: Kit) -> None:
    job = jobs.enqueue("nobody-knows", 1, x=2)
    assert (job.args, job.kwargs) == ((1,), {"x": 2})


def test_a_draft_needs_no_store(place: Path) -> None:
    assert Queue().draft("nobody-knows", 1).task == "nobody-knows"
    assert Queue().draft("publish-book", rstar="r", book="b").tags == ("r", "book")


def test_the_outbox_asks_no_job_store(place: Path) -> None:
    line = Queue(store="postgresql://nobody@127.0.0.1:1/none")
    connection = sqlite3.connect(place / "app.db", isolation_level=None)
    connection.execute("BEGIN")
    with pytest.raises(PackhorseError, match="outbox"):  # that table is not there: so far it came without the store
        line.within(connection, outbox=True).enqueue("nobody-knows")
    connection.close()


def test_a_result_of_another_job_is_no_text(kit: Kit) -> None:
    with pytest.raises((BadArguments, NotSerialisable), match="takes text"):
        jobs.enqueue("publish-book", rstar="r", book=jobs.draft_command(["a"]).as_argument)
