"""``packhorse progress``, inside a job and outside."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "packhorse", "progress"]


def progress(*words: str, fd: str | None, passed: int | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "PACKHORSE_FD"}
    environ |= {} if fd is None else {"PACKHORSE_FD": fd}
    fds = () if passed is None else (passed,)
    return subprocess.run([*COMMAND, *words], env=environ, pass_fds=fds, capture_output=True, text=True)


def test_it_writes_a_line_to_the_descriptor() -> None:
    read, write = os.pipe()
    assert progress("40/100", "page 12", fd=str(write), passed=write).returncode == 0
    assert progress("40%", "two", "words\nthree", fd=str(write), passed=write).returncode == 0
    os.close(write)
    assert os.read(read, 1000) == b"progress 40/100 page 12\nprogress 40% two words three\n"
    os.close(read)


@pytest.mark.parametrize(
    "words, fd, said",
    [
        (["40%"], None, "this is no job: PACKHORSE_FD is not set"),
        (["40%"], "77", "descriptor 77, named by PACKHORSE_FD, cannot be written to: Bad file descriptor"),
        (["lots"], "3", "'lots' is no progress; write 40/100, 40% or 0.4"),
        ([], "3", "Missing argument"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], fd: str | None, said: str) -> None:
    done = progress(*words, fd=fd)
    assert done.returncode == 2
    assert said in done.stderr
