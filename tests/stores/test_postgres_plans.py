"""PostgreSQL: what the hot statements read and write, beside a long history and beside somebody's open transaction."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from packhorse._outcome import crashed, succeeded
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._stores.postgres.floors import LOWEST, Floors
from packhorse._stores.postgres.queries import sql
from packhorse._stores.postgres.server import OPTIONS
from packhorse._stores.postgres.store import PostgresStore
from tests.conformance.making import ERROR, join, new_job, put, settle, state, take
from tests.servers.postgres import database_of, fresh_schema_url, fresh_url

ENDED, QUEUED = 60_000, 6_000


@pytest.fixture(scope="module")
def url() -> str:
    """A store with a history ten times as long as its backlog."""
    url = fresh_schema_url()
    schema = url.partition("schema=")[2]
    with closing(open_store(url)) as store:
        store.migrate()
        put(store)
        store.delete(JobFilter(queue="mail"))
        store.enqueue([new_job(id=f"{number:036}") for number in range(QUEUED)])
    with psycopg.connect(database_of(url), autocommit=True) as database:
        database.execute(
            f"""INSERT INTO {schema}.jobs
            (created_at, rank, ns, kind, line, state, priority, id, payload, token, worker, finished_at)
            SELECT n, n, j.ns, j.kind, j.line, 5, 0, 'ended-' || n, '[[],{{}}]', 't', 'w', n
              FROM generate_series(1, {ENDED}) AS n, (SELECT * FROM {schema}.jobs LIMIT 1) AS j""".encode()
        )
        for table in ("jobs", "ready", "claims", "workers"):
            database.execute(f"VACUUM ANALYZE {schema}.{table}".encode())
    return url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as opened:
        yield opened


def plan(url: str, verb: str, name: str, values: list[Any]) -> dict[str, Any]:
    """Run a statement of the store's, take it back, and return how it went."""
    statement = sql(url.partition("schema=")[2], verb, name)
    with psycopg.connect(database_of(url), cursor_factory=psycopg.RawCursor) as database:
        row = database.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, values).fetchone()
        database.rollback()
    assert row is not None
    (found,) = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    return found  # type: ignore[no-any-return]


def scanned(found: object) -> set[str]:
    """Return the tables that were read from end to end."""
    if isinstance(found, list):
        return set().union(*map(scanned, found)) if found else set()
    if not isinstance(found, dict):
        return set()
    mine = {found["Relation Name"]} if found.get("Node Type") == "Seq Scan" and found.get("Actual Loops") else set()
    return mine.union(*(scanned(part) for part in found.values()))


SMALL = {"claims", "namespaces", "lines", "kinds", "workers"}


def test_a_claim_reads_no_history(url: str, store: Store) -> None:
    worker = join(store, "claims")
    (line,) = (row[0] for row in store._read("claim", "lines", store._ns, ["mail"]))  # type: ignore[attr-defined]
    values = [None, store._ns, [line], worker, 50, 50, "t" * 32, 1, [], [LOWEST]]  # type: ignore[attr-defined]
    found = plan(url, "claim", "take", values)
    assert scanned(found) <= SMALL
    assert found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"] < 60 * 50


BACKLOG, TAKEN = 3_000, 200


@pytest.fixture
def grown() -> str:
    """A store of its own with a backlog of which the server has no statistics."""
    url = fresh_schema_url()
    schema = url.partition("schema=")[2]
    with closing(open_store(url)) as store:
        store.migrate()
        with psycopg.connect(database_of(url), autocommit=True) as database:
            for table in ("jobs", "ready"):
                database.execute(f"ALTER TABLE {schema}.{table} SET (autovacuum_enabled = false)".encode())
        for start in range(0, BACKLOG, 1000):
            store.enqueue([new_job(id=f"{number:036}") for number in range(start, start + 1000)])
    return url


def touched(found: object, table: str) -> int:
    """Return how many rows a plan took from the scans of one table, the same row as often as it came."""
    if isinstance(found, list):
        return sum(touched(part, table) for part in found)
    if not isinstance(found, dict):
        return 0
    mine = 0
    if found.get("Relation Name") == table and "Scan" in found["Node Type"]:
        mine = (found["Actual Rows"] + found.get("Rows Removed by Filter", 0)) * found["Actual Loops"]
    return mine + sum(touched(part, table) for part in found.values())


