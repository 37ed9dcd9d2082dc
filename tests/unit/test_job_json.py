"""One job as JSON, and the numbers of batches."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from packhorse import _runtime
from packhorse._batches import flow_of, next_number, number_of, numbers
from packhorse._command import KEYS
from packhorse._ids import new_id
from packhorse._job_json import OPTIONS, asked, asked_of, line_id
from packhorse._options import JobOptions
from packhorse._owning import Declared, apply, publish
from packhorse._record import NewJob
from packhorse._rule import every
from packhorse._schedule import encode, spec
from packhorse._settings import Settings
from packhorse.errors import BadArguments, BadName, BadOption


def test_the_options_are_those_of_a_job() -> None:
    assert set(OPTIONS) == set(JobOptions.__annotations__)
    assert not set(OPTIONS) & {"task", "args", "kwargs", "command", "queue", *KEYS}


def test_a_task() -> None:
    found = asked(
        '{"task": "publish-book", "args": [1], "kwargs": {"book": "b1"}, "queue": "books", "priority": 5, "retry": 2}'
    )
    assert (found.task, found.args, found.kwargs, found.queue) == ("publish-book", (1,), {"book": "b1"}, "books")
    assert found.options == {"priority": 5, "retry": 2}
    assert found.command is None


def test_a_command() -> None:
    found = asked(
        '{"command": ["p", "{a}"], "params": {"a": "1"}, "outputs": {"o": "/o"}, "timeout": "8h", "tags": "x"}'
    )
    assert (found.command, found.keys) == (["p", "{a}"], {"params": {"a": "1"}, "outputs": {"o": "/o"}})
    assert found.options == {"timeout": "8h", "tags": "x"}
    assert found.task is None


def test_times_are_text_there() -> None:
    found = asked_of({"task": "a", "at": "2026-11-21T09:00:00Z", "expires": "5m"})
    assert found.options == {"at": datetime(2026, 11, 21, 9, tzinfo=UTC), "expires": 300.0}
    assert asked_of({"task": "a", "expires": "2026-11-21T09:00:00+02:00"}).options["expires"].utcoffset() is not None


def test_values_outside_json_are_tagged() -> None:
    found = asked('{"task": "a", "kwargs": {"day": {"$date": "2026-11-20"}}}')
    assert found.kwargs["day"].isoformat() == "2026-11-20"
    assert asked('{"command": ["p"], "stdin": {"$bytes": "AP8="}}').keys["stdin"] == b"\x00\xff"


def test_a_task_for_those_that_name_none() -> None:
    assert asked('{"kwargs": {"x": 1}}', default="t").task == "t"
    assert asked('{"command": ["p"]}', default="t").task is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "this is not JSON"),
        ("{", "this is not JSON"),
        ("[1]", "a job is a JSON object"),
        ('{"task": NaN}', "not JSON"),
        ('{"task": "a", "x": {"$nothing": 1}}', "tag"),
        ("{}", 'a job has either "task" or "command"'),
        ('{"task": "a", "command": ["b"]}', 'a job has either "task" or "command"'),
        ('{"tusk": "a"}', "unknown key 'tusk'; did you mean 'task'?"),
        ('{"task": "a", "delays": 1}', "did you mean 'delay'?"),
        ('{"task": 5}', "task is the name of one, not 5"),
        ('{"task": ""}', "task is the name of one"),
        ('{"task": "a", "args": {}}', "args is a list"),
        ('{"task": "a", "kwargs": []}', "kwargs is an object"),
        ('{"task": "a", "params": {"x": "1"}}', "'params' belongs to a command; the arguments of a task"),
        (
            '{"command": ["a"], "kwargs": {}}',
            "'kwargs' belongs to a task; the values of a command's fields are its params",
        ),
        ('{"task": "a", "queue": "x y"}', "is not a name"),
        ('{"task": "a", "at": "tomorrow"}', 'at takes a time like "2026-11-21T09:00:00Z", not'),
        ('{"task": "a", "expires": "soon"}', 'expires takes a duration like "5m" or a time'),
        ('{"task": "a", "name": "x"}', "unknown key 'name'"),
    ],
)
def test_what_is_wrong_is_refused(text: str, message: str) -> None:
    with pytest.raises((BadArguments, BadOption, BadName)) as caught:
        asked(text)
    assert message in str(caught.value)


def test_the_id_of_a_line_is_its_own() -> None:
    ids = {line_id("a", 1, "q"), line_id("a", 2, "q"), line_id("b", 1, "q"), line_id("a", 1, "r")}
    assert len(ids) == 4
    assert (
        line_id("a", 1, "q") == "05bf5bfc-1d2d-5200-9501-1720eeff6431"
    )  # for ever: a file that was stored must not be stored again


# -- batches ------------------------------------------------------------------------------------------------------------
def test_a_batch_is_a_flow_with_a_number() -> None:
    assert flow_of(812) == "batch-812"
    assert [number_of(each) for each in ("batch-812", "batch-", "batch-x", "812", "", None, "batch-²")] == [
        812,
        *[None] * 6,
    ]
    assert list(numbers("812")) == [812]
    assert list(numbers(" 812-814 ")) == [812, 813, 814]
    for wrong in ("", "x", "5-4", "1-2000", "-1"):
        with pytest.raises(BadOption, match="--batch takes a number"):
            numbers(wrong)


def _open(path: Path) -> Any:
    return _runtime.open_store(Settings(f"sqlite:///{path}/jobs.db", "of a test"), create=True)


def test_no_two_get_the_same_number(tmp_path: Path) -> None:
    _open(tmp_path).close()
    taken: list[int] = []

    def take() -> None:
        store = _open(tmp_path)
        taken.extend(next_number(store) for _ in range(10))
        store.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(taken) == list(range(1, 41))


def test_the_number_goes_on_behind_batches_that_came_from_elsewhere(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.enqueue([NewJob(new_id(), "a", "q", "[[],{}]", flow=flow) for flow in ("batch-7", "batch-40", "other")])
    assert next_number(store) == 41
    assert next_number(store) == 42
    store.close()


def test_the_number_and_the_builds_of_applications_leave_each_other_alone(tmp_path: Path) -> None:
    store = _open(tmp_path)
    assert next_number(store) == 1
    specs = {"nightly": encode(spec(every("1h", "it"), NewJob("", "a", "q", "[[],{}]"), where="it"))}
    apply(store, lambda book: publish(book, Declared("tasks", "b1", specs)))
    assert next_number(store) == 2
    assert json.loads(store.schedules().builds)["tasks"]["builds"] == ["b1"]
    store.close()
