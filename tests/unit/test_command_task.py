"""Command tasks as the config file declares them: read strictly, called by name, published by workers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from packhorse._catalogue import command_entry, with_commands
from packhorse._command_draft import told_command
from packhorse._command_task import CommandTask, read_tasks
from packhorse._defaults import plain_defaults
from packhorse._parameter import Parameter, checked, missing_path, restored
from packhorse._settings import resolve
from packhorse.errors import BadArguments, ConfigError, TaskNameTaken

FILE = "/etc/app/packhorse.toml"
PUBLISH = """
command  = ["/opt/rstar/bin/publish.sh", "{rstar}", "{book}", "{*extra}"]
inputs   = { "wip/se/{book}/data" = "/content/{book}/data" }
outputs  = { "wip/se/{book}/aux"  = "/content/{book}/aux" }
reserves = ["book:{book}"]
timeout  = "8h"
ok       = [0, 3]
doc      = "Publishes one book."
queue    = "books"
"""


def read(text: str, name: str = "t", file: str = FILE) -> CommandTask:
    return read_tasks({name: tomllib.loads(text)}, file)[name]


def wrong(text: str, name: str = "t") -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, name)
    return str(caught.value)


# -- reading ----------------------------------------------------------------------------------------------------------
def test_what_the_table_says() -> None:
    task = read(PUBLISH, "publish-book")
    assert task.command.ok == (0, 3)
    assert list(task.params) == ["rstar", "book", "extra"]
    assert task.signature == "publish-book(*, rstar: str, book: str, extra: list[str] = [])"
    assert task.shown == "/opt/rstar/bin/publish.sh '{rstar}' '{book}' '{*extra}'"
    assert plain_defaults(task.options) == {"timeout": 28800.0, "reserves": ["book:{book}"], "queue": "books"}
    assert (task.doc, task.source) == ("Publishes one book.", FILE)


def test_every_text_may_have_parameters() -> None:
    task = read("""
        command = ["p", "{a}"]
        inputs = {"{b}/x" = "/i/{c}"}
        outputs = {"o/{d}" = "/o/{e}"}
        links = {"l/{f}" = "/l/{g}"}
        cwd = "{h}"
        env = {E = "{i}"}
        stdin = "{j}"
        needs = ["mount:/{k}"]
        reserves = ["r:{l}"]
        shares = "s:{m}"
        limit = ["n:{n}"]
        unique = "{o}"
        tags = ["{p}", "{{q}}"]
    """)
    assert sorted(task.params) == list("abcdefghijklmnop")


def test_relative_paths_begin_where_the_file_is() -> None:
    task = read("""
        command = ["./bin/publish.sh", "./x"]
        inputs = {i = "content/{b}", c = "copy:../shared", f = "{root}/x"}
        outputs = {o = "/abs"}
    """)
    assert task.command.steps == (("/etc/app/bin/publish.sh", "./x"),)
    assert task.command.inputs == {"i": "/etc/app/content/{b}", "c": "copy:/etc/shared", "f": "{root}/x"}
    assert read('command = ["publish.sh"]').command.program == "publish.sh"
    assert read('steps = [["bin/a"], ["b"]]').command.programs == ("/etc/app/bin/a", "b")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "[tasks.t] takes either command"),
        ('command = ["a"]\nsteps = [["b"]]', "[tasks.t] takes either command"),
        ('command = ["a"]\ncomand = 1', "[tasks.t]: 'comand' is unknown; did you mean 'command'? There are: command, params"),
        ('command = ["a"]\nid = "x"', "'id' is unknown"),
        ('command = ["a"]\nname = "x"', "'name' is unknown"),
        ('command = "a b"', "[tasks.t]: command takes a list: a program and its arguments"),
        ("command = []", "command is empty"),
        ('command = ["a"]\nok = [256]', "ok: an exit status is a whole number from 0 to 255"),
        ('command = ["a"]\nexits = {75 = "later"}', "status 75 means"),
        ('command = ["a"]\nretry = -1', "retry takes a number of further attempts"),
        ('command = ["a"]\ntimeout = "8 hours"', "timeout takes a duration"),
        ('command = ["a"]\npriority = 200', "priority takes a whole number"),
        ('command = ["a"]\nat = 2026-01-01', "'at' is unknown"),
        ('command = ["a", "{x"]', "belongs to no {name}; write {{"),
        ('command = ["a"]\nreserves = ["b:{x.y}"]', "belongs to no {name}"),
        ('command = ["a"]\noutputs = {"../x" = "/y"}', "'../x' leaves the workspace"),
        ('command = ["a"]\noutputs = {"x" = "/y", "x/{z}" = "/z"}', "lie one within the other"),
        ('command = ["a"]\ninputs = {"x/{z}" = "/y/../{z}"}', "without '..'"),
        ('command = ["a", "{x}"]\nparams.y = {}', "params.y is used nowhere: there is no {y}"),
        ('command = ["a", "{x}"]\nparams.x = {defalt = "1"}', "params.x: 'defalt' is unknown; there are: many, default, split"),
        ('command = ["a", "{x}"]\nparams.x = "1"', "params.x takes a table"),
        ('command = ["a", "{x}"]\nparams = 1', "params takes a table of tables"),
        ('command = ["a", "{x}"]\nparams.x = {match = "("}', "is no regular expression"),
        ('command = ["a", "{x}"]\nparams.x = {path = "folder"}', "path is one of dir, file"),
        ('command = ["a", "{x}"]\nparams.x = {under = "content"}', "under takes an absolute path"),
        ('command = ["a", "{x}"]\nparams.x = {one_of = "a"}', "one_of takes a list of texts"),
        ('command = ["a", "{x}"]\nparams.x = {one_of = ["a"], default = "b"}', "its default does not fit"),
        ('command = ["a", "{x}"]\nparams.x = {many = true}', "'x' is any number of words, so it is written {*name}"),
        ('command = ["a", "-{*x}"]', "alone as a word of the command"),
        ('command = ["a"]\ncwd = "{*x}"', "alone as a word of the command"),
        ('command = ["a", "{*x}"]\ntags = ["{x}"]', "a key or tag takes one"),
        ('command = ["a"]\ntags = ["{*x}"]', "a key or tag takes one"),
        ('command = "echo \'{x}\'"\nshell = true', "stands in quotes"),
        ('command = ["a"]\ndoc = 1', "doc takes text"),
        ('command = ["a"]\nenv = {PACKHORSE_FD = "1"}', "is set by Packhorse itself"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_file_table_and_key(text: str, message: str) -> None:
    said = wrong(text)
    assert said.startswith(f"{FILE}: [tasks.t]")
    assert said.endswith("[E100]")
    assert message in said


@pytest.mark.parametrize("name", ["Publish", "a:b", "a b", ""])
def test_a_wrong_name_is_refused(name: str) -> None:
    assert "1 to 100 of the characters a-z 0-9 _ . and -" in wrong('command = ["a"]', name)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[tasks.t\] must be a table"):
        read_tasks({"t": ["a"]}, FILE)


def test_the_settings_show_them_and_refuse_wrong_ones(tmp_path: Path) -> None:
    file = tmp_path / "packhorse.toml"
    file.write_text(
        'store = "sqlite:///j.db"\ncommands = ["publish.sh", "/opt/*"]\nworkspaces = "/big"\n[tasks.a]\ncommand = ["p", "{x}"]\n'
    )
    shown = {each.name: (each.value, each.source) for each in resolve(cwd=tmp_path, environ={}).items()}
    assert shown["tasks.a"] == ("p '{x}'", f"from {file}")
    assert shown["commands"][0] == "publish.sh /opt/*"
    assert shown["workspaces"][0] == "/big"
    file.write_text('store = "sqlite:///j.db"\n[tasks.a]\ncomand = ["p"]\n')
    with pytest.raises(ConfigError, match="'comand' is unknown"):
        resolve(cwd=tmp_path, environ={}).items()


def test_they_may_stand_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.packhorse.tasks.a]\ncommand = ["p"]\n')
    assert set(resolve("sqlite:///x.db", cwd=tmp_path, environ={}).tasks) == {"a"}


# -- calling ----------------------------------------------------------------------------------------------------------
def test_a_call_is_filled() -> None:
    task = read(PUBLISH, "publish-book")
    command = task.filled({"rstar": "/content", "book": "b1", "extra": ["--force", "-v"]}, "/w")
    assert command.steps == (("/opt/rstar/bin/publish.sh", "/content", "b1", "--force", "-v"),)
    assert command.inputs == {"wip/se/b1/data": "/content/b1/data"}
    assert task.filled({"rstar": "x", "book": "b1"}).steps[0][1:] == ("x", "b1")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"rstar": "x"}, "publish-book misses 'book' — publish-book(*, rstar: str, book: str, extra: list[str] = [])"),
        ({"rstar": "x", "bok": "y"}, "publish-book has no parameter 'bok'; did you mean 'book'?"),
        ({"rstar": "x", "book": None}, "the parameter 'book' takes text, not None"),
        ({"rstar": True, "book": "b"}, "the parameter 'rstar' takes text, not True"),
        ({"rstar": "x", "book": ["b"]}, "the parameter 'book' takes text, not ['b']"),
        ({"rstar": "x", "book": "b\x00"}, "NUL byte"),
        ({"rstar": "x", "book": "a/b"}, "'book' stands for one name within a path"),
        ({"rstar": "x", "book": ".."}, "'book' stands for one name within a path"),
        ({"rstar": "x", "book": ""}, "'book' stands for one name within a path"),
    ],
)
def test_a_wrong_call_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArguments) as caught:
        read(PUBLISH, "publish-book").filled(given)
    assert message in str(caught.value)


def test_numbers_and_paths_are_taken_as_text() -> None:
    task = read('command = ["p", "{x}", "{y}", "{z}"]')
    assert task.filled({"x": 5, "y": 0.5, "z": Path("/a")}).steps == (("p", "5", "0.5", "/a"),)


def test_defaults_hold() -> None:
    task = read('command = ["p", "{x}", "{*y}"]\nparams.x = {default = "1"}\nparams.y = {split = ",", default = "a,b"}')
    assert task.filled({}).steps == (("p", "1", "a", "b"),)
    assert task.filled({"y": "c, d,"}).steps == (("p", "1", "c", "d"),)
    assert task.filled({"y": []}).steps == (("p", "1"),)
    assert task.signature == "t(*, x: str = '1', y: list[str] = ['a', 'b'])"


@pytest.mark.parametrize(
    "known, value, message",
    [
        (Parameter(match="b[0-9]+"), "b1x", r"must match b\[0-9\]\+; not 'b1x'"),
        (Parameter(one_of=("a", "b")), "c", "is one of a, b; not 'c'"),
        (Parameter(path="dir"), "content", "is an absolute path without"),
        (Parameter(path="file"), "/a/../b", "is an absolute path without"),
        (Parameter(under="/content"), "/contents/b", "must lie below /content"),
        (Parameter(under="/content"), "b1", "is an absolute path"),
        (Parameter(many=True, match="x"), ["x", "y"], "not 'y'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(known: Parameter, value: Any, message: str) -> None:
    with pytest.raises(BadArguments, match=f"it: 'x' .*{message}"):
        checked(known, "x", value, "it")


def test_a_match_decides_about_slashes() -> None:
    task = read('command = ["p"]\ninputs = {"i/{x}" = "/c/{x}"}\nparams.x = {match = "[a-z/]+"}')
    assert task.filled({"x": "a/b"}).inputs == {"i/a/b": "/c/a/b"}
    with pytest.raises(BadArguments):
        task.filled({"x": "a/../b"})


def test_paths_are_looked_for_and_links_followed(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    (root / "in").mkdir(parents=True)
    other.mkdir()
    (root / "out").symlink_to(other)
    (root / "file").write_text("x")
    below = Parameter(path="dir", under=str(root))
    assert missing_path(below, "x", str(root / "in")) is None
    assert "must lie below" in str(missing_path(below, "x", str(root / "out")))
    assert "must be a directory, and there is none at" in str(missing_path(below, "x", str(root / "file")))
    assert "must be a file, and there is none" in str(missing_path(Parameter(path="file"), "x", (str(root / "gone"),)))


# -- what others are told ---------------------------------------------------------------------------------------------
def test_a_worker_tells_what_an_enqueuer_needs_and_no_text() -> None:
    task = read(PUBLISH + 'env = {TOKEN = "secret"}\nparams.rstar = {one_of = ["a", "b"]}', "publish-book")
    entry = command_entry(task)
    assert entry["signature"] == task.signature
    assert entry["doc"] == "Publishes one book."
    assert (entry["timeout"], entry["timeout_given"], entry["queue"]) == (28800.0, True, "books")
    assert "secret" not in str(entry)
    told = told_command("publish-book", entry)
    assert told is not None
    assert told.params == task.params
    assert plain_defaults(told.options) == {"timeout": 28800.0, "reserves": ["book:{book}"]}
    assert told_command("x", {"signature": "x()"}) is None


def test_a_parameter_comes_back_as_it_was() -> None:
    known = Parameter(
        many=True, default=("a",), split=",", match="x", path="dir", under="/", one_of=("a",), within=True
    )
    assert restored(known.plain()) == known
    assert Parameter().plain() == {}
    assert restored({"many": True, "newer": 1}) == Parameter(many=True)


def test_a_name_with_two_owners_stops_the_worker() -> None:
    tasks = {"publish-book": read(PUBLISH, "publish-book")}
    assert set(with_commands({"tasks": {"a": {}}}, tasks)["tasks"]) == {"a", "publish-book"}
    with pytest.raises(
        TaskNameTaken, match="'publish-book' is a function of the application and a command of /etc/app/pack"
    ):
        with_commands({"tasks": {"publish-book": {}}}, tasks)