@pytest.mark.parametrize("analyzed", [(), ("jobs",), ("jobs", "ready")], ids=["nothing", "jobs", "jobs and ready"])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_claim_looks_at_what_it_takes_whatever_the_server_reckons(
    grown: str, analyzed: tuple[str, ...], mode: str
) -> None:
    """Once it sorted the whole line, and once it looked at all jobs for each of them: where the server had seen a table empty."""
    schema = grown.partition("schema=")[2]
    with (
        closing(open_store(grown)) as store,
        psycopg.connect(database_of(grown), autocommit=True, options=OPTIONS) as database,
    ):
        for table in analyzed:
            database.execute(f"ANALYZE {schema}.{table}".encode())
        (line,) = (row[0] for row in store._read("claim", "lines", store._ns, ["mail"]))  # type: ignore[attr-defined]
        types = "bigint, bigint, int[], text, bigint, bigint, text, bigint, text[], bigint[]"
        database.execute(f"SET plan_cache_mode = {mode}".encode())
        database.execute(f"PREPARE take ({types}) AS ".encode() + sql(schema, "claim", "take"))
        row = database.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE take (NULL, {store._ns}, '{{{line}}}', '{join(store, 'grown')}', "  # type: ignore[attr-defined]
            f"{TAKEN}, {TAKEN}, '{'t' * 32}', 1, '{{}}', '{{{LOWEST}}}')".encode()
        ).fetchone()
    assert row is not None
    (found,) = row[0]
    assert touched(found, "ready") <= 3 * TAKEN
    assert TAKEN <= touched(found, "jobs") <= 3 * TAKEN


def test_a_settle_finds_each_job_by_its_id(url: str, store: Store) -> None:
    worker = join(store, "settles")
    jobs = take(store, worker, 50)
    columns = ["\x1e".join(job.id for job in jobs), ",".join(job.token for job in jobs), ",".join("1" for _ in jobs)]
    values = [None, store._ns, *columns, columns[2], "\x1e".join("3" for _ in jobs), "," * 49]  # type: ignore[attr-defined]
    assert scanned(plan(url, "settle", "plain", values)) <= SMALL
    settle(store, *(succeeded(job, "3") for job in jobs))


def test_what_is_rare_is_found_without_a_walk(url: str, store: Store) -> None:
    page = store.find(JobFilter(states=("failed", "retrying", "blocked")))
    assert (page.jobs, page.next) == ([], None)
    assert "jobs" not in scanned(plan(url, "search", "shelf_down", [[1], 1 << 60, 50, [6]]))


def test_a_jobs_life_touches_no_index(url: str) -> None:
    """From queued over running to succeeded no indexed column changes."""
    schema = url.partition("schema=")[2]
    with psycopg.connect(database_of(url)) as database:
        rows = database.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = 'jobs'", (schema,)
        ).fetchall()
    changed = {
        "state",
        "token",
        "worker",
        "claim_no",
        "fence",
        "started_at",
        "finished_at",
        "result",
        "reason",
        "error",
    }
    for (definition,) in rows:
        columns = set(re.findall(r"\w+", definition.partition(" USING ")[2]))
        assert not columns & changed, definition


# -- beside transactions of others --------------------------------------------------------------------------------------
def test_a_job_that_a_users_transaction_holds_is_answered_and_holds_up_no_other(url: str, store: Store) -> None:
    schema = url.partition("schema=")[2]
    worker = join(store, "locked")
    held, free = take(store, worker, 2)
    with psycopg.connect(database_of(url)) as user:
        user.execute(f"SELECT 1 FROM {schema}.jobs WHERE id = '{held.id}' FOR UPDATE".encode())
        start = time.monotonic()
        answers = settle(store, succeeded(held, "1"), succeeded(free, "1"))
        assert time.monotonic() - start < 5
        assert [(answer.job, answer.how) for answer in answers] == [(held.id, "locked")]
        assert [(answer.job, answer.how) for answer in settle(store, crashed(held, ERROR, "x"))] == [
            (held.id, "locked")
        ]
        assert store.beat(worker, 5, [(held.id, held.token)]).alive
    assert [state(store, job.id) for job in (held, free)] == ["running", "succeeded"]
    assert settle(store, succeeded(held, "1")) == []


