"""The first lines of a worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from packhorse import App
from packhorse._registry import load
from packhorse._stores import open_store
from packhorse._url import mask
from packhorse._worker.banner import banner
from packhorse._worker.config import Place, WorkerConfig
from packhorse._worker.mailbox import Opened

TASKS = """
from packhorse import App, task
app = App(timeout="5m")
def endless() -> None: ...
@task(timeout=None)
def chosen() -> None: ...
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "with_limit.py").write_text(TASKS)
    (tmp_path / "without_limit.py").write_text(TASKS.replace('timeout="5m"', ""))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "__init__.py").write_text("")


def lines(app: str, plain: dict[str, Any] | None = None, url: str = "sqlite:///x.db", promise: str = "") -> list[str]:
    catalogue = load([app]).registry.catalogue()
    config = WorkerConfig(app=(app,), plain=plain)
    place = Place(url, "default", "from PACKHORSE_URL", lambda _: open_store(url))
    return banner(config, "web-1", place, Opened("0123456789", mask(url), promise), catalogue).splitlines()


def test_it_says_where_the_jobs_are_and_what_is_served() -> None:
    assert lines("with_limit") == [
        "packhorse worker web-1  SQLite store sqlite:///x.db  (from PACKHORSE_URL)  instance 01234567",
        "  serves every queue with 1 × 1 thread; knows 2 tasks of with_limit",
    ]


def test_it_says_which_kind_of_store_it_is_and_what_that_cannot_promise() -> None:
    shown = lines("with_limit", url="redis://:hunter2@h/0", promise="a job may be lost for a second")
    assert shown[0].startswith(
        "packhorse worker web-1  Redis store redis://:***@h/0  (from PACKHORSE_URL)  instance 01"
    )
    assert shown[1] == "  Redis: a job may be lost for a second"


def test_a_time_limit_that_nobody_chose_is_named() -> None:
    assert lines("without_limit")[2:] == ["  time limit 1 h, by default, for without_limit:endless"]


def test_a_limit_of_an_app_made_in_a_script_is_chosen_too() -> None:
    assert lines("without_limit", App(timeout="5m").plain())[2:] == []


def test_a_package_may_have_more_tasks_than_are_imported() -> None:
    assert lines("below")[1].endswith("knows 0 tasks so far of below")
