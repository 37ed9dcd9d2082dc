"""wait, wake, changed: hints that something may have happened; the poll behind them is the truth."""

from __future__ import annotations

import threading
import time

import pytest

from packhorse._store import Store

from .conftest import Open
from .making import join, put, take

#: Far longer than any hint takes, and never waited for in full.
LONG = 30.0


def waiting(store: Store) -> tuple[threading.Thread, list[float]]:
    """Start a wait in another thread; the list gets the seconds it took."""
    took: list[float] = []
    begun = threading.Event()

    def wait() -> None:
        start = time.monotonic()
        begun.set()
        store.wait(LONG)
        took.append(time.monotonic() - start)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    begun.wait(LONG)
    return thread, took


def test_the_first_question_says_yes(open_another: Open) -> None:
    store = open_another()
    store.migrate()
    assert store.changed()


def test_nothing_happened_so_nothing_changed(store: Store, other: Store) -> None:
    store.changed()
    assert not store.changed()


def test_a_change_by_another_is_told_once(store: Store, other: Store) -> None:
    store.changed()
    put(other)
    assert store.changed()
    assert not store.changed()


def test_my_own_change_is_no_news(store: Store, other: Store) -> None:
    """Else a worker would wake itself for ever."""
    store.changed()
    worker = join(store)
    put(store)
    take(store, worker)
    assert not store.changed()


def test_a_wait_for_nothing_ends_in_time(store: Store) -> None:
    store.changed()
    start = time.monotonic()
    store.wait(0.05)
    assert 0.04 <= time.monotonic() - start < LONG / 2


def test_a_wait_for_no_time_returns_at_once(store: Store) -> None:
    start = time.monotonic()
    store.wait(0)
    assert time.monotonic() - start < LONG / 2


def test_a_wait_ends_early_when_another_enqueues(store: Store, other: Store) -> None:
    if not store.capabilities.hints:
        pytest.skip("this store gives no hints")
    store.changed()
    thread, took = waiting(store)
    put(other)
    thread.join(LONG / 2)
    assert took
    assert took[0] < LONG / 2
    assert len(take(store, join(store))) == 1


def test_a_wait_ends_early_when_woken(store: Store) -> None:
    store.changed()
    thread, took = waiting(store)
    store.wake()
    thread.join(LONG / 2)
    assert took
    assert took[0] < LONG / 2


def test_a_wake_before_the_wait_is_not_forgotten(store: Store) -> None:
    """The waker cannot know whether the waiter is there already."""
    store.changed()
    store.wake()
    start = time.monotonic()
    store.wait(LONG)
    assert time.monotonic() - start < LONG / 2


def test_a_change_just_before_the_wait_is_not_missed(store: Store, other: Store) -> None:
    if not store.capabilities.hints:
        pytest.skip("this store gives no hints")
    store.changed()
    put(other)
    start = time.monotonic()
    store.wait(LONG)
    assert time.monotonic() - start < LONG / 2


def test_what_is_done_while_waiting_goes_on(store: Store, other: Store) -> None:
    """A wait must not keep others from the store."""
    store.changed()
    thread, _ = waiting(store)
    jobs = [put(other) for _ in range(20)]
    assert len(take(other, join(other))) == len(jobs)
    store.wake()
    thread.join(LONG / 2)
    assert not thread.is_alive()
