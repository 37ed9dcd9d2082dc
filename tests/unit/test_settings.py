"""Which store and namespace, and where each came from."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packhorse import Queue, _runtime
from packhorse._guessing import Finding, no_store
from packhorse._settings import Settings, resolve
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
        ("sqllite:///x.db", "did you mean 'sqlite'"),
        ("jobs.db", "sqlite:///jobs.db"),
        ("sqlite://jobs.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("mysql://u:secret@h/db", "unknown scheme 'mysql'"),
        ("postgress://u:secret@h/db", "did you mean 'postgres'"),
        ("u:secret@h/db", "that is no URL"),
    ],
)
def test_urls_that_cannot_be_used_say_so_with_their_source(here: Path, url: str, says: str) -> None:
    with pytest.raises(ConfigError, match="PACKHORSE_URL") as caught:
        found(here, PACKHORSE_URL=url)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "scheme", ["redis", "rediss", "valkey", "valkeys", "unix", "postgres", "postgresql", "postgresql+psycopg2"]
)
def test_the_url_of_a_server_is_taken_as_it_is(here: Path, scheme: str) -> None:
    url = f"{scheme}://u:p%40w@h:1/x?schema=a%20b&connect_timeout=1"
    settings = found(here, PACKHORSE_URL=url)
    assert (settings.url, settings.source) == (url, "from PACKHORSE_URL")


def test_config_says_what_becomes_of_a_driver_and_where_the_password_is_from(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def items(url: str) -> dict[str, tuple[str, str]]:
        return {item.name: (item.value, item.source) for item in found(here, url).items()}

    shown = items("postgresql+psycopg2://u:hunter2@h/db")
    assert shown["store"] == ("postgresql+psycopg2://u:***@h/db", "from the argument store=")
    assert shown["driver"] == ("psycopg2", "of the store's URL; accepted, and not used: Packhorse speaks psycopg 3")
    assert shown["password"] == ("***", "from the store's URL")
    assert items("redis://h?password_file=/run/pw")["password"] == ("***", "from the file /run/pw")
    assert "driver" not in items("redis://h")
    monkeypatch.setenv("PACKHORSE_PASSWORD", "hunter2")
    assert items("redis://h")["password"] == ("***", "from PACKHORSE_PASSWORD")
    assert "password" not in items("sqlite:///jobs.db")
    monkeypatch.delenv("PACKHORSE_PASSWORD")
    assert "password" not in items("redis://h")


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


BOTH = {"REDIS_URL": "redis://:hunter2@10.0.0.5:6379/0", "DATABASE_URL": "postgres://u:hunter2@db/x"}


def answers(*ours: str) -> Callable[[Settings], Finding]:
    """A look that finds these to be ours (their scheme), and never anything else."""
    return lambda place: Finding(place.url.partition(":")[0] in ours, f"looked at {place.namespace}")


def test_several_places_are_listed_with_what_settles_it_and_secrets_masked(here: Path) -> None:
    for look in (None, answers(), answers("redis", "postgres")):
        with pytest.raises(NoStore) as caught:
            resolve(environ=BOTH, cwd=here, probe=look)
        text = str(caught.value)
        assert "REDIS_URL: redis://:***@10.0.0.5:6379/0" in text
        assert "DATABASE_URL: postgres://u:***@db/x" in text
        assert ("looked at default" in text) is (look is not None)
        assert 'to use it:  export PACKHORSE_URL="$REDIS_URL"\n' in text
        assert 'to use it:  export PACKHORSE_URL="$DATABASE_URL"; packhorse db migrate\n' in text
        assert "hunter2" not in text + repr(caught.value)


@pytest.mark.parametrize("scheme, source", [("redis", "REDIS_URL"), ("postgres", "DATABASE_URL"), ("sqlite", "found")])
def test_exactly_one_that_is_ours_is_used_and_said(here: Path, scheme: str, source: str) -> None:
    (here / "packhorse.db").touch()
    settings = resolve(environ=BOTH, cwd=here, probe=answers(scheme))
    assert settings.url.startswith(f"{scheme}:")
    assert settings.source.startswith(f"guessed: {source}")
    assert settings.guessed
    assert not settings.makeable


@pytest.mark.parametrize("name, makeable", [("REDIS_URL", True), ("DATABASE_URL", False)])
def test_a_single_place_is_left_to_whoever_opens_it(here: Path, name: str, makeable: bool) -> None:
    """Tables in a PostgreSQL database are made by ``db migrate`` only."""
    settings = resolve(environ={name: BOTH[name]}, cwd=here, probe=answers())
    assert (settings.url, settings.guessed, settings.makeable) == (BOTH[name], True, makeable)


def test_the_namespace_of_a_guessed_url_is_looked_into(here: Path) -> None:
    seen: list[tuple[str, str]] = []

    def look(place: Settings) -> Finding:
        seen.append((place.url, place.namespace))
        return Finding(place.namespace == "blue", "")

    env = {"REDIS_URL": "redis://h/1?namespace=blue", "DATABASE_URL": "postgres://h/db", "PACKHORSE_NAMESPACE": "env"}
    settings = resolve(environ=env, cwd=here, probe=look)
    assert seen == [("redis://h/1", "blue"), ("postgres://h/db", "env")]
    assert (settings.url, settings.namespace) == ("redis://h/1", "blue")


def test_what_is_named_is_never_looked_at(here: Path) -> None:
    def look(place: Settings) -> Finding:
        raise AssertionError(place)

    (here / "packhorse.db").touch()
    assert resolve("sqlite:///x.db", environ=BOTH, cwd=here, probe=look).url.endswith("/x.db")


@pytest.mark.parametrize(
    "env",
    [
        {"DATABASE_URL": "mysql://u@db/x"},
        {"DATABASE_URL": "redis://h"},
        {"REDIS_URL": "postgres://h/db"},
        {"REDIS_URL": ""},
    ],
)
def test_a_database_of_another_kind_is_no_candidate(here: Path, env: dict[str, str]) -> None:
    with pytest.raises(NoStore) as caught:
        found(here, **env)
    assert "to use it" not in str(caught.value)


def test_files_are_looked_at_as_they_are(here: Path) -> None:
    """With a second candidate: the file's own store is recognised, and nothing of another program's is changed."""
    env = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/db"}
    path = here / "packhorse.db"
    path.touch()
    with pytest.raises(NoStore) as caught:
        resolve(environ=env, cwd=here, probe=_runtime.probe)
    assert "holds no job store" in str(caught.value)
    assert "cannot be used" in str(caught.value)
    assert path.read_bytes() == b""
    path.unlink()
    Queue(store=f"sqlite:///{path}").enqueue("x.y")
    _runtime.forget()
    assert resolve(environ=env, cwd=here, probe=_runtime.probe).url == f"sqlite:///{path}"


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
        ("limit = {}", "unknown key 'limit'; did you mean 'limits'?"),
        ("limits = 3", "'limits' cannot be 3"),
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


def test_messages_of_no_store_are_of_the_tree() -> None:
    error = no_store((), "/srv")
    assert isinstance(error, PackhorseError)
    assert error.code == "E105"
