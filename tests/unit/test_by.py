"""Who enqueued, and from where."""

from __future__ import annotations

import getpass
import json
import os
import sys
from typing import Any

import pytest

from packhorse import _by


def here() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_by.caller())
    return found


def test_it_names_the_line_that_called() -> None:
    line = sys._getframe().f_lineno + 1
    found = here()
    # ``here`` is the nearest frame that is not ours.
    assert found["file"] == __file__
    assert found["line"] == here.__code__.co_firstlineno + 1
    assert line != found["line"]


def test_two_calls_on_two_lines_differ() -> None:
    first = json.loads(_by.caller())
    second = json.loads(_by.caller())
    assert second["line"] == first["line"] + 1


def test_it_names_user_host_program_and_process() -> None:
    found = here()
    assert found["user"] == getpass.getuser()
    assert found["host"] == os.uname().nodename
    assert found["pid"] == os.getpid()
    assert found["program"]


def test_a_call_site_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [here() for _ in range(2)]
    monkeypatch.setattr(_by, "_note", lambda *_: pytest.fail("looked again"))
    assert here() == texts[0]


def test_it_follows_a_change_of_user(monkeypatch: pytest.MonkeyPatch) -> None:
    here()
    monkeypatch.setattr(_by, "_euid", lambda: 4_000_000)
    assert here()["user"] == "4000000"


def test_generated_code_does_not_fill_the_memory() -> None:
    for _ in range(_by._MOST + 10):
        namespace: dict[str, Any] = {"caller": _by.caller}
        code = compile("caller()", "<generated>", "exec")
        exec(code, namespace)
    assert len(_by._sites) <= _by._MOST


def test_a_person_is_user_at_host() -> None:
    assert _by.person().endswith(f"@{os.uname().nodename}")
    assert _by.person().startswith(getpass.getuser())


@pytest.mark.parametrize(
    "argv, program",
    [
        (["/srv/app/web.py"], "web.py"),
        (["/srv/shop/__main__.py"], "python -m shop"),
        ([f"{_by._OURS}_child/__main__.py"], "packhorse worker"),
        (["-c"], "python"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_the_program_is_what_was_started(monkeypatch: pytest.MonkeyPatch, argv: list[str], program: str) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert _by._program() == program
