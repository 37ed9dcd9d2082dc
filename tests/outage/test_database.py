"""``packhorse db`` on servers: making, looking, and printing what somebody else is to run."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest

from packhorse import Queue, _runtime
from packhorse._stores import open_store
from packhorse._stores.postgres.migrate import STEPS
from tests.outage.outpost import Ran
from tests.servers import postgres, redis

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("schema", ["packhorse", "jobs_of_mine"])
def test_what_db_sql_prints_makes_a_whole_store(run: Callable[..., Ran], schema: str) -> None:
    database = postgres.fresh_url()
    url = database if schema == "packhorse" else f"{database}?schema={schema}"
    printed = run("-m", "packhorse", "db", "sql", PACKHORSE_URL=url)
    assert printed.code == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(printed.text.encode())
        (found,) = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'packhorse'").fetchone() or ()
    assert found == (schema == "packhorse")
    assert Queue("work", store=url).enqueue("x.y").state == "queued"
    _runtime.forget()
    assert run("-m", "packhorse", "db", "migrate", PACKHORSE_URL=url) == Ran(
        0, f"{url} is at schema {len(STEPS)}, current\n"
    )


def test_db_migrate_and_status_on_postgresql(run: Callable[..., Ran]) -> None:
    url = f"{postgres.fresh_url()}?schema=mine"
    before = run("-m", "packhorse", "db", "status", PACKHORSE_URL=url)
    assert before.code == 78
    assert "packhorse db migrate" in before.text
    made = run("-m", "packhorse", "db", "migrate", PACKHORSE_URL=url)
    taken = "".join(f"✓ {step}\n" for step in STEPS)
    assert made.text == f"{taken}{url} is at schema {len(STEPS)}, current\n"
    about = json.loads(run("-m", "packhorse", "db", "status", "--json", PACKHORSE_URL=url).text)
    store = open_store(url)
    assert (about["kind"], about["schema"], about["instance"]) == ("PostgreSQL", len(STEPS), store.instance)
    assert about.get("promise", "") == store.capabilities.promise
    store.close()


def test_db_on_redis(run: Callable[..., Ran]) -> None:
    url = redis.fresh_url()
    assert run("-m", "packhorse", "db", "migrate", PACKHORSE_URL=url) == Ran(0, f"{url} is current\n")
    about = json.loads(run("-m", "packhorse", "db", "status", "--json", PACKHORSE_URL=url).text)
    assert about["kind"] == "Redis"
    assert "lost" in about["promise"]
    assert "schema" not in about
    assert "-- a Redis store has no tables" in run("-m", "packhorse", "db", "sql", PACKHORSE_URL=url).text
