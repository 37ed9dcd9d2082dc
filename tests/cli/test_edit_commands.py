"""``packhorse jobs edit`` of commands that wait: other arguments are checked as those of a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packhorse._store import JobFilter

TOML = """
[tasks.publish-book]
command  = ["./publish.sh", "{book}", "{*extra}"]
reserves = ["book:{book}"]
"""


@pytest.fixture(autouse=True)
def tasks(place: Path) -> None:
    (place / "packhorse.toml").write_text(TOML)


def only(store: Any) -> Any:
    (job,) = store.find(JobFilter(), 10).jobs
    return job


def payload(store: Any) -> Any:
    return json.loads(only(store).payload)


def test_a_raw_command_gets_other_words_and_keys(cli, store):
    cli("submit", "--set", "b=b1", "/bin/echo", "{b}")
    id = only(store).id
    words, keys = '["/bin/echo", "-n", "{c}"]', '{"params": {"c": "c1"}, "ok": [0, 3]}'
    assert cli("jobs", "edit", id, "--args", words, "--kwargs", keys).out == "1 job changed\n"
    assert payload(store) == [json.loads(words), json.loads(keys)]
    assert only(store).task == "$echo"


@pytest.mark.parametrize(
    "args, kwargs, message",
    [
        ('["/bin/rm", "x"]', "{}", "another program is another job"),
        ('["/bin/echo"]', '{"steps": [["rm", "x"]]}', "another program is another job"),
        ('["/bin/echo"]', '{"nicer": 5}', "nicer"),
        ('["/bin/echo"]', '{"params": {"z": "1"}}', "'z' is used nowhere"),
        ("[]", "{}", "command"),
    ],
)
def test_what_could_not_be_submitted_so_is_refused(cli, store, args, kwargs, message):
    cli("submit", "/bin/echo", "a")
    ran = cli("jobs", "edit", only(store).id, "--args", args, "--kwargs", kwargs)
    assert ran.code == 2
    assert message in ran.err
    assert "Nothing changed." in ran.err
    assert "Nothing stored." not in ran.err
    assert payload(store) == [["/bin/echo", "a"], {}]


def test_a_command_task_gets_other_values(cli, store):
    cli("submit", "--task", "publish-book", "--set", "book=b1")
    id = only(store).id
    assert cli("jobs", "edit", id, "--kwargs", '{"book": "b1", "extra": ["--force"]}').code == 0
    assert payload(store) == [[], {"book": "b1", "extra": ["--force"]}]
    for kwargs, message in (('{"bock": "b1"}', "has no parameter 'bock'"), ('{"book": "b2"}', "what it reserves")):
        ran = cli("jobs", "edit", id, "--kwargs", kwargs)
        assert ran.code == 2
        assert message in ran.err
    assert payload(store) == [[], {"book": "b1", "extra": ["--force"]}]
    assert only(store).holds == '[["x", "book:b1"]]'


def test_commands_are_chosen_by_batch(cli, store):
    cli("submit", "/bin/echo", "a")
    assert "1 job would be changed" in cli("jobs", "edit", "batch:1", "--priority", "5", "--dry-run").out
    assert "no job matches" in cli("jobs", "edit", "batch:2", "--priority", "5", "--dry-run").out
