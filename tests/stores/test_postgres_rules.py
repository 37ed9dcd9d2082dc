"""PostgreSQL: the waiting rules beside transactions that are open, beside many jobs, and after an upgrade."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from packhorse._admission import Admitted, Obstacle
from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._stores.postgres import migrate
from packhorse._stores.postgres.queries import in_schema, sql
from packhorse.errors import KeyBusy, UniqueConflict
from tests.conformance.making import ERROR, join, new_job, put, settle, state, take, the
from tests.servers.postgres import database_of, fresh_schema_url

TABLES = ("waits", "wants", "held", "edges", "members", "flows", "freed", "gates", "places", "limits", "rates")


@pytest.fixture
def url() -> str:
    url = fresh_schema_url()
    with closing(open_store(url)) as store:
        store.migrate()
    return url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as opened:
        yield opened


def schema_of(url: str) -> str:
    return url.partition("schema=")[2]


def run(user: psycopg.Connection[Any], steps: Any) -> Any:
    """Do an act of ``Inside`` on a connection of a user's own."""
    rows: Any = None
    try:
        while True:
            step = steps.send(rows)
            try:
                cursor = user.execute(*step)
                rows = cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                rows = steps.throw(error)
    except StopIteration as end:
        return end.value


def plainly(url: str, user: psycopg.Connection[Any], name: str, *values: Any) -> None:
    """Run one of the two statements of a settle on a connection of its own."""
    verb = {"plain": "settle", "aftermath": "ties"}[name]
    psycopg.RawCursor(user).execute(sql(schema_of(url), verb, name), values)


def admit(store: Store) -> int:
    """Admit until there is no more."""
    done = 0
    while True:
        answer = store.admit()
        done += answer.admitted
        if not answer.more:
            return done


# -- a job stored while its parent ends ----------------------------------------------------------------------------------
def ending(url: str, store: Store, user: psycopg.Connection[Any], job: Any) -> None:
    """Do the first statement of a settle."""
    plainly(url, user, "plain", None, store._ns, job.id, job.token, "1", "1", "3", None)  # type: ignore[attr-defined]


def after_it(url: str, store: Store, user: psycopg.Connection[Any], job: Any) -> None:
    """Do the second."""
    plainly(url, user, "aftermath", store._ns, job.id)  # type: ignore[attr-defined]


def test_an_edge_made_between_the_two_statements_of_a_settle_is_seen_by_the_second(url: str, store: Store) -> None:
    worker = join(store)
    parent = put(store)
    (job,) = take(store, worker)
    with psycopg.connect(database_of(url)) as user:
        ending(url, store, user, job)
        child = put(store, after=(parent,))
        assert store.admit() == Admitted(0, 0, False, True, None)
        after_it(url, store, user, job)
        user.commit()
    assert (admit(store), state(store, child)) == (1, "queued")


def test_an_edge_made_after_both_and_looked_at_before_the_commit_hangs_nobody(url: str, store: Store) -> None:
    worker = join(store)
    parent = put(store)
    (job,) = take(store, worker)
    with psycopg.connect(database_of(url)) as user:
        ending(url, store, user, job)
        after_it(url, store, user, job)
        child = put(store, after=(parent,))
        start = time.monotonic()
        assert store.admit() == Admitted(0, 0, False, True, None)
        assert time.monotonic() - start < 5, "who ends the parent just now was waited for"
        user.commit()
    assert (admit(store), state(store, child)) == (1, "queued")


@pytest.mark.parametrize("at_first", [True, False])
def test_nor_does_one_that_follows_a_flow(url: str, store: Store, at_first: bool) -> None:
    worker = join(store)
    put(store, flow="f")
    (job,) = take(store, worker)
    with psycopg.connect(database_of(url)) as user:
        ending(url, store, user, job)
        if at_first:
            after_it(url, store, user, job)
        follower = put(store, after_flow="f")
        assert store.admit() == Admitted(0, 0, False, True, None)
        if not at_first:
            after_it(url, store, user, job)
        user.commit()
    assert (admit(store), state(store, follower)) == (1, "queued")


def test_a_parent_completed_in_an_open_transaction_holds_up_nobody(url: str, store: Store) -> None:
    worker = join(store)
    parent = put(store)
    (job,) = take(store, worker)
    inside = store.inside
    assert inside is not None
    with psycopg.connect(database_of(url)) as user:
        assert run(user, inside.complete(job.id, job.token, "3", None))
        child, other = put(store, after=(parent,)), put(store, holds=(("x", "a"),))
        assert admit(store) == 1
        assert [state(store, each) for each in (child, other)] == ["blocked", "queued"]
        user.commit()
    assert (admit(store), state(store, child)) == (1, "queued")


