"""Logging of a worker: one handler, text or JSON, and a log file that cannot be written."""

from __future__ import annotations

import io
import json
import logging
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse import _logs
from packhorse.errors import BadOption, LogNotWritable


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging as a new process has it, without pytest's own handlers."""
    root, ours = logging.getLogger(), logging.getLogger("packhorse")
    before = (root.handlers[:], root.level, ours.handlers[:], ours.level)
    root.handlers[:], ours.handlers[:] = [], []
    root.setLevel(logging.WARNING)
    yield
    _logs._forget(root)
    root.handlers[:], ours.handlers[:] = before[0], before[2]
    root.setLevel(before[1])
    ours.setLevel(before[3])
    _logs.set_context(lambda: None)


def configure(*settings: str) -> None:
    """Configure as in a process without pytest, whose handlers come anew with each phase of a test."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not type(handler).__module__.startswith("_pytest")]
    _logs.configure(*settings)


class Stderr:
    """All that was written there so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Stderr:
    return Stderr(capsys)


def test_text_lines(stderr):
    configure("info", "text")
    logging.getLogger("packhorse.worker").info("started %s", "well")
    logging.getLogger("packhorse.worker").debug("unseen")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info packhorse\.worker  started well\n", stderr.getvalue()
    )


def test_a_message_cannot_pass_for_a_record_of_ours(stderr):
    configure("info", "text")
    logging.getLogger("shop").warning("bad\n2026-01-01 00:00:00.000 error packhorse.worker  faked \x1b[31m\x07")
    lines = stderr.getvalue().splitlines()
    assert lines[1] == "  2026-01-01 00:00:00.000 error packhorse.worker  faked \\x1b[31m\\x07"


def test_json_lines_have_the_agreed_keys(stderr):
    configure("info", "json")
    _logs.set_context(
        lambda: {"job_id": "j", "task": "tasks:add", "queue": "mail", "attempt": 2, "worker": "w", "x": 1}
    )
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("shop").exception("it failed:\n%s", "why")
    line = json.loads(stderr.getvalue())
    assert list(line) == [
        "timestamp",
        "level",
        "logger",
        "message",
        "exception",
        "job_id",
        "task",
        "queue",
        "attempt",
        "worker",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    assert (line["level"], line["logger"], line["message"]) == ("error", "shop", "it failed:\nwhy")
    assert "ValueError: no" in line["exception"]
    assert stderr.getvalue().count("\n") == 1


def test_outside_a_job_there_are_no_keys_of_one(stderr):
    configure("info", "json")
    logging.getLogger("packhorse").info("hello")
    assert list(json.loads(stderr.getvalue())) == ["timestamp", "level", "logger", "message"]


def test_extra_wins_over_the_context(stderr):
    configure("info", "text")
    _logs.set_context(lambda: {"job_id": "0" * 28 + "11111111", "task": "a:b"})
    logging.getLogger("packhorse.worker").info("took it back", extra={"job_id": "0" * 28 + "22222222", "attempt": 3})
    assert stderr.getvalue().endswith("  took it back  (job 22222222 a:b attempt 3)\n")


def test_what_the_application_has_set_up_stands(stderr):
    theirs = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(theirs))
    logging.getLogger().setLevel(logging.ERROR)
    configure("debug", "text")
    logging.getLogger("packhorse").debug("hello")
    assert logging.getLogger().level == logging.ERROR
    assert (theirs.getvalue(), stderr.getvalue()) == ("hello\n", "")


def test_null_handler_is_no_set_up(stderr):
    logging.getLogger("packhorse").addHandler(logging.NullHandler())
    configure()
    assert len(logging.getLogger().handlers) == 1


def test_again_replaces_the_handler(stderr):
    configure("info", "text")
    configure("info", "json")
    logging.getLogger("packhorse").info("once")
    assert len(stderr.getvalue().splitlines()) == 1


def test_file_is_used_even_beside_handlers_of_the_application(tmp_path, stderr):
    logging.getLogger().addHandler(logging.StreamHandler(io.StringIO()))
    configure("info", "text", str(tmp_path / "jobs.log"))
    logging.getLogger("packhorse").warning("hello")
    assert "hello" in (tmp_path / "jobs.log").read_text()


def test_logrotate_needs_no_signal(tmp_path):
    path = tmp_path / "jobs.log"
    configure("info", "text", str(path))
    logging.getLogger("packhorse").info("first")
    path.rename(tmp_path / "jobs.log.1")
    logging.getLogger("packhorse").info("second")
    assert "first" in (tmp_path / "jobs.log.1").read_text()
    assert "second" in path.read_text()
    assert "first" not in path.read_text()


def test_full_disk_is_said_once_and_the_work_goes_on(stderr):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    configure("info", "text", "/dev/full")
    for _ in range(3):
        logging.getLogger("packhorse").info("hello")
    assert (
        stderr.getvalue()
        == "packhorse: cannot write to /dev/full: [Errno 28] No space left on device; lines are lost\n"
    )


@pytest.mark.parametrize("level, fmt", [("loud", "text"), ("info", "xml")])
def test_unknown_level_or_format(level, fmt):
    with pytest.raises(BadOption):
        configure(level, fmt)


# -- not writable -----------------------------------------------------------------------------------------------------
def refused(path: Path) -> str:
    with pytest.raises(LogNotWritable) as caught:
        configure("info", "text", str(path))
    return str(caught.value)


def test_directory_that_is_not_there(tmp_path):
    text = refused(tmp_path / "no" / "jobs.log")
    assert f"directory {tmp_path}/no does not exist" in text
    assert f"sudo install -d -o {pwd.getpwuid(os.geteuid()).pw_name} {tmp_path}/no" in text


def test_directory_in_place_of_the_file(tmp_path):
    text = refused(tmp_path)
    assert "that is a directory, not a file" in text
    assert f"Try:  --log-file {tmp_path}/packhorse.log" in text


AS_NOBODY = """
import os, sys
from packhorse import _log_file, _logs, errors  # before the user changes, who may not read the sources
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    _logs.configure("info", "text", sys.argv[1])
except errors.LogNotWritable as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("exists", [True, False])
def test_file_of_another_user(request, exists):
    # Not below pytest's own directory, which nobody else may enter.
    folder = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o755)
    path = folder / "jobs.log"
    if exists:
        path.touch()
        path.chmod(0o640)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(path)], capture_output=True, text=True, check=True)
    user = pwd.getpwuid(65534).pw_name
    file = "file is root:root 0640" if exists else "the file does not exist yet"
    remedy = f"sudo chown {user} {path}" if exists else f"sudo install -o {user} -m 0640 /dev/null {path}"
    assert done.stdout.splitlines() == [
        f"cannot write the log file {path}",
        f"  running as {user} (uid 65534, groups {_group(65534)}); {file}; "
        f"directory {folder} is root:root 0755, writable by root only",
        f"  Try:  {remedy}     or leave --log-file out: journald keeps the log      [E130]",
    ]


def _group(number: int) -> str:
    import grp

    return grp.getgrgid(number).gr_name
