"""PostgreSQL: changing waiting jobs beside claims and beside many jobs, the age of long lines, and who is woken by what."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from packhorse._outcome import succeeded
from packhorse._record import DEFAULT_STEP
from packhorse._steering import Edit
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock
from packhorse._stores.postgres import look, pace
from packhorse._stores.postgres.queries import sql
from packhorse._stores.postgres.server import OPTIONS
from tests.conformance.making import SECOND, T0, join, new_job, put, reserving, settle, take, the
from tests.servers.postgres import database_of, fresh_schema_url

from .test_postgres_plans import touched

HOUR = 3600 * SECOND


@pytest.fixture
def url() -> str:
    url = fresh_schema_url()
    with closing(open_store(url)) as store:
        store.migrate()
    return url


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(frozen=T0)


@pytest.fixture
def store(url: str, clock: SettableClock) -> Iterator[Store]:
    with closing(open_store(url, clock=clock)) as opened:
        yield opened


# -- edits ----------------------------------------------------------------------------------------------------------------
def test_jobs_that_are_moved_about_while_they_are_claimed_run_once_each(url: str, store: Store) -> None:
    """Nobody claims one that is being moved, none is lost on the way, and the counts are right in the end."""
    jobs = [new_job("a") for _ in range(240)] + [new_job("a", **reserving(f"r{number % 7}")) for number in range(60)]
    ids = [answer.id for answer in store.enqueue(jobs)]
    ran: Counter[str] = Counter()
    over, wrong = threading.Event(), []

    def move(number: int) -> None:
        with closing(open_store(url)) as mine:
            for turn in range(10_000):
                if over.is_set():
                    return
                some = ids[(turn * 37 + number * 11) % len(ids) :][:25]
                mine.edit(some, Edit(queue="ab"[(turn + number) % 2], priority=turn % 3, tags=f'["{turn}"]'))

    def work(number: int) -> None:
        with closing(open_store(url)) as mine:
            worker = join(mine, f"w{number}")
            for call in range(1, 10_000):
                mine.admit()
                claimed = take(mine, worker, 7, queues=["a", "b"], claim_no=call)
                ran.update(job.id for job in claimed)
                settle(mine, *(succeeded(job, None) for job in claimed))
                if len(ran) == len(ids):
                    return
            wrong.append(f"only {len(ran)} of {len(ids)} ever came")

    movers = [threading.Thread(target=move, args=(number,), daemon=True) for number in range(2)]
    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(2)]
    for thread in (*movers, *workers):
        thread.start()
    for thread in workers:
        thread.join(120)
    over.set()
    for thread in movers:
        thread.join(60)
    assert wrong == []
    assert (len(ran), set(ran.values())) == (300, {1})
    counts = [queue.counts for queue in store.queues()]
    assert sum(count.get("succeeded", 0) for count in counts) == 300
    assert all(not number for count in counts for state, number in count.items() if state != "succeeded")


def test_a_waiting_job_in_a_paused_queue_lets_those_behind_it_pass(store: Store) -> None:
    join(store)
    first, second = (put(store, "open", **reserving("disk")) for _ in range(2))
    holder = put(store, "open", **reserving("disk"), delay=1.0)
    assert store.edit([holder], Edit(delay=0.0)).done == (holder,)
    store.pause("closed")
    store.admit()
    assert [the(store, job).state for job in (first, second, holder)] == ["queued", "blocked", "blocked"]
    store.edit([second], Edit(queue="closed"))
    worker = join(store, "w2")
    settle(store, *(succeeded(job, None) for job in take(store, worker)))
    store.admit()
    assert [the(store, job).state for job in (first, second, holder)] == ["succeeded", "blocked", "queued"]


BACKLOG, CHANGED = 3_000, 100


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_an_edit_looks_at_what_it_changes_whatever_the_server_reckons(url: str, mode: str) -> None:
    """Of a backlog of which the server has no statistics."""
    schema = url.partition("schema=")[2]
    with (
        closing(open_store(url)) as store,
        psycopg.connect(database_of(url), autocommit=True, options=OPTIONS) as database,
    ):
        for table in ("jobs", "ready"):
            database.execute(f"ALTER TABLE {schema}.{table} SET (autovacuum_enabled = false)".encode())
        for _ in range(BACKLOG // 1000):
            store.enqueue([new_job() for _ in range(1000)])
        database.execute(f"SET plan_cache_mode = {mode}".encode())
        database.execute(b"PREPARE change (text) AS " + sql(schema, "steer", "rewrite"))
        (document,) = database.execute(
            f"""SELECT json_agg(json_build_object(
                    'seq', j.seq, 'kind', j.kind, 'payload', j.payload, 'stays', true, 'old_line', j.line, 'old_rank', j.rank,
                    'line', j.line, 'rank', j.rank - 1, 'priority', 1))::text
                  FROM (SELECT * FROM {schema}.jobs ORDER BY seq LIMIT {CHANGED}) AS j""".encode()
        ).fetchone() or ("",)
        row = database.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE change ('{document}')".encode()).fetchone()
        moved = database.execute(f"SELECT count(*) FROM {schema}.ready WHERE priority = 1".encode()).fetchone()
    assert row is not None
    assert moved == (CHANGED,)
    assert touched(row[0][0], "ready") <= 3 * CHANGED
    assert touched(row[0][0], "jobs") <= 3 * CHANGED


# -- the age of a line ----------------------------------------------------------------------------------------------------
def test_the_oldest_of_a_long_line_is_found_among_the_heads(
    store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are more jobs than are looked at, the first of each priority is."""
    monkeypatch.setattr(look, "_COUNT_LIMIT", 5)
    store.set_step("mail", HOUR)
    oldest = the(store, put(store)).created_at
    clock.advance(1800)
    store.enqueue([new_job(priority=1) for _ in range(8)])
    clock.advance(60)
    (queue,) = store.queues()
    assert (queue.step, queue.oldest_ready_at) == (HOUR, oldest)
    store.set_step("mail", None)
    (queue,) = store.queues()
    assert queue.step == DEFAULT_STEP


