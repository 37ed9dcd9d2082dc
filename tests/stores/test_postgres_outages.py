"""PostgreSQL: killed, silent, restarted, cut off; and its tables taken away while they are in use."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from packhorse._outcome import succeeded
from packhorse._record import NewJob
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse.errors import BadSchema, EnqueueUnknown, SchemaGone, StoreRefused, StoreUnavailable
from tests.conformance.making import beat, join, new_job, put, settle, state, take, the
from tests.servers.postgres import Server, database_of, fresh_schema_url, fresh_url, shared_url, with_option


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("postgres"))
    made.start()
    yield made
    made.remove()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    opened = open_store(with_option(server.url, f"schema=t{uuid.uuid4().hex}"))
    opened.migrate()
    yield opened
    opened.close()


def until_back(store: Store, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            store.now()
            return
        except StoreUnavailable:
            assert time.monotonic() < deadline


def test_a_killed_server_loses_nothing_that_was_acknowledged(server: Server, store: Store) -> None:
    """Killed while several producers store jobs: each job is stored, or its producer was told that it may not be."""
    acknowledged: list[str] = []
    failures: list[Exception] = []
    enough = threading.Event()

    def produce() -> None:
        mine = open_store(database_url(server, store))
        try:
            while True:
                acknowledged.append(put(mine))
                if len(acknowledged) > 100:
                    enough.set()
        except StoreUnavailable as error:
            failures.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=produce) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    server.kill()
    for thread in threads:
        thread.join(60)
    server.start()
    until_back(store)
    assert len(failures) == 3
    stored = {job.id for job in store.get(acknowledged)}
    assert stored == set(acknowledged)
    assert store.queues()[0].counts["queued"] >= len(acknowledged)
    for error in failures:
        if isinstance(error, EnqueueUnknown):
            assert len(store.get([error.job_id])) in (0, 1)


def database_url(server: Server, store: Store) -> str:
    return with_option(server.url, "schema=" + store.url.partition("schema=")[2])


def test_a_restart_between_two_calls_is_not_noticed(server: Server, store: Store) -> None:
    """The server says goodbye to an idle session; nothing was on its way, so nothing is uncertain."""
    put(store)
    server.restart()
    put(store)
    assert store.queues()[0].counts["queued"] == 2


def test_a_silent_server_is_given_up_in_time(server: Server, store: Store) -> None:
    worker, job = join(store), put(store)
    store.patience = 1.0
    server.pause()
    try:
        for call in (lambda: put(store), lambda: take(store, worker), store.now, lambda: store.get([job])):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable):
                call()
            assert time.monotonic() - start < 10
    finally:
        server.resume()
    until_back(store)
    assert [claimed.id for claimed in take(store, worker) if claimed.id == job] == [job]


def test_an_enqueue_whose_answer_is_lost_says_so_and_may_be_repeated(server: Server, store: Store) -> None:
    put(store)
    job = new_job()
    store.patience = 0.5
    server.pause()
    try:
        with pytest.raises(EnqueueUnknown) as unknown:
            store.enqueue([job])
    finally:
        server.resume()
    assert unknown.value.job_id == job.id
    until_back(store)
    store.patience = 15.0
    store.enqueue([job])
    assert state(store, job.id) == "queued"
    assert store.queues()[0].counts["queued"] == 2


def test_a_server_that_is_down_is_unavailable_and_not_refused(server: Server, store: Store) -> None:
    server.stop()
    try:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match="Nothing was stored") as down:
            put(store)
        assert not isinstance(down.value, EnqueueUnknown)
        with pytest.raises(StoreUnavailable):
            open_store(server.url)
        assert time.monotonic() - start < 10
    finally:
        server.start()
    put(store)


def test_a_session_that_was_ended_by_an_operator_is_begun_anew(store: Store, server: Server) -> None:
    job = put(store)
    with psycopg.connect(server.url, autocommit=True) as operator:
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'packhorse'")
    assert state(store, job) == "queued"


def test_a_listener_whose_session_was_ended_still_wakes(store: Store, server: Server) -> None:
    waiter = open_store(database_url(server, store))
    waiter.changed()
    woke: list[bool] = []
    thread = threading.Thread(target=lambda: woke.append(waiter.wait(30)))
    thread.start()
    with psycopg.connect(server.url, autocommit=True) as operator:
        deadline = time.monotonic() + 20
        while not operator.execute(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE '%news%'"
        ).fetchone():
            assert time.monotonic() < deadline
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'packhorse' AND pid <> "
            f"{store._link.pgconn.backend_pid}"  # type: ignore[attr-defined]
        )
    put(store)
    thread.join(20)
    waiter.close()
    assert woke == [True]


def test_too_many_connections_is_no_refusal(server: Server) -> None:
    with psycopg.connect(server.url, autocommit=True) as operator:
        operator.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
    with pytest.raises(StoreUnavailable, match="too many connections"):
        open_store(server.url.replace("postgres@", "few@"))


# -- tables ---------------------------------------------------------------------------------------------------------------
def test_before_migrate_every_verb_says_what_to_run() -> None:
    store = open_store(fresh_schema_url())
    for call in (
        lambda: put(store),
        store.queues,
        store.promote,
        lambda: store.claim(None, 1, 0, "w", 1),
        store.changed,
    ):
        with pytest.raises(BadSchema, match="packhorse db migrate"):
            call()
    store.migrate()
    put(store)
    store.close()


def test_an_empty_schema_is_filled() -> None:
    url = fresh_schema_url()
    schema = url.partition("schema=")[2]
    with psycopg.connect(database_of(url), autocommit=True) as operator:
        operator.execute(f"CREATE SCHEMA {schema}".encode())
    store = open_store(url)
    assert store.migrate()
    put(store)
    store.close()


@pytest.mark.parametrize("again", [False, True])
def test_tables_that_vanish_are_told_and_not_made_anew(again: bool) -> None:
    url = fresh_schema_url()
    schema = url.partition("schema=")[2]
    store = open_store(url)
    store.migrate()
    worker = join(store)
    put(store)
    with psycopg.connect(database_of(url), autocommit=True) as operator:
        operator.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    if again:
        other = open_store(url)
        other.migrate()
        other.close()
    with pytest.raises(SchemaGone):
        beat(store, worker)
    if not again:
        with pytest.raises(SchemaGone):
            put(store)
    store.close()


def test_a_newer_schema_is_refused() -> None:
    url = fresh_schema_url()
    schema = url.partition("schema=")[2]
    store = open_store(url)
    store.migrate()
    store.close()
    with psycopg.connect(database_of(url), autocommit=True) as operator:
        operator.execute(f"UPDATE {schema}.meta SET value = '99' WHERE key = 'schema'".encode())
    newer = open_store(url)
    for call in (newer.queues, newer.migrate):
        with pytest.raises(BadSchema, match="99"):
            call()
    newer.close()


# -- rights ---------------------------------------------------------------------------------------------------------------
GRANTS = """
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
"""


def test_a_role_without_ddl_does_everything_but_migrate(tmp_path: Path) -> None:
    url = fresh_url()
    role = f"r{uuid.uuid4().hex}"
    owner = open_store(url)
    owner.migrate()
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
        for statement in GRANTS.format(schema="packhorse", role=role).strip().splitlines():
            operator.execute(statement.encode())
    store = open_store(url.replace("postgres@", f"{role}@"), namespace="theirs")
    worker = join(store)
    job = put(store)
    (claimed,) = take(store, worker)
    assert settle(store, succeeded(claimed, "1")) == []
    assert beat(store, worker).alive
    assert store.migrate() == []
    store.freeze("elsewhere")
    store.thaw()
    assert store.pause("mail")
    assert store.resume("mail")
    assert the(store, job).result == "1"
    assert store.prune({"succeeded": 3600}) == 0
    store.set_limits({"smtp": "10/1s"})
    child = put(store, after=(job,), holds=(("l", "smtp"), ("x", "disk")), flow="f", unique="k")
    assert store.admit().admitted == 1
    assert [flow.id for flow in store.flows()] == ["f"]
    assert store.obstacles([child]) == [None]
    store.import_settings(store.export_settings())
    assert store.cancel(JobFilter(ids=(child,))).done == (child,)
    assert store.delete(JobFilter(flow="f")).done == (child,)
    store.leave(worker)
    another = open_store(url.replace("postgres@", f"{role}@") + "?schema=another")
    with pytest.raises(StoreRefused, match="GRANT"):
        another.migrate()
    another.close()
    store.close()
    owner.close()


def test_a_page_of_the_guide_has_these_grants() -> None:
    page = (Path(__file__).parents[2] / "docs/guides/postgresql.md").read_text()
    for line in GRANTS.format(schema="packhorse", role="app").strip().splitlines():
        assert line in page


def test_a_role_without_rights_is_told_of_the_grants() -> None:
    url = fresh_url()
    role = f"r{uuid.uuid4().hex}"
    owner = open_store(url)
    owner.migrate()
    owner.close()
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute(f"CREATE ROLE {role} LOGIN".encode())
    with pytest.raises(StoreRefused, match="docs/guides/postgresql.md"):
        open_store(url.replace("postgres@", f"{role}@"))


def test_no_such_database_or_role_is_refused() -> None:
    for wrong in (shared_url().rpartition("/")[0] + "/nowhere", shared_url().replace("postgres@", "nobody_at_all@")):
        with pytest.raises(StoreRefused, match="does not exist"):
            open_store(wrong)


def test_a_session_that_may_change_nothing_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="read_only"):
        open_store(with_option(shared_url(), "options=-c%20default_transaction_read_only%3Don"))


def test_two_namespaces_share_tables_and_nothing_else() -> None:
    url = fresh_schema_url()
    one = open_store(url)
    one.migrate()
    two = open_store(url, namespace="two")
    job = NewJob("0198a2b4-0000-7000-8000-000000000001", "m:f", "mail", "[[], {}]")
    one.enqueue([job])
    two.enqueue([job._replace(payload="[[2], {}]")])
    assert [the(store, job.id).payload for store in (one, two)] == ["[[], {}]", "[[2], {}]"]
    worker = join(two)
    assert len(take(two, worker)) == 1
    assert [state(store, job.id) for store in (one, two)] == ["queued", "running"]
    assert [store.queues()[0].counts for store in (one, two)] == [{"queued": 1}, {"running": 1}]
    one.close()
    two.close()
