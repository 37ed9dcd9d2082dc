"""At enqueue, a name must lead back to the very function."""

import functools
import gc
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from packhorse import _identity
from packhorse._identity import check_name, flatten, resolve, task_name, unwrap
from packhorse._task import task
from packhorse.errors import BadName, NotImportable

HERE = __name__


def add(a: int, b: int) -> int:
    return a + b


async def fetch(url: str) -> str:
    return url


@task
def declared(a: int) -> int:
    return a


@task(name="billing.charge", aliases=["app.old:charge", "old-charge"])
def charge(a: int) -> int:
    return a


@functools.lru_cache
def cached(a: int) -> int:
    return a


def loud(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@loud
def decorated(a: int) -> int:
    return a


@task
@loud
def decorated_task(a: int) -> int:
    return a


def silent(fn: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@silent
def lost(a: int) -> int:
    return a


def twice() -> int:
    return 1


first = twice


def twice() -> int:  # type: ignore[no-redef]
    return 2


double = lambda n: 2 * n  # noqa: E731


def outer() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


class Base:
    def method(self) -> None: ...

    @staticmethod
    def static(a: int) -> int:
        return a

    @classmethod
    def build(cls, a: int) -> int:
        return a


class Derived(Base): ...


class Callee:
    def __call__(self, a: int) -> int:
        return a


callee = Callee()


@pytest.mark.parametrize(
    "fn, name",
    [
        (add, "add"),
        (fetch, "fetch"),
        (declared, "declared"),
        (declared.__wrapped__, "declared"),
        (declared.using(retry=2), "declared"),
        (cached, "cached"),
        (decorated, "decorated"),
        (decorated_task, "decorated_task"),
        (Base.static, "Base.static"),
        (Base.method, "Base.method"),
        (Base.build, "Base.build"),
    ],
)
def test_a_function_has_its_path_as_its_name(fn: Any, name: str) -> None:
    assert task_name(fn) == f"{HERE}:{name}"
    assert task_name(fn) == f"{HERE}:{name}"  # once more, now remembered
    assert unwrap(resolve(task_name(fn))) == unwrap(fn)


def test_functions_of_the_library_have_names_too() -> None:
    assert task_name(textwrap.dedent) == "textwrap:dedent"
    assert task_name(len) == "builtins:len"


def test_a_name_given_by_hand_is_the_name() -> None:
    assert task_name(charge) == "billing.charge"
    assert task_name(charge.using(priority=3)) == "billing.charge"
    assert charge.aliases == ("app.old:charge", "old-charge")


@pytest.mark.parametrize(
    "fn, words",
    [
        (double, ["lambda", "with def"]),
        (lambda: None, ["lambda", "line "]),
        (outer(), ["inside outer()", "top of its module"]),
        (first, ["'twice' again", "something else now"]),
        (lost.__closure__[0].cell_contents, ["'lost' again", "functools.wraps"]),  # type: ignore[attr-defined]
        (lost, ["inside silent()"]),
        (decorated.__wrapped__, ["decorated version"]),  # type: ignore[attr-defined]
        (Base().method, ["bound to a Base object", "takes an id"]),
        (Derived.build, ["inherited", "calls it"]),
        (Derived().build, ["inherited"]),
        (mock.Mock(), ["mock", "testing.memory"]),
        (mock.MagicMock(spec=add), ["mock"]),
        (mock.create_autospec(add), ["mock"]),
        (callee, ["Callee object", "Enqueue a function"]),
        (Base, ["is a class"]),
        (int, ["is a class"]),
        (5, ["enqueue() takes a function"]),
        (None, ["enqueue() takes a function"]),
        (functools.partial(add, 1), ["partial object"]),  # flattened by whoever enqueues
    ],
)
def test_what_a_worker_could_not_find_is_refused(fn: Any, words: list[str]) -> None:
    with pytest.raises(NotImportable, match=r"\[E110\]") as caught:
        task_name(fn)
    assert "Not enqueued." in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_patched_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[HERE]
    with mock.patch.object(module, "add"), pytest.raises(NotImportable, match="mock"):
        task_name(module.add)
    copy = types.FunctionType(add.__code__, globals(), "add")
    with pytest.raises(NotImportable, match="something else now"):
        task_name(copy)
    copy.__qualname__ = "vanished"
    with pytest.raises(NotImportable, match="there is no .*:vanished"):
        task_name(copy)
    copy.__module__ = "no_such_module"
    with pytest.raises(NotImportable, match="'no_such_module' is not one that was imported"):
        task_name(copy)


def test_names_are_forgotten_with_their_functions() -> None:
    module = types.ModuleType("passing_by")
    sys.modules["passing_by"] = module
    try:
        module.fn = types.FunctionType(add.__code__, vars(module), "fn")  # type: ignore[attr-defined]
        module.fn.__module__, module.fn.__qualname__ = "passing_by", "fn"
        assert task_name(module.fn) == "passing_by:fn"
        key = id(module.fn)
        assert key in _identity._names
        del module.fn
        gc.collect()
        assert key not in _identity._names
    finally:
        del sys.modules["passing_by"]


def test_partials_are_taken_apart() -> None:
    inner = functools.partial(add, 1, key="a", other=1)
    assert flatten(functools.partial(inner, 2, key="b"), (3,), {"last": 4}) == (
        add, (1, 2, 3), {"key": "b", "other": 1, "last": 4}
    )  # fmt: skip
    assert flatten(add, (1,), {}) == (add, (1,), {})
    assert flatten(functools.partial(declared), (1,), {}) == (declared, (1,), {})


# -- the module that was started --

SCRIPT = """
import sys
from packhorse._identity import task_name
def report(): ...
try:
    print(task_name(report))
except TypeError as error:
    print(error)
"""


def run(*argv: str, cwd: Path, stdin: str = "") -> str:
    done = subprocess.run([sys.executable, *argv], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "pkg"
    package.mkdir()
    for name in ("__init__", "__main__", "jobs"):
        (package / f"{name}.py").write_text("" if name == "__init__" else SCRIPT)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_a_script_is_refused_with_the_way_out(project: Path) -> None:
    assert run("script.py", cwd=project) == (
        "a worker cannot find 'report' again: it is defined in the script you started (__main__). Not enqueued.\n"
        "  Move it to a module, e.g. reports.py, and enqueue reports.report.  [E110]\n"
    )


def test_a_module_started_with_m_has_its_own_name(project: Path) -> None:
    assert run("-m", "pkg.jobs", cwd=project) == "pkg.jobs:report\n"
    assert run("-m", "script", cwd=project) == "script:report\n"


def test_a_packages_main_is_refused(project: Path) -> None:
    assert "it is defined in pkg.__main__, which only runs" in run("-m", "pkg", cwd=project)


def test_an_interactive_session_is_refused(project: Path) -> None:
    assert "defined in an interactive session" in run("-", cwd=project, stdin=SCRIPT)


# -- names as text --


@pytest.mark.parametrize(
    "given, canonical",
    [
        (f"{HERE}:add", f"{HERE}:add"),
        (f"{HERE}.add", f"{HERE}:add"),
        (f"{HERE}.Base.static", f"{HERE}:Base.static"),
        ("not.imported.here:fn", "not.imported.here:fn"),
        ("not.imported.here", "not.imported.here"),
        ("billing.charge", "billing.charge"),
        ("old-charge", "old-charge"),
        ("app.old:charge", "app.old:charge"),
        ("publish-book", "publish-book"),
        ("Not.Imported.Fn", "Not.Imported.Fn"),
    ],
)
def test_a_name_as_text_becomes_canonical(given: str, canonical: str) -> None:
    assert check_name(given) == canonical


@pytest.mark.parametrize("name", [f"{HERE}:ad", f"{HERE}.ad"])
def test_a_misspelt_name_is_told(name: str) -> None:
    with pytest.raises(NotImportable, match=rf"{HERE} has no 'ad'; did you mean 'add'\?"):
        check_name(name)


def test_a_name_that_a_loaded_module_lacks_is_told() -> None:
    with pytest.raises(NotImportable, match="textwrap has no 'zzzzzz'"):
        check_name("textwrap:zzzzzz")


@pytest.mark.parametrize(
    "name", ["", ":", "a:", ":b", "a b", "a:b:c", "a:b()", "a/b", "é è", "a\n", "x" * 600, "a:<lambda>", "Aä!"]
)
def test_text_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadName, match=r"\[E128\]"):
        check_name(name)


def test_nothing_is_imported_for_a_name() -> None:
    assert "colorsys" not in sys.modules or sys.modules.pop("colorsys")
    assert check_name("colorsys:rgb_to_hsv") == "colorsys:rgb_to_hsv"
    assert "colorsys" not in sys.modules
    assert callable(resolve("colorsys:rgb_to_hsv"))


@pytest.mark.parametrize(
    "name, words",
    [
        ("no_such_module:fn", "no module 'no_such_module'"),
        ("textwrap.nothing:fn", "no module 'textwrap.nothing'"),
        ("textwrap:dedend", "did you mean 'dedent'"),
        ("textwrap", "package.module:function"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name: str, words: str) -> None:
    with pytest.raises(NotImportable, match=words):
        resolve(name)


def test_errors_of_an_import_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_more.py").write_text("import surely_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        resolve("needs_more:fn")
