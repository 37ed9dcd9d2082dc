"""The running number of batches: on every store the same, and taken once however many want one."""

from __future__ import annotations

import json
import threading

from packhorse._batches import flow_of, next_number
from packhorse._owning import Declared, apply, publish
from packhorse._rule import every
from packhorse._schedule import encode, spec
from packhorse._store import Store

from .conftest import Open
from .making import new_job


def test_numbers_begin_at_one_and_never_come_again(store: Store) -> None:
    assert [next_number(store) for _ in range(3)] == [1, 2, 3]
    store.enqueue([new_job(flow=flow_of(3))])
    assert next_number(store) == 4


def test_they_go_on_behind_batches_that_came_from_elsewhere(store: Store) -> None:
    store.enqueue([new_job(flow=flow) for flow in ("batch-7", "batch-40", "batch-x", "other")])
    assert [next_number(store), next_number(store)] == [41, 42]


def test_they_and_schedules_leave_each_other_alone(store: Store) -> None:
    assert next_number(store) == 1
    specs = {"nightly": encode(spec(every("1h", "it"), new_job(), where="it"))}
    apply(store, lambda book: publish(book, Declared("tasks", "b1", specs)))
    assert next_number(store) == 2
    book = store.schedules()
    assert json.loads(book.builds)["tasks"]["builds"] == ["b1"]
    assert [schedule.name for schedule in book.schedules or ()] == ["nightly"]


def test_no_two_get_the_same(store: Store, open_another: Open) -> None:
    taken: list[int] = []
    stores = [store, open_another(), open_another()]

    def take(store: Store) -> None:
        taken.extend(next_number(store) for _ in range(5))

    threads = [threading.Thread(target=take, args=(store,)) for store in stores]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(taken) == list(range(1, 16))
