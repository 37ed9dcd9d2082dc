"""migrate, close, and what a store says of itself."""

from __future__ import annotations

import threading
from pathlib import Path

from packhorse._store import BATCH, Capabilities, Store

from .conftest import Open
from .making import ended, put, the


def test_a_second_migration_has_nothing_to_do(store: Store, other: Store) -> None:
    assert store.migrate() == []
    assert other.migrate() == []


def test_a_migration_keeps_the_jobs(store: Store) -> None:
    job = ended(store)
    before = the(store, job.id)
    store.migrate()
    assert the(store, job.id) == before


def test_many_may_migrate_at_once(open_another: Open) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def migrate() -> None:
        try:
            store = open_another()
            together.wait(10)
            store.migrate()
            put(store)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert open_another().queues()[0].counts["queued"] == 4


def test_all_connections_see_one_instance(store: Store, other: Store) -> None:
    assert store.instance
    assert store.instance == other.instance


def test_a_store_says_what_it_is(store: Store, url: str) -> None:
    assert isinstance(store.capabilities, Capabilities)
    assert store.capabilities.scheme == url.partition(":")[0]
    assert store.url.startswith(f"{store.capabilities.scheme}:")
    assert store.namespace == "default"
    assert BATCH == 1000


def test_locks_are_kept_where_every_process_that_shares_the_store_finds_them(store: Store, other: Store) -> None:
    place = store.lock_dir()
    assert place == other.lock_dir()
    assert place is None or (store.capabilities.processes and Path(place).is_absolute())


def test_closing_twice_is_fine_and_others_go_on(store: Store, other: Store) -> None:
    put(store)
    store.close()
    store.close()
    assert other.queues()[0].counts["queued"] == 1
