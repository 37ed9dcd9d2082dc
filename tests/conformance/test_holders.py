"""Who has a name: how many, and the oldest of them."""

from __future__ import annotations

from packhorse._admission import Holders
from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._store import Store

from .conftest import Open
from .making import ERROR, admit, ids, join, limited, new_job, put, reserving, settle, sharing, take

ALL = ("x", "s", "l")


def test_the_oldest_come_first_whatever_their_places(store: Store) -> None:
    worker = join(store)
    store.set_limits({"a": "9"})
    jobs = [new_job(**(sharing("a", "b") if n % 2 else limited("a"))) for n in range(6)]
    found = [job.id for job in jobs]
    store.enqueue(jobs)
    assert store.holders("a", ALL) == Holders()
    admit(store)
    take(store, worker, 2)
    assert store.holders("a", ALL) == Holders(6, tuple(found))
    assert store.holders("a", ALL, 4) == Holders(6, tuple(found[:4]))
    assert store.holders("a", ("s",)) == Holders(3, tuple(found[1::2]))
    assert store.holders("a", ("l",), 1) == Holders(3, (found[0],))
    assert store.holders("a", ("x",)) == Holders()
    assert store.holders("b", ALL) == Holders(3, tuple(found[1::2]))
    assert store.holders("c", ALL) == Holders()


def test_who_waits_has_nothing_and_who_ends_or_retries_has_no_more(store: Store) -> None:
    worker = join(store)
    first, second, third = (put(store, **reserving("a")) for _ in range(3))
    admit(store)
    assert store.holders("a", ALL) == Holders(1, (first,))
    (job,) = take(store, worker)
    settle(store, failed(job, Backoff(1), ERROR))
    assert store.holders("a", ALL) == Holders()
    admit(store)
    assert store.holders("a", ("x",)) == Holders(1, (second,))
    (job,) = take(store, worker)
    settle(store, succeeded(job, None))
    admit(store)
    assert store.holders("a", ("x",)) == Holders(1, (third,))
    store.cancel(ids(third))
    assert store.holders("a", ("x",)) == Holders()


def test_each_namespace_has_names_of_its_own(store: Store, open_another: Open) -> None:
    join(store)
    put(store, **reserving("a"))
    admit(store)
    assert open_another(namespace="elsewhere").holders("a", ALL) == Holders()


def test_how_many_have_each_of_several_names(store: Store) -> None:
    worker = join(store)
    store.set_limits({"c": "9"})
    for options in (reserving("a"), sharing("b"), sharing("b"), limited("c"), reserving("a")):
        put(store, **options)
    assert store.holding(["a", "b"]) == [(0, 0, 0), (0, 0, 0)]
    admit(store)
    assert store.holding(["c", "b", "none", "a"]) == [(0, 0, 1), (0, 2, 0), (0, 0, 0), (1, 0, 0)]
    settle(store, *(succeeded(job, None) for job in take(store, worker, 4)))
    assert store.holding(["a", "b", "c"]) == [(0, 0, 0)] * 3
    assert store.holding([]) == []
