"""Loading an application, and what of it may run."""

import itertools
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse._importing import user_name
from packhorse._registry import Loaded, load, match_name
from packhorse.errors import NotLoadable, TaskNameTaken

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into a directory that is importable for the length of a test."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in itertools.takewhile(lambda folder: folder != tmp_path, file.parents):
            if name.endswith(".py") and not (folder / "__init__.py").exists() and folder.name.isidentifier():
                (folder / "__init__.py").write_text("")
        file.write_text(textwrap.dedent(text))
        return file

    yield write
    for module in set(sys.modules) - before:
        del sys.modules[module]


TASKS = """
    import textwrap
    from os.path import join
    from packhorse import task, App

    def add(a: int, b: int = 1) -> int:
        '''Add two numbers.

        More.
        '''
        return a + b

    async def fetch(url): ...
    def _private(): ...
    alias = add
    double = lambda n: n * 2
    SETTING = 5
    class Model:
        @staticmethod
        def load(a): ...
        def _hidden(self): ...
        class Inner:
            @classmethod
            def make(cls): ...

    @task(name="billing.charge", aliases=["app.old:charge", "old"], retry=3, timeout=None, queue="money")
    def charge(cents: int): ...

    @task
    def plain(a): ...
"""


def test_only_what_a_module_defines_is_runnable(write: Write) -> None:
    write("tasks.py", TASKS)
    registry = load(["tasks"]).registry
    tasks = sys.modules["tasks"]
    assert registry.find("tasks:add").fn is tasks.add  # type: ignore[union-attr]
    found = {
        name: registry.find(f"tasks:{name}") is not None
        for name in ("add", "fetch", "plain", "charge", "Model.load", "Model.Inner.make", "_private", "alias", "double",
                     "SETTING", "Model", "Model._hidden", "task", "App", "join", "textwrap.dedent", "nothing",
                     "Model.nothing", "__builtins__", "add.__call__", "add.__globals__")
    }  # fmt: skip
    assert [name for name, is_there in found.items() if is_there] == [
        "add", "fetch", "plain", "charge", "Model.load", "Model.Inner.make"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:run", "builtins:eval", "textwrap:dedent", "tasks.os:system", "posix:system", ""]
)
def test_other_modules_are_never_reached(write: Write, name: str) -> None:
    write("tasks.py", "import os, subprocess, textwrap\ndef f(): ...")
    registry = load(["tasks"]).registry
    assert registry.find(name) is None
    assert registry.find(name.replace(":", ".")) is None


def test_a_runnable_has_what_is_needed_to_run_it(write: Write) -> None:
    write("tasks.py", TASKS)
    registry = load(["tasks"]).registry
    add, fetch, charge = (registry.find(name) for name in ("tasks:add", "tasks:fetch", "billing.charge"))
    assert add is not None
    assert fetch is not None
    assert charge is not None
    assert (add.is_async, add.options, add.hints, add.name) == (False, None, None, "tasks:add")
    assert fetch.is_async
    assert charge.options is not None
    assert charge.options.timeout is None
    assert charge.fn(5) is None
    assert registry.find("tasks:add") is add


@pytest.mark.parametrize("name", ["billing.charge", "app.old:charge", "old", "tasks:charge", "tasks.charge"])
def test_a_task_answers_to_its_name_aliases_and_path(write: Write, name: str) -> None:
    write("tasks.py", TASKS)
    found = load(["tasks"]).registry.find(name)
    assert found is not None
    assert found.fn is sys.modules["tasks"].charge.__wrapped__


def test_models_are_rebuilt_by_what_is_found(write: Write) -> None:
    write("tasks.py", "import enum\nclass C(enum.Enum):\n    A = 'a'\ndef f(c: C) -> C: ...\n")
    found = load(["tasks"]).registry.find("tasks:f")
    assert found is not None
    assert found.hints is not None
    assert found.hints.rebuild(["a"], {})[0] == [sys.modules["tasks"].C.A]
    assert found.returns is sys.modules["tasks"].C


# -- names with two owners --


