"""Which hints a worker follows."""

from __future__ import annotations

from typing import Any

import pytest

from packhorse._store import Capabilities
from packhorse._worker.hinting import EARLY, Hinting


class Counter:
    """What a store says to one who looks for changes."""

    def __init__(self, early: bool) -> None:
        self.capabilities = Capabilities("x", durable=True, processes=True, hints=True, early=early)
        self.now = 100.0
        self.moved = False
        hinting: Any = Hinting(lambda: self.now)
        self._hinting = hinting

    def changed(self) -> bool:
        return self.moved

    def hint(self, *, moved: bool, after: float = 0.0) -> bool:
        self.now += after
        self.moved = moved
        return bool(self._hinting.follow(self))


@pytest.mark.parametrize("early", [True, False])
def test_what_others_changed_is_followed_and_what_we_changed_is_not(early: bool) -> None:
    store = Counter(early)
    assert not store.hint(moved=False)
    assert store.hint(moved=True)
    assert store.hint(moved=True)
    assert not store.hint(moved=False, after=EARLY)


def test_a_change_that_was_counted_before_it_could_be_seen_is_followed_once_more() -> None:
    store = Counter(early=True)
    assert store.hint(moved=True)
    assert store.hint(moved=False, after=EARLY / 2)
    assert not store.hint(moved=False)


def test_where_changes_are_seen_when_they_are_counted_once_is_enough() -> None:
    store = Counter(early=False)
    assert store.hint(moved=True)
    assert not store.hint(moved=False)
