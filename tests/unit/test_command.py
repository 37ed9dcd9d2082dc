"""What a command is: its keys, its stored form, its fields, and all that is refused before anything is stored."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._codec import PLAIN
from packhorse._command import (
    KEYS,
    Command,
    Ending,
    command_of,
    filled,
    fixed_part,
    inside,
    is_raw,
    of_payload,
    stored,
)
from packhorse._command_checks import CHECKS
from packhorse._command_fields import fields_of, in_quotes, take_apart
from packhorse._command_keys import CommandKeys
from packhorse.errors import BadArguments, BadOption

WS = "/tmp/w"


def made(argv: Any = ("prog",), **keys: Any) -> Command:
    return command_of(argv, keys, "it")


def fill(argv: Any = ("prog",), *, params: dict[str, Any] | None = None, **keys: Any) -> Command:
    command = made(argv, **keys, **({"params": params} if params else {}))
    return filled(command, command.params, WS)


def declared(argv: Any = ("prog",), *, given: dict[str, Any] | None = None, **keys: Any) -> Command:
    return filled(command_of(argv, keys, "it", declared=True), given or {}, WS)


# -- keys -------------------------------------------------------------------------------------------------------------
def test_the_keys_are_the_same_for_programmers_and_everywhere_else() -> None:
    assert set(CommandKeys.__annotations__) == set(KEYS) == {"steps", *CHECKS}
    assert {field for field, _ in CHECKS.values()} | {"steps", "declared"} == set(Command._fields)


@pytest.mark.parametrize(
    "key, value, kept",
    [
        ("umask", "0022", 0o022),
        ("umask", "0o027", 0o027),
        ("umask", 0o077, 0o077),
        ("nice", -20, -20),
        ("max_memory", "2GiB", 2 * 2**30),
        ("max_memory", "500M", 500_000_000),
        ("max_memory", "1.5k", 1500),
        ("max_memory", 7, 7),
        ("max_cpu", "1h30m", 5400.0),
        ("ok", [0, 3, 3], (0, 3)),
        ("ok", 4, (4,)),
        ("exits", {75: "snooze:5m", "99": "cancel"}, {75: "snooze:5m", 99: "cancel"}),
        ("keep_output", "7d", 604800.0),
        ("keep_output", True, True),
        ("keep_workspace", "failed", "failed"),
        ("slots", "all", "all"),
        ("slots", 2, 2),
        ("needs", "mount:/content", ("mount:/content",)),
        ("needs", ["program:ffmpeg", "mount:/{x}"], ("program:ffmpeg", "mount:/{x}")),
        ("stdin", b"\x00\xff", b"\x00\xff"),
        ("output_limit", "1GiB", 65536),
    ],
)
def test_a_key_is_kept_in_one_form(key: str, value: Any, kept: Any) -> None:
    assert getattr(made(**{key: value}), key) == kept


def test_overwrite_is_another_word_for_replace() -> None:
    assert made(overwrite=True).existing == "replace"
    assert made(overwrite=False).existing == "fail"
    with pytest.raises(BadOption, match="existing and overwrite both say"):
        made(overwrite=True, existing="merge")


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"oks": [0]}, r"it: 'oks' is nothing that a command takes. Did you mean 'ok'\?"),
        ({"ok": []}, r"it: ok takes a list of exit statuses, like \[0, 3\]; not \[\]"),
        ({"ok": [256]}, r"it: ok: an exit status is a whole number from 0 to 255, not 256"),
        ({"ok": [True]}, "not True"),
        ({"exits": {-1: "retry"}}, "from 0 to 255, not -1"),
        ({"exits": {300: "retry"}}, "not 300"),
        (
            {"exits": {1: "explode"}},
            r"status 1 means 'snooze:5m', 'retry', 'retry:30s', 'cancel' or 'fail'; not 'explode'",
        ),
        ({"exits": {1: "snooze:soon"}}, "takes a duration"),
        ({"exits": [75]}, "takes a table of exit statuses"),
        ({"exits": {0: "cancel"}}, "exit status 0 is both in ok and in exits"),
        ({"umask": "99"}, "umask takes a umask"),
        ({"umask": 512}, "umask takes a umask"),
        ({"nice": 20}, "from -20 to 19; not 20"),
        ({"nice": True}, "not True"),
        ({"max_memory": "lots"}, "bytes, or text like"),
        ({"max_memory": 0}, "not 0"),
        ({"max_cpu": 0}, "would stop every run at once"),
        ({"shell": "yes"}, "shell is true or false, not 'yes'"),
        ({"existing": "ignore"}, "one of fail, merge, replace; not 'ignore'"),
        ({"keep_workspace": True}, "one of never, failed, always; not True"),
        ({"keep_output": "long"}, "takes a duration"),
        ({"needs": ["content"]}, "must be 'mount:' and an absolute path, or 'program:' and a name"),
        ({"needs": ["mount:content"]}, "must be 'mount:'"),
        ({"slots": 0}, "a number of slots from 1, or 'all'; not 0"),
        ({"env": {"A=B": "1"}}, "'A=B' cannot be the name of an environment variable"),
        ({"env": {"PACKHORSE_JOB_ID": "1"}}, "PACKHORSE_JOB_ID is set by Packhorse itself"),
        ({"env": {"A": 1}}, "env: 'A' takes text, not 1"),
        ({"env": {"A": "x\x00"}}, "NUL byte"),
        ({"params": {"workspace": "x"}}, "'workspace' cannot be a field"),
        ({"params": {"a-b": "x"}}, "'a-b' cannot be a field"),
        ({"inputs": {"": "/x"}}, "neither may be empty"),
        ({"inputs": {"x": "copy:"}}, "neither may be empty"),
        ({"outputs": {"x": "copy:/y"}}, "only inputs can be copied"),
        ({"inputs": ["a"]}, "takes a table of names and texts"),
        ({"stdin": 5}, "stdin takes text or bytes, not 5"),
        ({"steps": "x"}, "steps takes a list of commands"),
        ({"steps": [[]]}, "steps, step 1 is empty"),
    ],
)
def test_a_wrong_key_is_refused_by_name(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        made(**keys)


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "command is empty; it begins with the program"),
        ("prog a", r"takes a list: a program and its arguments, like \['publish.sh', 'b1'\]; not 'prog a'"),
        (b"prog", "takes a list"),
        (["prog", 5], "command, word 2 takes text, not 5"),
        (["pr\x00og"], "NUL byte"),
        (["/opt/"], "names no program"),
        ([""], "names no program"),
        (["bin/prog"], "is a relative path, and a worker is in another directory"),
        (["./prog"], "is a relative path"),
        (["a\nb"], "names no program"),
    ],
)
def test_a_wrong_command_line_is_refused(argv: Any, message: str) -> None:
    with pytest.raises(BadOption, match=message):
        made(argv)


def test_paths_are_texts() -> None:
    from pathlib import Path

    assert made([Path("/bin/echo"), Path("x")]).steps == (("/bin/echo", "x"),)


# -- what it is called ------------------------------------------------------------------------------------------------
def test_the_task_is_the_base_name_and_the_program_what_was_said() -> None:
    command = made(["/opt/rstar/bin/publish.sh", "b1"])
    assert (command.task, command.program) == ("$publish.sh", "/opt/rstar/bin/publish.sh")
    assert is_raw(command.task)
    assert not is_raw("publish.sh")
    assert made("a | b", shell=True).program == "/bin/sh"
    assert made(["a"], steps=[["b"], ["a"]]).programs == ("a", "b")


def test_what_an_exit_status_means() -> None:
    command = made(ok=[0, 3], exits={75: "snooze:5m", 69: "retry", 70: "retry:30s", 99: "cancel", 98: "fail"})
    meant = {status: command.ending(status) for status in (0, 3, 1, 75, 69, 70, 99, 98)}
    assert meant == {
        0: Ending("ok"),
        3: Ending("ok"),
        1: Ending("fail"),
        75: Ending("snooze", 300.0),
        69: Ending("retry"),
        70: Ending("retry", 30.0),
        99: Ending("cancel"),
        98: Ending("fail"),
    }


# -- the stored form --------------------------------------------------------------------------------------------------
def test_only_what_differs_from_the_default_is_stored() -> None:
    assert stored(made(["a", "b"], nice=0, ok=[0], slots=1)) == (("a", "b"), {"nice": 0})


def test_the_stored_form_leads_back_to_the_same() -> None:
    command = made(
        ["/bin/x", "{b}"], params={"b": "1"}, inputs={"i": "copy:/a"}, outputs={"o/*.mp4": "/b"}, links={"l": "/c"}, cwd="d",
        env={"A": "b"}, stdin=b"\x00", ok=[0, 3], exits={75: "snooze:5m"}, steps=[["y", "z"]], umask="077", nice=3,
        max_memory="1GiB", max_cpu="5m", keep_output="2h", keep_workspace="always", output_limit=100, enqueues=True,
        needs=["program:x"], slots="all", existing="merge",
    )  # fmt: skip
    args, keys = stored(command)
    assert of_payload(PLAIN.encode_call(args, keys, command.task), command.task) == command


def test_what_a_newer_version_stored_is_refused_and_not_dropped() -> None:
    with pytest.raises(BadOption, match="'sandbox' is nothing that a command takes"):
        of_payload('[["x"],{"sandbox":true}]', "$x")


@given(st.lists(st.text(st.characters(exclude_characters="\x00")), max_size=4))
def test_any_words_are_stored_and_come_back(words: list[str]) -> None:
    command = made(["prog", *words])
    args, keys = stored(command)
    assert of_payload(PLAIN.encode_call(args, keys, "$prog"), "$prog") == command


# -- fields of raw commands -------------------------------------------------------------------------------------------
def test_only_the_names_given_are_fields_in_a_raw_command() -> None:
    command = fill(["awk", "{print $1} {x} {{x}} {y}"], params={"x": "1"}, env={"D": "{workspace}/d"})
    assert command.steps == (("awk", "{print $1} 1 {1} {y}"),)
    assert command.env == {"D": "/tmp/w/d"}


def test_a_value_is_never_looked_at_for_fields() -> None:
    assert fill(["p", "{a}", "{b}"], params={"a": "{b}", "b": "{workspace}"}).steps == (("p", "{b}", "{workspace}"),)


def test_a_param_that_is_used_nowhere_is_refused() -> None:
    with pytest.raises(
        BadArguments, match="the parameter 'boook' is used nowhere: no {boook} in the command or its paths"
    ):
        fill(["p", "{book}"], params={"boook": "1"})


def test_the_program_of_a_raw_command_has_no_field() -> None:
    with pytest.raises(BadArguments, match="which program runs must be said outright"):
        fill(["/opt/{x}"], params={"x": "rm"})


# -- fields of declared ones ------------------------------------------------------------------------------------------
def test_every_name_is_a_field_in_a_declared_command() -> None:
    command = declared(["p", "{a}-{b}", "{{a}}", "{*rest}"], given={"a": "1", "b": "2", "rest": ("x", "y z")})
    assert command.steps == (("p", "1-2", "{a}", "x", "y z"),)
    assert declared(["p", "{*rest}"], given={"rest": ()}).steps == (("p",),)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(BadArguments, match="command needs the parameter 'b', which was not given"):
        declared(["p", "{a}{b}"], given={"a": "1"})


@pytest.mark.parametrize("text", ["{a", "a}", "{}", "{a b}", "{a.b}", "{a!r}", "{0}", "{*}"])
def test_a_brace_that_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="belongs to no {name}; write"):
        take_apart(text)


def test_many_words_stand_alone() -> None:
    with pytest.raises(BadOption, match="must stand alone as a word of the command"):
        declared(["p", "x{*a}"], given={"a": ("1",)})
    with pytest.raises(BadOption, match=r"'a' is several words, and stands here for one; write {\*a} in the command"):
        declared(["p", "{a}"], given={"a": ("1",)})


def test_fields_are_told_in_their_order() -> None:
    assert fields_of(["{b}{a}", "{*c}", "{b}", "{workspace}"]) == {"b": False, "a": False, "c": True}


# -- the shell --------------------------------------------------------------------------------------------------------
EVIL = [
    "; echo pwned",
    "$(echo pwned)",
    "`echo pwned`",
    "' ; echo pwned; '",
    '" ; echo pwned; "',
    "-n",
    "a  b",
    "*",
    "\n",
]


@pytest.mark.parametrize("value", EVIL)
def test_a_value_in_a_line_for_the_shell_is_never_code(value: str) -> None:
    command = declared("printf '%s|' {x} {*more}", shell=True, given={"x": value, "more": (value, "end")})
    said = subprocess.run(command.steps[0], capture_output=True, text=True, check=True)
    assert said.stdout == f"{value}|{value}|end|"


def test_many_values_in_a_line() -> None:
    many = tuple(f"v{number}" for number in range(12))
    command = declared("echo {*x}", shell=True, given={"x": many})
    assert subprocess.run(command.steps[0], capture_output=True, text=True, check=True).stdout.split() == list(many)


@pytest.mark.parametrize("line", ['echo "{x}"', "echo '{x}'", 'echo "a {x} b"', "echo 'it'\\'' {x}' \"", "x='{x}"])
def test_a_field_in_quotes_is_refused(line: str) -> None:
    with pytest.raises(BadOption, match="stands in quotes"):
        declared(line, shell=True, given={"x": "1"})


def test_what_is_in_quotes() -> None:
    assert not in_quotes("a 'b' \"c\" \\' \\\" ")
    assert in_quotes('a "b \\" ')
    assert in_quotes("it's ")


def test_with_the_shell_a_command_is_one_line() -> None:
    assert made(["a | b"], shell=True).steps == made("a | b", shell=True).steps == (("a | b",),)
    for wrong in (["a", "b"], [" "], ""):
        with pytest.raises(BadOption, match="with shell the command is one text"):
            made(wrong, shell=True)


# -- paths ------------------------------------------------------------------------------------------------------------
def test_paths_are_filled_and_brought_into_their_plain_form() -> None:
    command = fill(
        ["p"], params={"b": "b1", "root": "/content"}, inputs={"./wip//{b}/": "copy:{root}/{b}//data/"},
        outputs={"aux/{b}": "/content/{b}/aux"}, cwd="wip/{b}",
    )  # fmt: skip
    assert command.inputs == {"wip/b1": "copy:/content/b1/data"}
    assert command.outputs == {"aux/b1": "/content/b1/aux"}
    assert command.cwd == "/tmp/w/wip/b1"


def test_the_directory_it_runs_in() -> None:
    assert fill().cwd == WS
    assert fill(cwd=".").cwd == WS
    assert fill(cwd="/srv").cwd == "/srv"
    assert fill(cwd="{workspace}/x").cwd == "/tmp/w/x"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/..", "/etc/x", "..", "a/\x00"])
@pytest.mark.parametrize("key", ["inputs", "outputs", "links"])
def test_a_path_that_leaves_the_workspace_is_refused(key: str, path: str) -> None:
    with pytest.raises(BadOption, match="leaves the workspace|NUL byte"):
        fill(**{key: {path: "/x"}})


def test_the_directory_may_not_leave_it_either() -> None:
    with pytest.raises(BadOption, match="cwd: '../x' leaves the workspace"):
        fill(cwd="../x")


@pytest.mark.parametrize("target", ["x", "./x", "/a/../b", "copy:x"])
def test_a_target_is_an_absolute_path(target: str) -> None:
    with pytest.raises(BadOption, match="must be an absolute path without"):
        fill(inputs={"x": target})


@pytest.mark.parametrize("value", ["a/b", "..", ".", "", "../x", "/x", "x/../y"])
def test_a_field_within_a_path_stands_for_one_name(value: str) -> None:
    for place in ({"inputs": {"wip/{b}": "/x"}}, {"outputs": {"o": "/content/{b}/aux"}}, {"cwd": "wip/{b}"}):
        with pytest.raises(BadArguments, match=f"'b' stands for one name within a path, and {value!r} is none"):
            fill(params={"b": value}, **place)


def test_a_field_that_a_path_begins_with_may_be_a_path() -> None:
    assert fill(params={"b": "/a/b"}, inputs={"x": "{b}/c", "y": "copy:{b}/d"}).inputs == {
        "x": "/a/b/c",
        "y": "copy:/a/b/d",
    }
    with pytest.raises(BadOption, match="leaves the workspace"):
        fill(params={"b": "../.."}, outputs={"{b}/c": "/x"})


def test_names_that_a_check_of_their_own_let_pass_may_have_slashes_but_lead_nowhere_else() -> None:
    command = command_of(["p"], {"inputs": {"i": "/content/{b}"}}, "it", declared=True)
    assert filled(command, {"b": "x/y"}, WS, ["b"]).inputs == {"i": "/content/x/y"}
    with pytest.raises(BadArguments, match="stands for one name"):
        filled(command, {"b": "x/../y"}, WS, ["b"])


@pytest.mark.parametrize(
    "keys",
    [
        {"outputs": {"a": "/x", "a/b": "/y"}},
        {"inputs": {"a": "/x", "a/b": "/y"}},
        {"inputs": {"a": "/x"}, "outputs": {"a/b": "/y"}},
        {"links": {"a/b/c": "/x"}, "outputs": {"a": "/y"}},
        {"links": {"a": "/x"}, "inputs": {"a": "/x"}},
        {"outputs": {"a": "/x", "b": "/x/y"}},
        {"outputs": {"a": "/x", "b": "/x"}},
        {"inputs": {"in.mp4": "/x"}, "outputs": {"*.mp4": "/y"}},
        {"inputs": {"out": "/x"}, "outputs": {"out/*.mp4": "/y"}},
    ],
)
def test_what_lies_within_another_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match="lie one within the other"):
        fill(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"outputs": {"a": "/x", "ab": "/xy"}},
        {"inputs": {"a/b": "/x"}, "outputs": {"a/c": "/y"}},
        {"inputs": {"in/x.mov": "/x"}, "outputs": {"*.mp4": "/y", "*.txt": "/y"}},
        {"outputs": {"out/{b}_*.mp4": "/x", "log": "/y"}, "params": {"b": "b1"}},
    ],
)
def test_what_lies_beside_each_other_is_not(keys: dict[str, Any]) -> None:
    assert len(fill(**keys).outputs) == len(keys["outputs"])


def test_two_paths_that_become_one_are_refused() -> None:
    with pytest.raises(BadOption, match="outputs: 'x' is given twice"):
        fill(params={"a": "x", "b": "x"}, outputs={"{a}": "/y", "{b}": "/z"})
    with pytest.raises(BadOption, match="is the workspace itself"):
        fill(outputs={".": "/y"})


def test_where_a_glob_looks() -> None:
    assert [fixed_part(each) for each in ("a/b*/c", "*.x", "a/b/[c]", "a/b")] == ["a", "", "a/b", "a/b"]


def test_needs_are_filled() -> None:
    assert fill(params={"c": "x"}, needs=["mount:/content/{c}", "program:ffmpeg"]).needs == (
        "mount:/content/x",
        "program:ffmpeg",
    )


@given(st.text(max_size=30))
def test_nothing_leads_out_of_the_workspace(path: str) -> None:
    try:
        found = inside(path, "it")
    except BadOption:
        return
    assert not found.startswith("/")
    assert ".." not in found.split("/")
