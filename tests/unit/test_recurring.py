"""every, cron, Queue.schedule and [schedules.NAME]: declared without I/O, checked at once, written as said."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from packhorse import App, Queue, _declared, _recurring, _schedule, cron, every, task
from packhorse._schedule import Spec
from packhorse._schedule_record import ScheduleRecord
from packhorse._stores import open_store
from packhorse.errors import BadArguments, BadName, BadOption, BadSchedule, PackhorseError


def clean() -> None:
    """Do nothing."""


def greet(name: str) -> None:
    """Do nothing."""


@task(queue="reports", priority=5)
def report() -> None:
    """Do nothing."""


@task(name="billing.charge", unique=True)
def charge() -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    before = dict(_declared._declared)
    _declared.forget()
    yield
    _declared.forget()
    _declared._declared.update(before)


def collected(app: Any = None) -> dict[str, Spec]:
    return {name: _schedule.decode(text) for name, text in _declared.collect(app).items()}


# -- every and cron ---------------------------------------------------------------------------------------------------
def test_a_schedule_has_the_name_and_the_queue_of_its_task() -> None:
    every(30, clean)
    cron("30 2 * * *", report, timezone="Europe/Berlin")
    every("5m", charge)
    found = collected()
    assert {name: (said.queue, said.when) for name, said in found.items()} == {
        f"{__name__}:clean": ("default", "every 30 s"),
        f"{__name__}:report": ("reports", "30 2 * * * Europe/Berlin"),
        "billing.charge": ("default", "every 5 m"),
    }
    assert found[f"{__name__}:report"].work["priority"] == 5


def test_name_and_queue_may_be_given() -> None:
    every(30, report, name="a", queue="mail")
    every(30, clean, name="b", queue=Queue("bulk", priority=-3))
    every(30, Queue("mail").using(tags="x").draft(greet, "ada"), name="c")
    found = collected()
    assert [found[name].queue for name in "abc"] == ["mail", "bulk", "mail"]
    assert found["b"].work["priority"] == -3
    assert (found["c"].work["payload"], found["c"].work["tags"]) == ('[["ada"],{}]', '["x"]')


def test_it_is_told_where_it_was_declared() -> None:
    every(30, clean)
    (said,) = collected().values()
    assert said.place is not None
    assert said.place.startswith(f"{__file__}:")


def test_the_app_s_defaults_hold() -> None:
    every(30, clean)
    (said,) = collected(App(priority=9)).values()
    assert said.work["priority"] == 9


@pytest.mark.parametrize("off", [0, None, "0s", 0.0])
def test_declared_but_off(off: Any) -> None:
    every(off, clean, name="a")
    cron(None, clean, name="b")
    assert [said.rule for said in collected().values()] == [None, None]


def test_two_of_one_name_are_refused_with_both_places() -> None:
    every(30, clean)
    every(60, clean)
    with pytest.raises(BadSchedule) as told:
        collected()
    assert str(told.value).count(__file__) == 2


def test_a_module_that_is_imported_anew_declares_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "declares.py").write_text("from packhorse import every\ndef f(): pass\nevery(30, f)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("declares")
    importlib.reload(module)
    assert list(collected()) == ["declares:f"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: every(-1, clean),
        lambda: every(0.2, clean),
        lambda: every("soon", clean),
        lambda: cron("61 * * * *", clean),
        lambda: cron("* * * * *", clean, timezone="Nowhere"),
        lambda: every(30, clean, missed="two"),  # type: ignore[arg-type]
        lambda: every(30, clean, overlap="two"),  # type: ignore[arg-type]
        lambda: every(30, clean, jitter=-1),
        lambda: every(30, "tasks:clean"),  # type: ignore[arg-type]
        lambda: every(30, Queue("a").draft(clean), queue="b"),
    ],
)
def test_what_is_wrong_is_told_where_it_is_declared(call: Any) -> None:
    with pytest.raises(BadSchedule):
        call()
    assert collected() == {}


def test_names_are_checked() -> None:
    with pytest.raises(BadName):
        every(30, clean, name="a b")
    with pytest.raises(BadName):
        every(30, clean, queue="a b")


def test_a_call_that_no_worker_could_make_is_told_when_the_worker_starts() -> None:
    every(30, greet)  # type: ignore[arg-type]
    with pytest.raises(BadArguments):
        collected()


# -- Queue.schedule ---------------------------------------------------------------------------------------------------
@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


def stored(url: str) -> list[ScheduleRecord]:
    store = open_store(url)
    try:
        return list(store.schedules().schedules or ())
    finally:
        store.close()


def test_schedule_stores_at_once_and_unschedule_deletes(url: str) -> None:
    mail = Queue("mail", store=url)
    mail.schedule("digest", mail.draft(greet, "ada"), cron="0 7 * * *", timezone="Europe/Berlin", overlap="allow")
    mail.using(priority=4).schedule("tidy", clean, every="1h")
    digest, tidy = (_schedule.decode(record.spec) for record in stored(url))
    assert (digest.when, digest.overlap, digest.queue) == ("0 7 * * * Europe/Berlin", "allow", "mail")
    assert (tidy.when, tidy.work["priority"]) == ("every 1 h", 4)
    assert mail.unschedule("tidy")
    assert not mail.unschedule("tidy")
    assert [record.name for record in stored(url)] == ["digest"]


def test_the_same_again_is_the_same_schedule(url: str) -> None:
    mail = Queue("mail", store=url)
    for _ in range(3):
        mail.schedule("tidy", clean, every="1h")
    (first,) = stored(url)
    mail.schedule("tidy", clean, every="2h")
    (second,) = stored(url)
    assert (first.revision, second.id) == (1, first.id)
    assert second.watermark > first.watermark


def test_the_awaited_twins(url: str) -> None:
    async def both() -> None:
        mail = Queue("mail", store=url)
        await mail.aschedule("tidy", clean, every="1h")
        assert len(stored(url)) == 1
        assert await mail.aunschedule("tidy")

    asyncio.run(both())
    assert stored(url) == []


@pytest.mark.parametrize(
    "how",
    [{}, {"every": 3, "cron": "* * * * *"}, {"every": 0}, {"every": -1}, {"cron": "99 * * * *"}, {"every": 5, "missed": "no"},
     {"cron": "@daily", "timezone": "Nowhere"}],
)  # fmt: skip
def test_nothing_is_stored_of_what_is_wrong(url: str, how: dict[str, Any]) -> None:
    open_store(url).close()
    with pytest.raises(BadSchedule):
        Queue("mail", store=url).schedule("tidy", clean, **how)
    assert stored(url) == []


@pytest.mark.parametrize(
    "options", [{"id": "0198c0de-0000-7000-8000-000000000000"}, {"after": "0198c0de-0000-7000-8000-000000000000"}]
)
def test_what_is_for_one_job_is_refused(url: str, options: dict[str, Any]) -> None:
    mail = Queue("mail", store=url)
    with pytest.raises(BadSchedule, match="for one job"):
        mail.schedule("tidy", mail.using(**options).draft(clean), every=30)


def test_a_schedule_is_no_part_of_a_transaction(url: str) -> None:
    import sqlite3

    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with pytest.raises(BadOption, match="transaction"):
        Queue("mail", store=url).within(connection).schedule("tidy", clean, every=30)
    connection.close()


# -- packhorse.toml ---------------------------------------------------------------------------------------------------
def test_tables_of_the_config_file() -> None:
    tables = {
        "tidy": {"task": f"{__name__}:clean", "every": "30s", "missed": "all"},
        "hello": {
            "task": f"{__name__}:greet",
            "cron": "0 7 * * *",
            "timezone": "Europe/Berlin",
            "kwargs": {"name": "ada"},
        },
        "report": {"task": f"{__name__}:report", "every": 60, "priority": -7, "tags": ["x"]},
        "off": {"task": f"{__name__}:clean", "every": "0s"},
        "far": {"task": "elsewhere:f", "every": 60, "queue": "far", "args": [1, "two"]},
    }
    found = {name: _schedule.decode(text) for name, text in _recurring.from_config(tables, "of x.toml", None).items()}
    assert {name: (said.when, said.queue) for name, said in found.items()} == {
        "tidy": ("every 30 s", "default"),
        "hello": ("0 7 * * * Europe/Berlin", "default"),
        "report": ("every 1 m", "reports"),
        "off": ("off", "default"),
        "far": ("every 1 m", "far"),
    }
    assert (found["report"].work["priority"], found["report"].work["tags"]) == (-7, '["x"]')
    assert found["far"].work["payload"] == '[[1,"two"],{}]'
    assert found["hello"].work["payload"] == '[[],{"name":"ada"}]'


@pytest.mark.parametrize(
    "table",
    [
        {},
        "text",
        {"every": 30},
        {"task": 7, "every": 30},
        {"task": "elsewhere:f"},
        {"task": "elsewhere:f", "every": 30, "cron": "@daily"},
        {"task": "elsewhere:f", "cron": "0 99 * * *"},
        {"task": "elsewhere:f", "every": 30, "timezon": "UTC"},
        {"task": "elsewhere:f", "every": 30, "args": 1},
        {"task": "elsewhere:f", "every": 30, "kwargs": [1]},
        {"task": f"{__name__}:greet", "every": 30},
    ],
)
def test_a_bad_table_is_told_with_its_name_and_file(table: Any) -> None:
    with pytest.raises(PackhorseError) as told:
        _recurring.from_config({"tidy": table}, "of x.toml", None)
    assert "[schedules.tidy] of x.toml" in str(told.value)


# -- finding what declares --------------------------------------------------------------------------------------------
def test_modules_below_a_package_are_looked_through_without_importing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shop"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "deep" / "nightly.py").write_text("from packhorse import cron\ncron('@daily', f)")
    (package / "plain.py").write_text("from packhorse import task\n# said in every line")
    (package / "other.py").write_text("every(30)")
    (package / "__main__.py").write_text("import packhorse\npackhorse.every(30, f)")
    (package / "no-name.py").write_text("import packhorse\npackhorse.every(30, f)")
    module = ModuleType("shop")
    module.__path__ = [str(package)]
    assert _declared.declaring(module) == ["shop.deep.nightly"]
    assert "shop.deep" not in sys.modules
