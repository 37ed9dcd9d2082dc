"""What workers declare of limits when they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from packhorse._owning import CONFIG, Declared, apply, publish
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._worker.config import WorkerConfig
from packhorse._worker.limiting import declared_limits, publish_limits
from packhorse.errors import BadOption

SPEC = '{"every": 60}'


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("memory://")
    yield opened
    opened.close()


def declare(
    store: Store, by_app: Mapping[str, str], by_file: Mapping[str, str] | None = None, catalogue: Any = None
) -> None:
    config = WorkerConfig(app=("shop/tasks.py",), limits=by_file or {})
    publish_limits(store, declared_limits({"limits": by_app}, config), catalogue or {})


def found(store: Store) -> dict[str, tuple[str, str | None]]:
    return {limit.name: (limit.value, limit.app) for limit in store.limits()}


def test_each_has_its_owner(store: Store) -> None:
    declare(store, {"smtp": "4", "api": "10/1s"}, {"disk": "2", "smtp": "4"})
    assert found(store) == {"smtp": ("4", CONFIG), "api": ("10/1s", "tasks"), "disk": ("2", CONFIG)}


def test_what_is_declared_no_more_is_taken_back(store: Store) -> None:
    declare(store, {"smtp": "4", "api": "10/1s"})
    store.set_limits({"other": "1"}, app="another")
    declare(store, {"smtp": "5"})
    assert found(store) == {"smtp": ("5", "tasks"), "other": ("1", "another")}


def test_what_a_person_has_set_stays(store: Store) -> None:
    declare(store, {"smtp": "4"})
    store.set_limits({"smtp": "1"}, by="ada")
    declare(store, {"smtp": "8"})
    declare(store, {})
    assert found(store) == {"smtp": ("1", None)}


def test_a_worker_that_has_nothing_new_to_say_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(store, {"smtp": "4"})
    monkeypatch.setattr(store, "set_limits", None)
    declare(store, {"smtp": "4"})


def test_two_values_of_one_name_are_refused() -> None:
    with pytest.raises(BadOption, match="declared twice with different values"):
        declared_limits({"limits": {"smtp": "4"}}, WorkerConfig(limits={"smtp": "5"}))


def test_an_older_build_writes_nothing_back(store: Store) -> None:
    def build(name: str) -> dict[str, Any]:
        said = {"app": "tasks", "build": name, "changed": 0.0, "schedules": {"tick": SPEC}}
        apply(store, lambda book: publish(book, Declared("tasks", name, {"tick": SPEC})))
        return {"schedules": [said]}

    old, new = build("one"), build("two")
    declare(store, {"smtp": "5"}, catalogue=new)
    declare(store, {"smtp": "4"}, catalogue=old)
    assert found(store) == {"smtp": ("5", "tasks")}