def test_an_open_transaction_that_has_enqueued_holds_up_nobody(url: str, store: Store) -> None:
    """Neither an enqueue of a task and a queue that are new, nor a claim."""
    inside = store.inside
    assert inside is not None
    with psycopg.connect(database_of(url)) as user:
        steps = inside.enqueue([new_job("brand-new", task="m:new")])
        answer: Any = None
        try:
            while True:
                statement, values = steps.send(answer)  # type: ignore[misc]
                answer = user.execute(statement, values).fetchall()
        except StopIteration as end:
            stored = end.value
        assert inside.fate(stored.transaction) == "open"
        worker = join(store, "meanwhile")
        done = threading.Event()

        def others() -> None:
            with closing(open_store(url)) as other:
                put(other, "brand-new", task="m:new")
                take(other, worker, 1, queues=["brand-new"])
                other.queues()
            done.set()

        threading.Thread(target=others, daemon=True).start()
        assert done.wait(20)
        user.commit()
    assert inside.fate(stored.transaction) == "committed"
    assert state(store, stored.jobs[0].id) == "queued"


def test_a_deadlock_is_tried_again(url: str, store: Store) -> None:
    """Each of two transactions holds what the other wants; the server ends ours, and it is done once more."""
    schema = url.partition("schema=")[2]
    first, second = sorted(put(store, "deadly") for _ in range(2))
    with psycopg.connect(database_of(url)) as user:
        user.execute("SET deadlock_timeout = '10s'")
        user.execute(f"SELECT 1 FROM {schema}.jobs WHERE id = '{second}' FOR UPDATE".encode())
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(store.cancel(JobFilter(ids=(first, second)))))
        thread.start()
        deadline = time.monotonic() + 20
        while not user.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert time.monotonic() < deadline
        user.execute(f"SELECT 1 FROM {schema}.jobs WHERE id = '{first}' FOR UPDATE".encode())
        user.commit()
        thread.join(30)
    assert set(done[0].done) == {first, second}


# -- floors ---------------------------------------------------------------------------------------------------------------
def test_a_slow_head_is_jumped_over_and_looked_at_again() -> None:
    floors = Floors()
    floors.saw({1: 700})
    assert floors.of([1, 2]) == [LOWEST, LOWEST]
    assert [floors.took(0.5) for _ in range(3)] == [False, False, True]
    floors.begin(30.0)
    assert floors.of([1, 2]) == [700, LOWEST]
    floors.begin(0.0)
    assert floors.whole()
    floors.took(0.0001)
    assert floors.of([1, 2]) == [LOWEST, LOWEST]


def test_a_plan_made_while_there_was_little_does_not_read_whole_tables_later() -> None:
    """A session keeps its plans. What was found fastest in an empty store must not be that in a full one."""
    url = fresh_schema_url()
    schema = url.partition("schema=")[2]
    with closing(open_store(url)) as store:
        store.migrate()
        worker = join(store)
        for number in range(520):
            if number == 20:
                store.enqueue([new_job(holds=(("x", f"more-{more}"),)) for more in range(2000)])
            elif number < 20:
                put(store, holds=(("x", f"r{number}"),))
            while store.admit().more:
                pass
            (job,) = store.claim(None, 1, 0, worker, number).jobs
            store.settle(worker, [succeeded(job, "1")._replace(plain=True)])
    with psycopg.connect(database_of(url), autocommit=True) as database:
        read = database.execute(
            "SELECT relname, seq_tup_read FROM pg_stat_all_tables"
            " WHERE schemaname = %s AND relname IN ('ready', 'held', 'jobs', 'waits')",
            (schema,),
        ).fetchall()
    assert {name for name, _ in read} == {"ready", "held", "jobs", "waits"}
    assert all(rows < 50_000 for _, rows in read), read


OURS = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "statement_timeout": "15s",
    "transaction_isolation": "read committed",
}
ASKED = b"SELECT name, current_setting(name) FROM unnest($1::text[]) AS name"


@pytest.mark.parametrize("pooler", ["0", "1"])
def test_whatever_the_database_is_set_to_our_transactions_have_our_settings(pooler: str) -> None:
    """Also in a session that is not ours, where they last for one transaction: compiling one claim takes as long as a hundred."""
    url = fresh_url()
    url += ("&" if "?" in url else "?") + f"pooler={pooler}"
    name = conninfo_to_dict(database_of(url))["dbname"]
    with psycopg.connect(database_of(url), autocommit=True) as database:
        for setting in ("jit TO on", "default_transaction_isolation TO 'repeatable read'", "enable_seqscan TO on"):
            database.execute(f'ALTER DATABASE "{name}" SET {setting}'.encode())
    with closing(PostgresStore(url)) as store:
        store.migrate()
        found = store._write(lambda link, now: link.run([(ASKED, (list(OURS),))], prepare=False)[0])
        assert dict(found) == OURS
        after = store._attempted(lambda link: dict(link.run([(ASKED, (["jit"],))], prepare=False)[0]))
        assert after == {"jit": "on" if pooler == "1" else "off"}
