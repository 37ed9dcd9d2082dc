"""How long what has ended is kept: what the table says, what travels with a job, what a worker passes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packhorse import Queue, testing
from packhorse._rescue import Spaced
from packhorse._retention import DEFAULT, Retention, age, kept_for, retention_of
from packhorse._settings import resolve
from packhorse._worker import mailbox
from packhorse._worker.config import WorkerConfig
from packhorse._worker.firing import Firing
from packhorse._worker.identity import Identity
from packhorse._worker.upkeep import Chores, upkeep_of
from packhorse.errors import BadOption, ConfigError

DAY, YEAR = 86400.0, 365 * 86400


# -- the table --------------------------------------------------------------------------------------------------------
def test_what_is_kept_unless_told_otherwise() -> None:
    assert retention_of({}, "x") == DEFAULT == Retention()
    assert DEFAULT.keep == {"succeeded": DAY, "failed": 14 * DAY, "cancelled": 14 * DAY}
    assert (DEFAULT.commands, DEFAULT.output) == (YEAR, 30 * DAY)


def test_what_is_kept_for_ever_is_not_named() -> None:
    found = retention_of({"succeeded": "7d", "failed": "forever", "output": 7200}, "x")
    assert found.keep == {"succeeded": 7 * DAY, "cancelled": 14 * DAY}
    assert found.output == 7200


@pytest.mark.parametrize(
    "table, said",
    [
        ({"finished": "7d"}, "unknown key 'finished'; there are succeeded, failed, cancelled, commands, output."),
        ({"failed": "soon"}, "[retention] (from packhorse.toml): failed"),
        ({"failed": True}, 'takes a duration like "30d", or "forever"; not True.'),
        ({"failed": "10s"}, "kept for an hour at least"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        retention_of(table, "from packhorse.toml")
    assert said in str(refused.value)


def test_less_than_an_hour_is_nothing() -> None:
    with pytest.raises(BadOption):
        age(0, "x")
    assert age("1h", "x") == 3600


def test_the_longer_one_holds() -> None:
    assert json.loads(kept_for('{"retry":{"retries":1}}', 60)) == {"retry": {"retries": 1}, "kept_for": 60}
    assert json.loads(kept_for('{"kept_for":100}', 60)) == {"kept_for": 100}
    assert json.loads(kept_for(None, None))["kept_for"] > 50 * YEAR
    assert isinstance(json.loads(kept_for(None, 0.5 + 3600))["kept_for"], int)


# -- what travels with a job ------------------------------------------------------------------------------------------
@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "packhorse.toml"


def options_of(store, job) -> dict[str, object]:
    (record,) = store._store.get([job.id])
    return json.loads(record.options or "{}")


def test_commands_are_kept_a_year_and_functions_are_not(here: Path) -> None:
    with testing.memory() as store:
        command = Queue().command(["true"])
        function = Queue().enqueue(len, "abc")
        assert options_of(store, command) == {"kept_for": YEAR}
        assert options_of(store, function) == {}


def test_the_config_file_says_how_long_and_a_task_says_it_for_itself(here: Path) -> None:
    here.write_text(
        '[retention]\ncommands = "30d"\n[tasks.a]\ncommand = ["true"]\n[tasks.b]\ncommand = ["true"]\nkeep = "90d"\n'
        '[tasks.c]\ncommand = ["true"]\nkeep = "forever"\n'
    )
    with testing.memory() as store:
        queue = Queue()
        found = [options_of(store, queue.enqueue(name))["kept_for"] for name in "abc"]
        assert found[:2] == [30 * DAY, 90 * DAY]
        assert found[2] > 50 * YEAR
        assert options_of(store, queue.command(["true"])) == {"kept_for": 30 * DAY}
        later = queue.using(timeout="5m").enqueue("b")
        assert options_of(store, later) == {"timeout": 300.0, "kept_for": 90 * DAY}


def test_a_wrong_keep_is_told_with_its_table(here: Path) -> None:
    here.write_text('[tasks.a]\ncommand = ["true"]\nkeep = "5s"\n')
    with testing.memory(), pytest.raises(ConfigError, match=r"\[tasks\.a\]: keep"):
        Queue().enqueue("a")


# -- config -----------------------------------------------------------------------------------------------------------
def test_config_says_what_is_kept_and_why(here: Path) -> None:
    here.write_text(
        'store = "sqlite:///x.db"\n[retention]\nfailed = "forever"\n[tasks.b]\ncommand = ["true"]\nkeep = "90d"\n'
    )
    rows = {each.name: each for each in resolve(environ={}, cwd=str(here.parent)).items()}
    assert rows["retention.failed"][1:] == ("forever", f"from {here}")
    assert rows["retention.succeeded"][1:] == ("1 d", "the default")
    assert rows["retention.commands"].value == "365 d"
    assert rows["tasks.b.keep"].value == "90 d"


# -- the worker -------------------------------------------------------------------------------------------------------
class Asked:
    """A store that is only asked to clear up."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def prune(self, keep: object) -> int:
        self.calls.append(keep)
        return 0

    def drop_logs(self, age: float) -> int:
        self.calls.append(age)
        return 0


@pytest.mark.parametrize(
    "retention, calls",
    [
        (Retention(failed=None, output=60.0), [{"succeeded": DAY, "cancelled": 14 * DAY}, 60.0]),
        (Retention(output=None), [Retention().keep]),
    ],
)
def test_a_worker_clears_up_by_its_own_config(retention: Retention, calls: list[object]) -> None:
    main = mailbox.Mailbox()
    upkeep = upkeep_of(Identity(WorkerConfig(), "0"), main, Spaced(), 100, Firing("ash"), Chores(retention))
    upkeep._next_prune, upkeep._next_poll, upkeep._next_rescue = 0.0, 1e18, 1e18
    store = Asked()
    upkeep.chores(store)  # type: ignore[arg-type]
    assert store.calls == calls
