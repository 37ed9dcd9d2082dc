"""Which store and namespace, and where each came from."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse import Queue, _runtime, _settings
from packhorse._settings import Settings, mask, resolve
from packhorse._store import JobFilter
from packhorse.errors import BadName, ConfigError, NoStore, PackhorseError


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Remember no store from test to test."""
    _runtime.forget()
    yield
    _runtime.forget()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A project of its own: nothing is found above it."""
    (tmp_path / ".git").mkdir()
    return tmp_path


def found(here: Path, argument: str | None = None, app: str | None = None, **environ: str) -> Settings:
    return resolve(argument, app, environ=environ, cwd=here)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# -- explicit ---------------------------------------------------------------------------------------------------------
def test_the_argument_wins_then_the_app_then_the_environment_then_the_file(here: Path) -> None:
    config = write(here / "packhorse.toml", 'store = "sqlite:///from-file.db"')
    env = {"PACKHORSE_URL": "sqlite:///from-env.db"}
    assert found(here, "sqlite:///a.db", "sqlite:///b.db", **env).url == f"sqlite:///{here}/a.db"
    assert found(here, None, "sqlite:///b.db", **env).url == f"sqlite:///{here}/b.db"
    from_env = found(here, **env)
    assert (from_env.url, from_env.source) == (f"sqlite:///{here}/from-env.db", "from PACKHORSE_URL")
    from_file = found(here)
    assert (from_file.url, from_file.source) == (f"sqlite:///{here}/from-file.db", f"from {config}")
    assert not from_file.guessed


def test_an_empty_variable_is_not_set(here: Path) -> None:
    with pytest.raises(NoStore):
        found(here, PACKHORSE_URL="")


def test_a_relative_path_in_a_file_is_relative_to_that_file(here: Path) -> None:
    write(here / "packhorse.toml", 'store = "sqlite:///data/jobs.db"')
    below = here / "a" / "b"
    below.mkdir(parents=True)
    assert found(below).url == f"sqlite:///{here}/data/jobs.db"


def test_the_table_of_pyproject_counts(tmp_path: Path) -> None:
    write(
        tmp_path / "pyproject.toml",
        '[tool.packhorse]\nstore = "sqlite:///jobs.db"\nnamespace = "team"\napp = "shop.tasks"',
    )
    (tmp_path / "src").mkdir()
    settings = found(tmp_path / "src")
    assert settings.url == f"sqlite:///{tmp_path}/jobs.db"
    assert settings.source == f"from [tool.packhorse] of {tmp_path}/pyproject.toml"
    assert (settings.namespace, settings.app) == ("team", ("shop.tasks",))


def test_the_search_ends_at_the_project_s_root(tmp_path: Path) -> None:
    write(tmp_path / "packhorse.toml", 'store = "sqlite:///outside.db"')
    inner = tmp_path / "project"
    write(inner / "pyproject.toml", "[project]")
    with pytest.raises(NoStore):
        found(inner)


def test_paths_with_special_characters_survive(here: Path) -> None:
    folder = here / "50% of ? jobs#1 ü"
    folder.mkdir()
    settings = resolve("sqlite:///jobs.db", environ={}, cwd=folder)
    with _runtime.use(settings) as store:
        assert store.find(JobFilter()).jobs == []
    assert (folder / "jobs.db").is_file()


def test_home_is_expanded(here: Path) -> None:
    assert found(here, "sqlite:///~/jobs.db").url == f"sqlite:///{os.path.expanduser('~')}/jobs.db"


@pytest.mark.parametrize(
    "url, says",
    [

        ("postgresql+psycopg://h/db", "no PostgreSQL store"),
        ("valkey://h", "no Valkey store"),
        ("sqllite:///x.db", "did you mean 'sqlite'"),
        ("jobs.db", "sqlite:///jobs.db"),
        ("sqlite://jobs.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("mysql://u:secret@h/db", "unknown scheme 'mysql'"),
    ],
)
def test_urls_that_cannot_be_used_say_so_with_their_source(here: Path, url: str, says: str) -> None:
    with pytest.raises(ConfigError, match="PACKHORSE_URL") as caught:
        found(here, PACKHORSE_URL=url)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


# -- the namespace ----------------------------------------------------------------------------------------------------
def test_the_namespace_comes_from_url_app_environment_file(here: Path) -> None:
    write(here / "packhorse.toml", 'namespace = "file"')
    env = {"PACKHORSE_NAMESPACE": "env"}

    def space(url: str, app: str | None = None, **environ: str) -> tuple[str, str]:
        settings = resolve(url, namespace=app, environ=environ, cwd=here)
        assert "namespace" not in settings.url
        return settings.namespace, settings.namespace_source

    assert space("memory://x?namespace=url", "app", **env) == ("url", "from the store's URL")
    assert space("memory://x", "app", **env) == ("app", "from App(namespace=)")
    assert space("memory://x", "default", **env) == ("env", "from PACKHORSE_NAMESPACE")
    assert space("memory://x")[0] == "file"
    (here / "packhorse.toml").unlink()
    assert space("memory://x") == ("default", "the default")
    assert resolve("sqlite:///a.db?synchronous=normal&namespace=n", environ={}, cwd=here).url.endswith(
        "/a.db?synchronous=normal"
    )
    with pytest.raises(BadName, match="PACKHORSE_NAMESPACE"):
        space("memory://x", PACKHORSE_NAMESPACE="two words")


# -- guessing ---------------------------------------------------------------------------------------------------------
def test_nothing_named_and_nothing_found(here: Path) -> None:
    with pytest.raises(NoStore) as caught:
        found(here)
    text = str(caught.value)
    assert "export PACKHORSE_URL=sqlite:///packhorse.db" in text
    assert text.endswith("[E105]")
    assert list(here.iterdir()) == [here / ".git"]


def test_servers_named_for_something_are_listed_with_secrets_masked(here: Path) -> None:
    with pytest.raises(NoStore) as caught:
        found(here, REDIS_URL="redis://:hunter2@10.0.0.5:6379/0", DATABASE_URL="postgres://u:hunter2@db/x")
    text = str(caught.value)
    assert "REDIS_URL: redis://:***@10.0.0.5:6379/0" in text
    assert "DATABASE_URL: postgres://u:***@db/x" in text
    assert "hunter2" not in text


def test_a_database_of_another_kind_is_no_candidate(here: Path) -> None:
    with pytest.raises(NoStore) as caught:
        found(here, DATABASE_URL="mysql://u@db/x")
    assert "mysql" not in str(caught.value)


def test_a_packhorse_db_of_ours_is_used_from_below(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Queue(store=f"sqlite:///{here}/packhorse.db").enqueue("x.y")
    _runtime.forget()
    below = here / "deep" / "er"
    below.mkdir(parents=True)
    settings = found(below)
    assert settings.guessed
    monkeypatch.chdir(below)
    monkeypatch.delenv("PACKHORSE_URL", raising=False)
    assert len(Queue().jobs()) == 1


@pytest.mark.parametrize("content", ["", "not a database", "another program's"])
def test_a_packhorse_db_of_somebody_else_is_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path = here / "packhorse.db"
    if content == "another program's":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (x)")
        db.close()
    else:
        path.write_text(content, encoding="utf-8")
    before = path.read_bytes()
    monkeypatch.chdir(here)
    monkeypatch.delenv("PACKHORSE_URL", raising=False)
    with pytest.raises(NoStore, match=r"packhorse\.db") as caught:
        Queue().enqueue("x.y")
    assert f"export PACKHORSE_URL=sqlite:///{path}" in str(caught.value)
    assert path.read_bytes() == before


# -- the file ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text, says",
    [
        ("store = ", "not valid TOML"),
        ("stroe = 'sqlite:///x.db'", "did you mean 'store'"),
        ("limits = {}", "unknown key 'limits'"),
        ("store = 5", "'store' cannot be 5"),
        ("worker = 'x'", "'worker' cannot be"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(here: Path, text: str, says: str) -> None:
    config = write(here / "packhorse.toml", text)
    with pytest.raises(ConfigError) as caught:
        found(here)
    assert says in str(caught.value)
    assert str(config) in str(caught.value)


def test_an_unreadable_file_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "packhorse.toml", "")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        found(here)


def test_worker_settings_come_along(here: Path) -> None:
    write(here / "packhorse.toml", 'store = "sqlite:///x.db"\napp = ["a", "b"]\n[worker]\nprocesses = 4\ngrace = "1m"')
    settings = found(here)
    assert dict(settings.worker) == {"processes": 4, "grace": "1m"}
    assert settings.app == ("a", "b")
    assert found(here, PACKHORSE_APP="x y").app == ("x", "y")


def test_items_lists_every_setting_with_its_source(here: Path) -> None:
    write(here / "packhorse.toml", 'store = "sqlite:///x.db"\n[worker]\nprocesses = 4')
    items = {item.name: item for item in found(here).items()}
    assert items["store"].source.startswith("from /")
    assert items["namespace"] == ("namespace", "default", "the default")
    assert items["app"].value == "-"
    assert items["worker.processes"].value == "4"
    assert items["config file"].value.endswith("packhorse.toml")


# -- masking ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url, shown",
    [
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("postgres://u:se@cret@h/db", "postgres://u:***@h/db"),
        ("postgres://u@h/db", "postgres://u@h/db"),
        ("sqlite:////var/lib/jobs.db", "sqlite:////var/lib/jobs.db"),
        ("postgres://h/db?password=secret&x=1", "postgres://h/db?password=***&x=1"),
        ("postgres://u:sec/ret@h/db", "postgres://u:***@h/db"),
        ("no url", "no url"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask(url) == shown


def test_messages_of_no_store_are_of_the_tree() -> None:
    error = _settings.no_store((), "/srv")
    assert isinstance(error, PackhorseError)
    assert error.code == "E105"
