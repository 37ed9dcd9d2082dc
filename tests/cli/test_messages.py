"""What is said when something is wrong: the message, its exit code, and never a traceback."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import packhorse
from packhorse import _explain, errors
from packhorse.cli._group import exit_code

SOURCE = Path(packhorse.__file__).parent
ROOT = Path(__file__).parents[2]


def test_exit_codes_are_those_of_the_page():
    codes = {cls: exit_code(cls.__new__(cls)) for cls in errors.tree().values()}
    assert set(codes.values()) <= {1, 2, 69, 73, 78}
    assert codes[errors.StoreUnavailable] == codes[errors.StoreFull] == 69
    assert codes[errors.LogNotWritable] == 73
    of_the_set_up = (errors.BadSchema, errors.BadStore, errors.NoStore, errors.NotLoadable, errors.NameTaken)
    assert {codes[cls] for cls in of_the_set_up} == {78}
    assert codes[errors.JobFailed] == codes[errors.JobNotFound] == 1
    assert codes[errors.BadOption] == codes[errors.NotImportable] == codes[errors.BadArguments] == 2


def test_store_that_is_not_there(program, place):
    ran = program("jobs", "list")
    assert ran.code == 69
    first, second, third = ran.err.splitlines()
    assert first == "StoreUnavailable: cannot reach the job store; nothing was done."
    assert second.startswith(f"  sqlite:///{place}/jobs.db  (from PACKHORSE_URL)  →  There is no job store at ")
    assert third == f"  Try:  ls -l {place}/jobs.db     Or another file:  PACKHORSE_URL=sqlite:///jobs.db      [E101]"


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_text("hello, I am a text of some length"), "SQLite"),
    ],
)
def test_store_that_is_none(program, place, make, said):
    make(place / "jobs.db")
    ran = program("jobs", "list")
    assert ran.code == 78
    assert said in ran.err
    assert ran.err.rstrip().endswith("[E104]")
    assert "Traceback" not in ran.err


def test_schema_of_a_newer_version(program, place):
    assert program("db", "migrate").code == 0
    with sqlite3.connect(place / "jobs.db") as db:
        db.execute("UPDATE packhorse_meta SET value = 99 WHERE key = 'schema'")
    for words in (["jobs", "list"], ["db", "status"], ["db", "migrate"]):
        ran = program(*words)
        assert ran.code == 78
        assert ran.err.startswith("BadSchema: ")
        assert "99" in ran.err
        assert ran.err.rstrip().endswith("[E102]")


def test_no_store_named(program):
    ran = program("jobs", "list", PACKHORSE_URL="")
    assert ran.code == 78
    assert ran.err.startswith("packhorse jobs list: no job store was named, and none could be told for sure;")
    assert ran.err.rstrip().endswith("[E105]")


def test_wrong_scheme(program):
    ran = program("jobs", "list", PACKHORSE_URL="mysql://u:secret@10.0.0.5/db")
    assert ran.code == 78
    assert "mysql://u:***@10.0.0.5/db (from PACKHORSE_URL): unknown scheme 'mysql'" in ran.err
    assert "secret" not in ran.err


def test_config_file_with_an_unknown_key(program, place):
    (place / "packhorse.toml").write_text("stoer = 'sqlite:///x.db'\n")
    ran = program("jobs", "list")
    assert ran.code == 78
    assert "unknown key 'stoer'; did you mean 'store'?" in ran.err


def test_log_file_that_cannot_be_written(program, place):
    ran = program("worker", "tasks", "--burst", "--log-file", "/nowhere/at/all.log")
    assert ran.code == 73
    assert ran.err.startswith("packhorse worker: cannot write the log file /nowhere/at/all.log\n  running as ")
    assert ran.err.rstrip().endswith("[E130]")
    assert not (place / "jobs.db").exists()


def test_debug_shows_the_traceback(program):
    assert "Traceback" not in program("jobs", "list").err
    for words, env in (
        (["--debug", "jobs", "list"], {}),
        (["jobs", "list", "--debug"], {}),
        (["jobs", "list"], {"PACKHORSE_DEBUG": "1"}),
    ):
        ran = program(*words, **env)
        assert ran.code == 69
        assert "Traceback (most recent call last)" in ran.err
        assert ran.err.rstrip().endswith("[E101]")


def test_internal_error_is_70_with_its_traceback(cli, monkeypatch):
    import packhorse.cli.config

    monkeypatch.setattr(packhorse.cli.config, "_items", lambda session: 1 / 0)
    ran = cli("config")
    assert ran.code == 70
    assert "ZeroDivisionError" in ran.err
    assert ran.err.rstrip().endswith("this is a mistake in Packhorse, not in your code.  [E000]")


def test_reader_that_goes_away_is_silent(place):
    code = "import sys; from packhorse.cli import entry; sys.argv = ['packhorse', 'explain']; entry()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


def test_interrupt_while_waiting_says_the_job_goes_on(cli, store, monkeypatch):
    import packhorse.cli.run

    def interrupted(store, record):
        raise KeyboardInterrupt

    monkeypatch.setattr(packhorse.cli.run, "_look", interrupted)
    ran = cli("run", "tasks:add", "2", "3", "--wait")
    (job,) = cli("jobs", "list", "--json").data["jobs"]
    assert ran.code == 130
    assert f"the job goes on:  packhorse why {job['id'][-8:]}\n" in ran.err
    assert ran.err.endswith("interrupted\n")
    assert job["state"] == "queued"


COLOURS = [({}, False), ({"FORCE_COLOR": "1"}, True), (dict.fromkeys(["FORCE_COLOR", "NO_COLOR"], "1"), False)]


@pytest.mark.parametrize("env, coloured", COLOURS)
def test_colour_only_where_it_is_wanted(program, place, env, coloured):
    assert program("run", "tasks:add", "2", "3").code == 0
    assert ("\x1b[" in program("jobs", "list", **env).out) is coloured


def test_module_of_the_working_directory_is_found_by_the_installed_program(place):
    script = Path(sys.executable).with_name("packhorse")
    done = subprocess.run([script, "run", "--here", "tasks.add", "2", "3"], capture_output=True, text=True, cwd=place)
    assert done.stdout.startswith("✓ 5 "), done.stderr


def test_module_that_fails_at_import(cli, place):
    (place / "broken.py").write_text("1 / 0\n")
    ran = cli("run", "broken:thing")
    assert ran.code == 2
    assert ran.err == (
        "NotImportable: importing broken failed: ZeroDivisionError: division by zero. Nothing enqueued.  [E110]\n"
    )


# -- the long texts ---------------------------------------------------------------------------------------------------
def test_every_error_has_a_text():
    assert set(errors.tree()) <= set(_explain.codes())


def test_every_code_in_a_message_has_a_text():
    used = {code for path in SOURCE.rglob("*.py") for code in re.findall(r"\bE[12]\d\d\b", path.read_text())}
    assert used - set(_explain.codes()) == set()


@pytest.mark.parametrize("code", _explain.codes())
def test_text_says_what_it_means_what_causes_it_and_what_to_do(code):
    text = _explain.text(code)
    assert text.startswith(f"# {code} {_explain.title(code)}\n\n")
    assert "\nUsual causes:\n\n- " in text
    assert "\nWhat to do:\n\n- " in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_page_of_the_docs_is_the_texts():
    page = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    assert page == _explain.page(), "docs/reference/errors.md is not what _explain.page() returns; write it anew"


def test_explain(cli):
    assert cli("explain", "E110").out == _explain.text("E110")
    assert cli("explain", "[e110]").out == _explain.text("E110")
    assert cli("explain", "E110", "--json").data["title"] == "A worker could not find this function again"
    assert cli("explain").out.count("\n") == len(_explain.codes()) + 1
    ran = cli("explain", "E11O")
    assert ran.code == 2
    assert "there is no error code 'E11O'; did you mean E" in ran.err