# -- keys and parents in transactions of users' own ------------------------------------------------------------------------
def test_a_key_in_an_open_transaction_is_waited_for_three_seconds(url: str, store: Store) -> None:
    inside = store.inside
    assert inside is not None
    with psycopg.connect(database_of(url)) as user:
        first = run(user, inside.enqueue([new_job(unique="k")])).jobs[0].id
        start = time.monotonic()
        with pytest.raises(KeyBusy) as caught:
            store.enqueue([new_job(), new_job(unique="k")])
        assert 2.5 < time.monotonic() - start < 10
        assert caught.value.code == "E108"
        with psycopg.connect(database_of(url)) as another, pytest.raises(KeyBusy):
            run(another, inside.enqueue([new_job(unique="k")]))
        user.commit()
    answer = store.enqueue([new_job(unique="k")])[0]
    assert (answer.id, answer.existing) == (first, True)
    assert store.queues()[0].counts == {"queued": 1}


def test_a_users_limit_on_locks_is_left_as_it_was(url: str, store: Store) -> None:
    inside = store.inside
    assert inside is not None
    with psycopg.connect(database_of(url)) as user:
        user.execute("SET lock_timeout = '77s'")
        run(user, inside.enqueue([new_job(unique="k", flow="f", holds=(("x", "a"),))]))
        assert user.execute("SHOW lock_timeout").fetchone() == ("77s",)


def test_a_key_that_an_old_view_of_the_database_cannot_see(url: str, store: Store) -> None:
    inside = store.inside
    assert inside is not None
    with psycopg.connect(database_of(url)) as user:
        user.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        user.execute("SELECT 1 FROM pg_class LIMIT 1").fetchone()
        put(store, unique="k")
        with pytest.raises(UniqueConflict, match="cannot see it") as caught:
            run(user, inside.enqueue([new_job(unique="k")]))
        assert caught.value.code == "E109"


def test_a_parent_of_an_uncommitted_job_is_neither_deleted_nor_held_up(url: str, store: Store) -> None:
    worker = join(store)
    parent = put(store)
    inside = store.inside
    assert inside is not None
    with psycopg.connect(database_of(url)) as user:
        child = run(user, inside.enqueue([new_job(after=(parent,))])).jobs[0].id
        (job,) = take(store, worker)
        assert settle(store, succeeded(job, "3")) == []
        assert store.prune({"succeeded": 0}) == 0
        user.commit()
    assert store.delete(JobFilter(ids=(parent,))).refused == (parent,)
    assert (admit(store), state(store, child)) == (1, "queued")


# -- costs ------------------------------------------------------------------------------------------------------------------
def rows_of(url: str, table: str) -> int:
    with psycopg.connect(database_of(url)) as database:
        row = database.execute(f"SELECT count(*) FROM {schema_of(url)}.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_a_plain_job_has_no_row_in_any_table_of_the_rules(url: str, store: Store) -> None:
    worker = join(store)
    store.admit()
    store.enqueue([new_job() for _ in range(20)])
    put(store, delay=0.001)
    jobs = take(store, worker)
    settle(store, *(succeeded(job, "3") for job in jobs[1:]))
    settle(store, failed(jobs[0], Backoff(0), ERROR))
    store.cancel(JobFilter(queue="mail"))
    assert not store.freed
    assert {table: rows_of(url, table) for table in TABLES} == dict.fromkeys(TABLES, 0)


def test_nothing_is_left_of_jobs_with_rules_that_are_gone(url: str, store: Store) -> None:
    worker = join(store)
    parent = put(store, flow="f", holds=(("l", "a"),))
    store.set_limits({"a": "2"})
    put(store, after=(parent,), flow="f", holds=(("l", "a"), ("s", "b"), ("x", "c")), unique="k")
    put(store, after_flow="f", flow="f")
    for number in range(1, 4):
        admit(store)
        for job in take(store, worker, claim_no=number):
            settle(store, succeeded(job, "3"))
    assert store.queues()[0].counts == {"succeeded": 3}
    store.delete(JobFilter(flow="f"))
    admit(store)
    left = {table: rows_of(url, table) for table in TABLES}
    assert left == {**dict.fromkeys(TABLES, 0), "limits": 1, "places": 1, "gates": left["gates"]}


def blocks(url: str, verb: str, name: str, values: list[Any]) -> int:
    """Return how many pages a statement looks at."""
    statement = sql(schema_of(url), verb, name)
    with psycopg.connect(database_of(url), cursor_factory=psycopg.RawCursor) as database:
        row = database.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, values).fetchone()
        database.rollback()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_a_long_line_is_looked_at_no_further_than_somebody_may_go(url: str, store: Store) -> None:
    join(store)
    for _ in range(3):
        store.enqueue([new_job(holds=(("x", "a"),)) for _ in range(1000)])
    assert admit(store) == 1
    with psycopg.connect(database_of(url), autocommit=True) as database:
        for table in TABLES:
            database.execute(f"VACUUM ANALYZE {schema_of(url)}.{table}".encode())
        open_queues = [row[0] for row in database.execute(f"SELECT queue FROM {schema_of(url)}.gates".encode())]
    line = '[{"name": "a", "sharing": true, "taking": true, "places": null, "behind": 0}]'
    assert blocks(url, "admit", "line_up", [store._ns, line, open_queues, 300]) < 60  # type: ignore[attr-defined]
    want = '[{"seq": 1, "place": 2999, "mode": "x", "name": "a", "places": null}]'
    assert blocks(url, "admit", "kept_out", [store._ns, want, open_queues]) < 60  # type: ignore[attr-defined]


