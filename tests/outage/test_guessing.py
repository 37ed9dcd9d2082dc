"""Which store is used where none was named: one that is ours already, exactly one; and what makes one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from packhorse import Queue, _runtime
from packhorse._stores import open_store
from tests.outage.outpost import Ran
from tests.servers import postgres, redis

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="no worker runs there")]
ENQUEUE = "from packhorse import Queue; Queue('work').enqueue('tests.worker.tasks:add', 1, 2)"
BURST = ["-m", "packhorse", "worker", "tests.worker.tasks", "--burst"]


def ours(url: str) -> str:
    """Make a store of an empty place."""
    store = open_store(url)
    store.migrate()
    store.close()
    return url


def test_an_empty_key_space_is_made_a_store_by_a_worker_and_by_nobody_else(run: Callable[..., Ran]) -> None:
    url = redis.fresh_url()
    for words in (["-m", "packhorse", "jobs", "list"], ["-c", ENQUEUE]):
        refused = run(*words, REDIS_URL=url)
        assert refused.code in (1, 78)
        assert "none could be told for sure" in refused.text
        assert f"REDIS_URL: {url}  (" in refused.text
        assert 'to use it:  export PACKHORSE_URL="$REDIS_URL"' in refused.text
    made = run(*BURST, REDIS_URL=url)
    assert made.code == 0, made.text
    assert f"Redis store {url}  (guessed: REDIS_URL)" in made.text
    assert run("-c", ENQUEUE, REDIS_URL=url) == Ran(0, "")
    listed = run("-m", "packhorse", "jobs", "list", REDIS_URL=url)
    assert listed.code == 0
    assert f"packhorse jobs list: job store {url}  (guessed: REDIS_URL)" in listed.text
    assert run(*BURST, REDIS_URL=url).code == 0


def test_an_empty_file_is_made_a_store_by_a_worker(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "packhorse.db").touch()
    assert run("-c", ENQUEUE).code == 1
    assert (tmp_path / "packhorse.db").stat().st_size == 0
    assert f"(guessed: found {tmp_path}/packhorse.db)" in run(*BURST).text
    assert run("-c", ENQUEUE).code == 0


def test_tables_in_a_database_are_made_by_nobody_but_db_migrate(run: Callable[..., Ran]) -> None:
    url = postgres.fresh_url()
    for words in (BURST, ["-m", "packhorse", "jobs", "list"], ["-c", ENQUEUE], ["-m", "packhorse", "db", "migrate"]):
        refused = run(*words, DATABASE_URL=url)
        assert refused.code in (1, 78)
        assert "E105" in refused.text
        assert 'to use it:  export PACKHORSE_URL="$DATABASE_URL"; packhorse db migrate' in refused.text
    assert run("-m", "packhorse", "db", "migrate", PACKHORSE_URL=url).code == 0
    assert run("-c", ENQUEUE, DATABASE_URL=url) == Ran(0, "")
    assert "(guessed: DATABASE_URL)" in run(*BURST, DATABASE_URL=url).text


def test_of_several_the_one_that_is_ours_is_used(run: Callable[..., Ran], tmp_path: Path) -> None:
    """The other ones may hold anything, be away, or be empty."""
    (tmp_path / "packhorse.db").write_text("the notes of somebody about pack horses")
    mine, empty = ours(redis.fresh_url()), postgres.fresh_url()
    for other in (empty, "postgresql://nobody@127.0.0.1:1/db"):
        assert run("-c", ENQUEUE, REDIS_URL=mine, DATABASE_URL=other) == Ran(0, "")
    assert len(Queue("work", store=mine).jobs()) == 2
    _runtime.forget()


def test_several_that_are_ours_or_none_are_listed(run: Callable[..., Ran], tmp_path: Path) -> None:
    nothing = {"REDIS_URL": redis.fresh_url(), "DATABASE_URL": postgres.fresh_url()}
    both = {"REDIS_URL": ours(redis.fresh_url()), "DATABASE_URL": ours(postgres.fresh_url())}
    for environ, remark in ((nothing, "holds no job store"), (both, "is a job store")):
        for words in (BURST, ["-m", "packhorse", "jobs", "list"], ["-c", ENQUEUE]):
            refused = run(*words, **environ)
            assert refused.code in (1, 78)
            assert remark in refused.text
            assert refused.text.count("to use it:  export PACKHORSE_URL=") == 2
    assert not (tmp_path / "packhorse.db").exists()


def test_a_server_that_is_only_guessed_and_away_is_waited_for_by_a_worker(run: Callable[..., Ran]) -> None:
    environ = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    away = run(*BURST, "--no-retry", **environ)
    assert away.code == 69
    assert "(guessed: REDIS_URL)  →  connection refused" in away.text
    told = run("-m", "packhorse", "jobs", "list", **environ)
    assert told.code == 69
    assert "Try:  redis-cli -h 127.0.0.1 -p 1 ping" in told.text