@pytest.mark.parametrize(
    "text",
    [
        "@task(name='x')\ndef a(): ...\n@task(name='x')\ndef b(): ...",
        "@task(name='x')\ndef a(): ...\n@task(aliases=['x'])\ndef b(): ...",
        "@task(aliases=['x'])\ndef a(): ...\n@task(aliases=['x'])\ndef b(): ...",
        "def a(): ...\n@task(aliases=['tasks:a'])\ndef b(): ...",
        "@task(aliases=['tasks:b'])\ndef a(): ...\ndef b(): ...",
    ],
)
def test_two_owners_of_one_name_are_told(write: Write, text: str) -> None:
    write("tasks.py", f"from packhorse import task\n{text}\n")
    with pytest.raises(
        TaskNameTaken, match=r"two functions claim .*tasks:[ab] \(.*tasks\.py:\d+\).*(?s:.*)\[E112\]"
    ) as caught:
        load(["tasks"])
    assert "tasks:a (" in str(caught.value)
    assert "tasks:b (" in str(caught.value)


def test_two_owners_in_two_modules_are_told_in_any_order(write: Write) -> None:
    write("one.py", "from packhorse import task\n@task(aliases=['two:f'])\ndef a(): ...\n")
    write("two.py", "def f(): ...\n")
    for order in (["one", "two"], ["two", "one"]):
        with pytest.raises(TaskNameTaken):
            load(order)


def test_one_task_seen_from_two_modules_has_one_owner(write: Write) -> None:
    write("one.py", "from packhorse import task\n@task(name='x', aliases=['two:f', 'one:a'])\ndef a(): ...\n")
    write("two.py", "from one import a\nb = a\n")
    registry = load(["one", "two", "one"]).registry
    assert registry.find("x") is not None
    assert registry.find("two:f") is not None


# -- forms of APP --


def test_nothing_given_loads_nothing() -> None:
    loaded = load([])
    assert isinstance(loaded, Loaded)
    assert loaded.app is None
    assert loaded.registry.names() == []
    assert loaded.registry.find("textwrap:dedent") is None


def test_a_package_is_imported_as_it_is_needed(write: Write) -> None:
    write("shop/mail.py", "def send(): ...")
    write("shop/deep/er/tasks.py", "def run(): ...")
    write("shop/broken.py", "import surely_not_installed\ndef f(): ...")
    write("shop/__main__.py", "raise SystemExit('started')")
    registry = load(["shop"]).registry
    assert "shop.mail" not in sys.modules
    assert registry.find("shop.mail:send") is not None
    assert registry.find("shop.deep.er.tasks:run") is not None
    assert registry.find("shop.nothing:f") is None
    assert registry.find("shopping:f") is None
    assert registry.find("shop.broken:f") is None
    assert "surely_not_installed" in registry.problems["shop.broken"]
    assert registry.find("shop.__main__:f") is None
    assert list(registry.problems) == ["shop.broken"]