# -- who is woken ---------------------------------------------------------------------------------------------------------
class Ear:
    """Hears the notifications of a store."""

    def __init__(self, url: str, store: Any) -> None:
        self._database = psycopg.connect(database_of(url), autocommit=True)
        self._database.execute(f'LISTEN "{store._channel}"'.encode())

    def heard(self) -> int:
        """Return how many have come since: those of a session arrive before the answer to whatever it asks next."""
        self._database.execute("SELECT 1")
        return len(list(self._database.notifies(timeout=0)))

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of ``pace``; ``now`` is in seconds."""
    tick = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: tick.now))
    return tick


def test_each_job_that_comes_alone_is_told_of(url: str, store: Store, tick: SimpleNamespace) -> None:
    with closing(Ear(url, store)) as ear:
        for _ in range(5):
            tick.now += 0.02
            put(store)
        assert ear.heard() == 5


def test_many_jobs_are_told_of_ten_times_a_second(url: str, store: Store, tick: SimpleNamespace) -> None:
    with closing(Ear(url, store)) as ear:
        for _ in range(100):
            tick.now += 0.002
            put(store)
        assert 2 <= ear.heard() <= 3
        tick.now += 0.101
        store.enqueue([new_job() for _ in range(50)])
        tick.now += 0.02
        store.enqueue([new_job() for _ in range(50)])
        assert ear.heard() == 1


def test_a_process_that_stores_few_does_not_tell_of_each_while_others_store_many(
    url: str, store: Store, tick: SimpleNamespace
) -> None:
    put(store)
    with closing(open_store(url)) as others:
        others._tell = lambda jobs: None  # type: ignore[attr-defined]  # they tell of it themselves
        with closing(Ear(url, store)) as ear:
            told = []
            for _ in range(6):
                others.enqueue([new_job() for _ in range(20)])
                tick.now += 0.02
                put(store)
                told.append(ear.heard())
    assert sum(told) <= 2
