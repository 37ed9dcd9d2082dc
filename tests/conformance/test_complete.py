"""The suite itself: every verb of the contract is in it, and every store keeps to the signatures."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from packhorse._admission import Admission
from packhorse._store import Store

from .stores import POOLED

HERE = Path(__file__).parent
VERBS = sorted(
    name
    for part in Store.__mro__
    if part.__module__.startswith("packhorse.")
    for name, value in vars(part).items()
    if inspect.isfunction(value) and not name.startswith("_")
)


def words_of(path: Path) -> set[str]:
    """Return the names of all methods called in a file, and all that it has in quotes: some verbs are called by name."""
    tree = ast.parse(path.read_text())
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return calls | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_verb_is_called_with_a_pooler() -> None:
    files = [HERE / f"{name}.py" for name in ("pair", "laws", *(f"test_{name}" for name in POOLED))]
    assert set(VERBS) - set().union(*map(words_of, files)) == set()


@pytest.fixture(scope="module")
def called() -> set[str]:
    """The names of all methods called in the files of this suite."""
    trees = (ast.parse(path.read_text()) for path in HERE.glob("test_*.py"))
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_called_by_a_conformance_test(called: set[str], verb: str) -> None:
    assert verb in called, f"no conformance test calls Store.{verb}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_store_has_the_verb_with_the_signature_of_the_contract(store: Store, verb: str) -> None:
    contract = inspect.signature(getattr(Store, verb)).parameters
    offered = inspect.signature(getattr(type(store), verb)).parameters
    for name, parameter in contract.items():
        assert (offered[name].kind, offered[name].default) == (parameter.kind, parameter.default), name


def test_every_store_has_a_name_for_itself(store: Store) -> None:
    for name in inspect.get_annotations(Store) | inspect.get_annotations(Admission):
        assert getattr(store, name) is not None, name