def test_a_settle_looks_for_edges_only_where_there_are_any(url: str, store: Store) -> None:
    ids = [put(store) for _ in range(100)]
    values = [store._ns, "\x1e".join(ids)]  # type: ignore[attr-defined]
    assert blocks(url, "ties", "aftermath", values) < 10


# -- upgrades -----------------------------------------------------------------------------------------------------------------
def test_an_upgrade_keeps_jobs_and_those_in_side_lines_stay_parked() -> None:
    url = fresh_schema_url()
    schema, id, parked = schema_of(url), str(uuid.uuid4()), str(uuid.uuid4())
    with psycopg.connect(database_of(url), autocommit=True) as database:
        database.execute(f'CREATE SCHEMA "{schema}"'.encode())
        for statement in migrate.statements(migrate.script("0001_initial")):
            database.execute(in_schema(statement, schema).encode())
        database.execute(f"INSERT INTO {schema}.meta VALUES ('schema', '1'), ('instance', 'x')".encode())
        database.execute(f"INSERT INTO {schema}.namespaces (name) VALUES ('default')".encode())
        database.execute(
            f"INSERT INTO {schema}.lines (ns, name, side_of) VALUES (1, 'mail', NULL), (1, 'mail#m:f', 1)".encode()
        )
        database.execute(f"INSERT INTO {schema}.kinds (ns, queue, task) VALUES (1, 1, 'm:f')".encode())
        for job, number, line, shelf in ((id, 0, 1, "NULL"), (parked, 4, 2, "4")):
            database.execute(
                f"""INSERT INTO {schema}.jobs (created_at, rank, ns, kind, line, state, shelf, priority, id, payload)
                VALUES (5, 5, 1, 1, {line}, {number}, {shelf}, 0, '{job}', '[[],{{}}]')""".encode()
            )
        database.execute(
            f"INSERT INTO {schema}.ready (rank, seq, line, priority, solo) VALUES (5, 1, 1, 0, false)".encode()
        )
    with closing(open_store(url)) as store:
        assert store.migrate() == list(migrate.STEPS[1:])
        assert (the(store, id).state, the(store, id).parked, the(store, id).unique_held) == ("queued", False, False)
        assert (the(store, parked).state, the(store, parked).parked) == ("blocked", True)
        assert store.admit() == Admitted(0, 0, False, False, None)
        assert store.resolve(["mail#m:f"]) == 1
        child = put(store, after=(id,))
        worker = join(store)
        assert {job.id for job in take(store, worker, lines=("mail#m:f",))} == {id, parked}
        admit(store)
        assert store.obstacles([child]) == [Obstacle("after", id)]


def test_jobs_by_the_thousand_wait_for_one_and_are_let_go(store: Store) -> None:
    worker = join(store)
    parent = put(store)
    store.enqueue([new_job(after=(parent,)) for _ in range(2500)])
    assert admit(store) == 0
    (job,) = take(store, worker)
    settle(store, succeeded(job, "3"))
    assert admit(store) == 2500