def test_a_name_given_by_hand_is_found_anywhere_below_a_package(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write("shop/deep/tasks.py", "from packhorse import task\n@task(name='pay')\ndef f(): ...")
    write("shop/broken.py", "1 / 0")
    write("shop/__main__.py", "raise SystemExit('started')")
    registry = load(["shop"]).registry
    with caplog.at_level(logging.WARNING, "packhorse"):
        assert registry.find("pay") is not None
    assert "ZeroDivisionError" in caplog.text
    assert registry.find("paid") is None


def test_a_pattern_means_all_modules_that_match(write: Write) -> None:
    for name in ("pulp_a", "pulp_b", "other"):
        write(f"{name}/app/tasks.py", "def run(): ...")
    write("pulp_c.py", "")
    write("pulp_d/app/models.py", "")
    registry = load(["pulp_*.app.tasks"]).registry
    assert registry.names() == ["pulp_a.app.tasks:run", "pulp_b.app.tasks:run"]
    with pytest.raises(NotLoadable, match=r"no module matches 'zulp_\*'"):
        load(["zulp_*"])


def test_a_file_is_the_module_it_is(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("project/tasks_one.py", "def run(): ...")
    (tmp_path / "project" / "__init__.py").unlink()
    write("lib/inner/jobs.py", "def run(): ...")
    monkeypatch.chdir(tmp_path)
    assert load(["project/tasks_one.py"]).registry.names() == ["tasks_one:run"]
    assert load([str(tmp_path / "lib/inner/jobs.py")]).registry.names() == ["lib.inner.jobs:run"]


def test_a_file_that_cannot_be_the_module_is_told(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotLoadable, match=r"there is no file gone\.py"):
        load(["gone.py"])
    write("two-words.py", "")
    with pytest.raises(NotLoadable, match="no name that Python can import"):
        load(["two-words.py"])
    write("sub/textwrap.py", "")
    (tmp_path / "sub" / "__init__.py").unlink()
    sys.path.append(str(tmp_path / "sub"))
    with pytest.raises(NotLoadable, match=r"would be imported as 'textwrap', but that is"):
        load(["sub/textwrap.py"])


APP = """
    from packhorse import App
    app = App(tasks=["more_tasks"])
    class Holder:
        app = app
    def make(): return app
    def other(): return 5
    def fails(): raise ValueError("no settings")
    def run(a): ...
"""


@pytest.mark.parametrize("spec", ["proj:app", "proj:make", "proj:make()", "proj:Holder.app", "proj", "proj.py"])
def test_an_app_is_found_with_its_tasks(
    write: Write, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("proj.py", APP)
    write("more_tasks.py", "def more(): ...")
    monkeypatch.chdir(tmp_path)
    loaded = load([spec])
    assert loaded.app is sys.modules["proj"].app
    assert {"proj:run", "more_tasks:more"} <= set(loaded.registry.names())


@pytest.mark.parametrize(
    "spec, words",
    [
        ("proj:nothing", r"module 'proj' has no 'nothing'; its Apps are: app"),
        ("proj:app.nothing", "has no 'app.nothing'"),
        ("proj:other", "is an int, not an App"),
        ("proj:fails", r"the factory 'proj:fails' failed: ValueError: no settings"),
        ("proj:run", r"the factory 'proj:run' failed: TypeError"),
        ("gone:app", "there is no module 'gone'"),
        ("gone", r"there is no module 'gone'. Searched "),
        ("proj.gone", "there is no module 'proj.gone'"),
        ("a b", "names no module"),
        ("", "names no module"),
        (".tasks", "names no module"),
    ],
)
def test_what_is_no_app_is_told(write: Write, spec: str, words: str) -> None:
    write("proj.py", APP)
    write("more_tasks.py", "")
    with pytest.raises(NotLoadable, match=rf"{words}(?s:.*)\[E113\]"):
        load([spec])


def test_two_apps_are_one_too_many(write: Write) -> None:
    write("one.py", "from packhorse import App\napp = App()")
    write("two.py", "from packhorse import App\napp = App()")
    with pytest.raises(NotLoadable, match="two Apps, one in 'one' and one in 'two'"):
        load(["one", "two"])


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "import surely_not_installed",
            r"importing 'proj' failed at .*proj\.py:1 .*No module named 'surely_not_installed'",
        ),
        ("x = 1\nimport proj_inner", r"failed at .*proj_inner\.py:2 \(1 / 0\): ZeroDivisionError"),
        ("def f(:", r"failed at .*proj\.py:1: SyntaxError"),
        ("raise SystemExit(3)", r"failed at .*sys\.exit\(3\)"),
        ("from textwrap import dedend", "ImportError: cannot import name 'dedend'"),
    ],
)
def test_an_import_that_fails_is_named(write: Write, text: str, words: str) -> None:
    write("proj.py", text)
    write("proj_inner.py", "\n1 / 0")
    with pytest.raises(NotLoadable, match=rf"{words}(?s:.*)\[E113\]") as caught:
        load(["proj"])
    assert caught.value.__cause__ is not None


DICT_CONFIG = """
    import logging.config
    logging.config.dictConfig({"version": 1, "handlers": {"file": {"class": "logging.handlers.WatchedFileHandler",
        "filename": FILE}}, "root": {"handlers": ["file"]}})
"""


