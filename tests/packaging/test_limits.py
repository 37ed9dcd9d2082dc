"""How large a file, a function may be, and what the source may never do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "packhorse"
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE = 400
MAX_FUNCTION = 50
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}

by_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    body = function.body
    documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    docstring = body[0].end_lineno - body[0].lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def forbidden(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = {name.name.split(".")[0] for name in names} & FORBIDDEN_MODULES
            case ast.ImportFrom(module=str(module), level=0):
                found = {module.split(".")[0]} & FORBIDDEN_MODULES
            case ast.Call(func=ast.Name(id=name)):
                found = {name} & FORBIDDEN_CALLS
            case ast.Call(func=ast.Attribute(value=ast.Name(id="builtins"), attr=name)):
                found = {name} & FORBIDDEN_CALLS
            case _:
                found = set()
        yield from (f"line {node.lineno}: {name}" for name in found)


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 10


@by_file
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE


@by_file
def test_a_function_is_short(path: Path) -> None:
    long = {f.name: code_lines(f) for f in functions(ast.parse(path.read_bytes())) if code_lines(f) > MAX_FUNCTION}
    assert long == {}


@by_file
def test_data_never_becomes_code(path: Path) -> None:
    assert list(forbidden(ast.parse(path.read_bytes()))) == []


@pytest.mark.parametrize(
    "planted",
    ["import pickle", "from marshal import loads", "eval(x)", "exec('1')", "import yaml.loader", "builtins.eval(x)"],
)
def test_the_lint_sees_what_it_must_see(planted: str) -> None:
    assert len(list(forbidden(ast.parse(planted)))) == 1


@by_file
def test_a_module_has_a_telling_name(path: Path) -> None:
    assert path.stem.strip("_") not in FORBIDDEN_NAMES


def test_functions_are_a_few_lines() -> None:
    lengths = sorted(code_lines(f) for path in FILES for f in functions(ast.parse(path.read_bytes())))
    assert lengths[len(lengths) // 2] <= 8
