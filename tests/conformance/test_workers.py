"""register, publish, stopping, leave, workers."""

from __future__ import annotations

import pytest

from packhorse._record import WorkerRecord
from packhorse._store import Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import NameTaken

from .making import SECOND, T0, beat, die, join, put, running, take

#: On tables of its own: ids of workers are its own.
pytestmark = pytest.mark.usefixtures("url")

WORKER = WorkerRecord(
    id="a" * 32,
    name="ash-1",
    host="ash",
    pid=7,
    boot_id="boot",
    lock_path="/run/lock",
    lock_inode=99,
    queues='[["mail"]]',
    slots=4,
    version="1",
    catalogue='{"tasks": {}}',
    info='{"python": "3"}',
)


def row(store: Store, worker: str) -> WorkerRecord:
    """Return one worker, dead or alive."""
    (found,) = [found for found in store.workers(dead=True) if found.id == worker]
    return found


def test_a_worker_is_stored_as_it_tells_of_itself(store: Store) -> None:
    store.register(WORKER)
    found = row(store, WORKER.id)
    for name in "id name host pid boot_id lock_path lock_inode queues slots version catalogue info".split():
        assert getattr(found, name) == getattr(WORKER, name), name
    assert (found.state, found.beats, found.started_at, found.seen_at) == ("live", 0, T0, T0)


def test_state_beats_and_times_are_the_stores(store: Store) -> None:
    worker = join(store, state="dead", beats=99, started_at=1, seen_at=2)
    found = row(store, worker)
    assert (found.state, found.beats, found.started_at, found.seen_at) == ("live", 0, T0, T0)


def test_a_name_is_taken_while_its_worker_lives(store: Store) -> None:
    first = join(store, "ash-1")
    with pytest.raises(NameTaken):
        join(store, "ash-1")
    store.stopping(first)
    with pytest.raises(NameTaken):
        join(store, "ash-1")
    assert [found.id for found in store.workers()] == [first]


@pytest.mark.parametrize("how", ["left", "dead"])
def test_a_name_is_free_again_after_its_worker(store: Store, how: str) -> None:
    first = join(store, "ash-1")
    store.leave(first) if how == "left" else die(store, first)
    second = join(store, "ash-1")
    assert [found.id for found in store.workers()] == [second]


def test_registering_twice_is_harmless(store: Store, clock: SettableClock) -> None:
    """The reply was lost, so the same call comes again; beats may have happened in between."""
    store.register(WORKER)
    beat(store, WORKER.id)
    clock.advance(5)
    store.register(WORKER)
    found = row(store, WORKER.id)
    assert (found.beats, found.started_at, found.state) == (1, T0, "live")


def test_a_dead_worker_stays_dead_even_if_it_registers_again(store: Store) -> None:
    store.register(WORKER)
    die(store, WORKER.id)
    store.register(WORKER)
    assert row(store, WORKER.id).state == "dead"
    assert not beat(store, WORKER.id).alive


def test_publish_replaces_catalogue_and_info(store: Store) -> None:
    store.register(WORKER)
    store.publish(WORKER.id, '{"tasks": {"t": {}}}', '{"x": 1}')
    found = row(store, WORKER.id)
    assert (found.catalogue, found.info, found.name) == ('{"tasks": {"t": {}}}', '{"x": 1}', "ash-1")


def test_a_dead_worker_publishes_nothing(store: Store) -> None:
    store.register(WORKER)
    die(store, WORKER.id)
    store.publish(WORKER.id, "{}", "{}")
    store.publish("nobody", "{}", "{}")
    assert row(store, WORKER.id).catalogue == WORKER.catalogue
    assert len(store.workers(dead=True)) == 1


def test_stopping_is_shown_and_repeatable(store: Store) -> None:
    worker = join(store)
    for _ in range(2):
        store.stopping(worker)
        assert [found.state for found in store.workers()] == ["stopping"]
    store.stopping("nobody")


def test_stopping_does_not_raise_the_dead(store: Store) -> None:
    worker = join(store)
    die(store, worker)
    store.stopping(worker)
    assert row(store, worker).state == "dead"


def test_who_leaves_is_forgotten(store: Store) -> None:
    worker = join(store)
    for _ in range(2):
        store.leave(worker)
        assert store.workers(dead=True) == []
    store.leave("nobody")


def test_the_dead_stay_on_record(store: Store) -> None:
    worker = join(store)
    die(store, worker)
    store.leave(worker)
    assert row(store, worker).state == "dead"


def test_the_dead_are_shown_only_if_asked_for(store: Store) -> None:
    dead, live = join(store, "a"), join(store, "b")
    die(store, dead)
    assert [found.id for found in store.workers()] == [live]
    assert {found.id for found in store.workers(dead=True)} == {dead, live}


def test_workers_come_oldest_first(store: Store, clock: SettableClock) -> None:
    workers = []
    for name in ("c", "a", "b"):
        workers.append(join(store, name))
        clock.advance(1)
    beat(store, workers[0])
    assert [found.id for found in store.workers()] == workers
    assert [found.started_at for found in store.workers()] == [T0, T0 + SECOND, T0 + 2 * SECOND]


def test_a_worker_may_serve_every_queue(store: Store) -> None:
    assert row(store, join(store, queues=None)).queues is None


def test_stopping_leaves_what_runs_alone(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    store.stopping(worker)
    assert beat(store, worker, [job]).lost == []
    put(store)
    assert take(store, worker) == []