@pytest.mark.parametrize(
    "text, handler",
    [
        ("import logging\nlogging.FileHandler(FILE)", "logging.FileHandler"),
        (DICT_CONFIG, "logging.handlers.WatchedFileHandler"),
    ],
)
def test_a_log_file_that_cannot_be_written_is_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, handler: str
) -> None:
    file = tmp_path / "app.log"
    file.touch(0o640)
    write("proj.py", f"FILE = {str(file)!r}\n{textwrap.dedent(text)}")

    def refuse(path: Any, *rest: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(logging, "open", refuse, raising=False)  # root may write everywhere
    with pytest.raises(NotLoadable) as caught:
        load(["proj"])
    text = str(caught.value)
    assert f"importing proj failed in {handler}('{file}'): permission denied for user {user_name()}\n" in text
    assert f"running as {user_name()} (uid {os.geteuid()}); file is " in text
    assert "0640" in text
    assert f"chown {user_name()} {file}" in text


def test_a_file_refused_elsewhere_is_an_ordinary_error(write: Write) -> None:
    write("proj.py", "raise PermissionError(13, 'Permission denied', '/x')")
    with pytest.raises(NotLoadable, match="PermissionError"):
        load(["proj"])


def test_plugins_add_theirs(write: Write, tmp_path: Path) -> None:
    write("proj.py", "def run(): ...")
    write("plug.py", "def more(): ...")
    write("plug-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    points = write("plug-1.0.dist-info/entry_points.txt", "[packhorse.tasks]\nplug = plug\n")
    assert load(["proj"]).registry.names() == ["plug:more", "proj:run"]
    assert load([]).registry.names() == []
    points.write_text("[packhorse.tasks]\nplug = gone\n")
    with pytest.raises(
        NotLoadable, match=r"the plugin plug \(entry point packhorse.tasks = gone\): there is no module"
    ):
        load(["proj"])


def test_missing_entries_of_sys_path_come_first(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "far_tasks.py").write_text("def run(): ...")
    load(["far_tasks"], sys_path=[str(other), str(tmp_path)])
    assert sys.path[0] == str(other)
    assert sys.path.count(str(tmp_path)) == 1


# -- the catalogue --


def test_the_catalogue_tells_what_can_run(write: Write) -> None:
    write("tasks.py", TASKS)
    catalogue = load(["tasks"]).registry.catalogue()
    assert list(catalogue["tasks"]) == ["tasks:add", "tasks:fetch", "billing.charge", "tasks:plain"]
    assert catalogue["tasks"]["tasks:add"] == {
        "signature": "add(a: int, b: int = 1)", "async": False, "doc": "Add two numbers.", "timeout_given": False
    }  # fmt: skip
    charge = catalogue["tasks"]["billing.charge"]
    assert (charge["timeout"], charge["retry"]["retries"], charge["queue"]) == (None, 3, "money")
    assert charge["timeout_given"] is True  # None, no limit, was chosen too
    assert charge["aliases"] == ["app.old:charge", "old"]
    assert catalogue["modules"] == ["tasks"]


def test_the_build_changes_with_the_code(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("tasks.py", "def f(): ...")
    registry = load(["tasks"]).registry
    first = registry.build()
    assert registry.build() == first
    file.write_text("def f(): return 1")
    assert registry.build() != first
    monkeypatch.setenv("PACKHORSE_BUILD", "9f2c")
    assert registry.catalogue()["build"] == "9f2c"


# -- names as people type them --

KNOWN = ["app.tasks:add", "app.mail:send", "other.mail:send", "billing.charge", "app.tasks:Model.load", "publish-book"]


@pytest.mark.parametrize(
    "name, found",
    [
        ("app.tasks:add", ["app.tasks:add"]),
        ("app.tasks.add", ["app.tasks:add"]),
        ("add", ["app.tasks:add"]),
        ("tasks:add", ["app.tasks:add"]),
        ("tasks.add", ["app.tasks:add"]),
        ("send", ["app.mail:send", "other.mail:send"]),
        ("app.mail.send", ["app.mail:send"]),
        ("load", ["app.tasks:Model.load"]),
        ("Model.load", ["app.tasks:Model.load"]),
        ("billing.charge", ["billing.charge"]),
        ("charge", ["billing.charge"]),
        ("dd", []),
        ("publish-book", ["publish-book"]),
        ("nothing", []),
        ("", []),
    ],
)
def test_a_name_is_matched_by_its_end(name: str, found: list[str]) -> None:
    assert match_name(name, KNOWN) == found


@pytest.mark.parametrize("spec", ["proj:make", "proj:make()"])
def test_the_factory_of_an_app_is_no_task(write: Write, spec: str) -> None:
    write("proj.py", "from packhorse import App\ndef make() -> App: return App()\ndef work() -> None: ...\n")
    registry = load([spec]).registry
    assert registry.names() == ["proj:work"]
    assert registry.find("proj:make") is None
    assert list(registry.catalogue()["tasks"]) == ["proj:work"]
