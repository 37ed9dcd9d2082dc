"""What an application decides once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from packhorse import App, Backoff, Queue, _runtime
from packhorse._defaults import restored_defaults
from packhorse._limits import together
from packhorse.errors import BadName, BadOption, JobNotFound, NotLoadable
from packhorse.testing import Kit, memory

app = App(tasks=["tests.unit.test_app"], priority=7, tags="app")
mail = Queue("mail", app=app)
other = Queue("other", app=app, priority=1)


class Hooks:
    def after_job(self, job: Any, outcome: Any) -> None: ...


class Coins:
    pass


def give(value: int) -> int:
    return value


@pytest.fixture
def store() -> Iterator[Kit]:
    with memory(app=app) as kit:
        yield kit


def test_its_defaults_are_the_last_to_hold(store: Kit) -> None:
    assert mail.enqueue(give, 1).priority == 7
    assert other.enqueue(give, 1).priority == 1
    assert other.using(priority=2).enqueue(give, 1).priority == 2
    assert mail.enqueue(give, 1).tags == ("app",)


def test_its_store_and_namespace_hold_for_its_queues(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    one, two = App(store=url, namespace="one"), App(store=url, namespace="two")
    job = Queue(app=one).enqueue(give, 1)
    assert one.job(job.id) == job
    with pytest.raises(JobNotFound):
        two.job(job.id)
    _runtime.forget()


def test_the_queue_s_own_store_wins(tmp_path: Path) -> None:
    queue = Queue(app=App(store=f"sqlite:///{tmp_path}/app.db"), store=f"sqlite:///{tmp_path}/own.db")
    queue.enqueue(give, 1)
    assert [path.name for path in tmp_path.glob("*.db")] == ["own.db"]
    _runtime.forget()


def test_it_looks_over_all_queues(store: Kit) -> None:
    first, second = mail.enqueue(give, 1), other.using(tags="x").enqueue(give, 2)
    assert app.jobs() == [second, first]
    assert app.jobs(queue="mail") == [first]
    assert app.job(second.id[-8:]) == second
    assert [(counts.name, counts["queued"]) for counts in app.queues()] == [("mail", 1), ("other", 1)]


def test_it_cancels_and_requeues_by_conditions(store: Kit) -> None:
    jobs = mail.enqueue_many(mail.draft(give, n) for n in range(5))
    kept = other.enqueue(give, 9)
    assert app.cancel(queue="mail", dry=True) == 5
    assert jobs[0].refresh().state == "queued"
    assert app.cancel(queue="mail", reason="stop") == 5
    assert (jobs[0].refresh().state, jobs[0].reason) == ("cancelled", "stop")
    assert kept.refresh().state == "queued"
    assert app.requeue(state="cancelled", dry=True) == 5
    assert app.requeue(state="cancelled") == 5
    assert jobs[0].refresh().state == "queued"
    for verb in (app.cancel, app.requeue):
        with pytest.raises(BadOption, match="every job"):
            verb()


def test_more_jobs_than_one_call_touches(store: Kit) -> None:
    mail.enqueue_many(mail.draft(give, n) for n in range(2500))
    assert app.cancel(queue="mail") == 2500


def test_every_method_has_a_twin(store: Kit) -> None:
    async def main() -> None:
        job = await mail.aenqueue(give, 1)
        assert await app.ajob(job.id) == job
        assert await app.ajobs(queue="mail") == [job]
        assert [counts.name for counts in await app.aqueues()] == ["mail"]
        assert await app.acancel(queue="mail") == 1
        assert await app.arequeue(queue="mail", state="cancelled") == 1

    asyncio.run(main())


# -- the plain part ---------------------------------------------------------------------------------------------------
def test_the_plain_part_is_json_and_makes_an_app_again() -> None:
    made = App(
        store="sqlite:///x.db",
        namespace="team",
        tasks=["a", "b:c"],
        retry=Backoff(3, delays=("1s", "1m")),
        timeout=None,
        on_crash="fail",
        tags=["x"],
        meta={"n": 1},
        priority=3,
        keep_result="1h",
        expires=datetime(2030, 1, 1, tzinfo=UTC),
    )
    plain = made.plain()
    again = App.of_plain(json.loads(json.dumps(plain)))
    assert again.plain() == plain
    assert restored_defaults(plain["defaults"]).retry == again.options.retry
    assert (again.store, again.namespace, again.tasks) == ("sqlite:///x.db", "team", ("a", "b:c"))
    assert again.options.retry == Backoff(3, delays=("1s", "1m"))
    assert (again.options.timeout, again.options.crash_fails, again.options.keep_result) == (None, True, 3600.0)


def test_defaults_may_be_missing() -> None:
    nothing = {
        "store": None, "namespace": "default", "tasks": [], "commands": [], "outbox": None, "limits": {}, "defaults": {}
    }  # fmt: skip
    assert App().plain() == nothing
    assert App.of_plain(App().plain()).plain() == App().plain()


def test_programs_that_may_be_run_travel() -> None:
    allowing = App(commands=["ffmpeg, sox", "/opt/x/*"])
    assert allowing.commands == ("ffmpeg", "sox", "/opt/x/*")
    assert App.of_plain(allowing.plain()).commands == allowing.commands
    assert App(commands="*").commands == ("*",)
    with pytest.raises(BadOption, match="commands"):
        App(commands=[""])


def test_limits_are_told_as_text() -> None:
    limited = App(limits={"smtp": 4, "api": "10/1s", "mail": " 30/1m  burst 10 ", "tenant:*": "2"})
    assert limited.limits == {"smtp": "4", "api": "10/1s", "mail": "30/1m burst 10", "tenant:*": "2"}
    assert App.of_plain(limited.plain()).limits == limited.limits


@pytest.mark.parametrize(
    "limits, words",
    [
        ({"smtp": 0}, "App(limits=): 'smtp': The limit '0' must have numbers from 1"),
        ({"smtp": -1}, "'-1'"),
        ({"smtp": True}, "not True"),
        ({"smtp": 1.5}, "not 1.5"),
        ({"smtp": None}, "not None"),
        ({"smtp": "10 per second"}, "not '10 per second'"),
        ({"smtp": "10/0s"}, "'10/0s'"),
        ({"smtp": "10/5x"}, "duration"),
        ({"": 4}, "a key has 1 to 500 bytes"),
        ({"a*b": 4}, "a * before its end"),
        (["smtp"], "takes a mapping"),
    ],
)
def test_bad_limits_are_refused(limits: Any, words: str) -> None:
    with pytest.raises(BadOption) as caught:
        App(limits=limits)
    assert words in str(caught.value)


def test_limits_of_several_places_must_agree() -> None:
    assert together(("App(limits=)", {"a": "4"}), ("[limits]", {"a": "4", "b": "10/1s"})) == {"a": "4", "b": "10/1s"}
    with pytest.raises(BadOption, match=r"'a' is declared twice.*'4' in App\(limits=\), '5' in \[limits\]"):
        together(("App(limits=)", {"a": "4"}), ("[limits]", {"a": "5"}))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(BadName):
        App(namespace="two words")
    with pytest.raises(BadOption, match="Did you mean 'retry'"):
        App(rety=3)  # type: ignore[call-arg]
    with pytest.raises(BadOption, match="belongs to one job"):
        App(id="x")
    with pytest.raises(BadOption, match=r"write Hooks\(\)"):
        App(middleware=[Hooks])
    with pytest.raises(BadOption, match="none of the hooks"):
        App(middleware=[object()])
    with pytest.raises(BadOption):
        App(tasks=[5])  # type: ignore[list-item]
    assert App(tasks="one").tasks == ("one",)


# -- importable -------------------------------------------------------------------------------------------------------
def test_it_knows_where_it_can_be_imported_from() -> None:
    assert app.importable() == f"{__name__}:app"
    assert app.must_be_importable() == f"{__name__}:app"
    assert App().importable() is None


def test_code_that_children_need_must_be_importable() -> None:
    assert App(priority=3).must_be_importable() is None
    for needing in (App(middleware=[Hooks()]), App(types={Coins: (vars, lambda _: Coins())})):
        with pytest.raises(NotLoadable, match="Move the App into a module"):
            needing.must_be_importable()


def test_a_script_is_no_place_to_import_from(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from packhorse import App\n"
        "class Hooks:\n    def after_job(self, job, outcome): pass\n"
        "app = App(middleware=[Hooks()])\n"
        "app.must_be_importable()\n",
        encoding="utf-8",
    )
    as_script = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert "[E113]" in as_script.stderr
    as_module = subprocess.run(
        [sys.executable, "-m", "script"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert as_module.returncode == 0, as_module.stderr


def test_main_is_the_command_line_with_this_app(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    cli = types.ModuleType("packhorse.cli")
    cli.main = lambda argv, *, prog, app: seen.append((argv, prog, app)) or 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "packhorse.cli", cli)
    assert app.main(["worker"], prog="shop") == 7
    assert seen == [(["worker"], "shop", app)]


def test_its_repr_says_what_it_is() -> None:
    assert repr(app) == "<App default tests.unit.test_app>"
    assert repr(App(namespace="x")) == "<App x>"
    assert app._packhorse_app_
