"""The last line of a run of the tests: which servers were met, and which not."""

from __future__ import annotations

import pytest

from tests.servers.tested import line, met_by

ALL = {f"PostgreSQL {n}.3" for n in range(14, 19)} | {"Redis 6.2.14", "Redis 7.4.1", "Redis 8.0", "Valkey 8.1.1"}
SHAPES = {"PgBouncer", "Redis Sentinel", "Redis Cluster"}


def test_what_was_not_met_is_named() -> None:
    said = line({"PostgreSQL 18.4", "Redis 6.2.14"})
    assert said.startswith("Servers tested: PostgreSQL 18.4, Redis 6.2.14. NOT tested: PostgreSQL 14, PostgreSQL 15, ")
    missing = said.partition("NOT tested: ")[2].partition(". ")[0].split(", ")
    assert {"PgBouncer", "Redis 7", "Redis 8", "Valkey", "Redis Sentinel", "Redis Cluster"} <= set(missing)
    assert not {"PostgreSQL 18", "Redis 6.2"} & set(missing)


def test_nothing_was_met() -> None:
    assert line([]).startswith("Servers tested: none. NOT tested: PostgreSQL 14, ")


def test_all_were_met() -> None:
    assert line(ALL | SHAPES).endswith("None is missing.")


@pytest.mark.parametrize("found", ["PostgreSQL 140.1", "Redis 70.1", "Redis Sentinel"])
def test_a_number_is_not_taken_for_another(found: str) -> None:
    said = line({found})
    assert "PostgreSQL 14, " in said
    assert "Redis 7, " in said


def test_a_test_that_needs_a_server_tells_of_it() -> None:
    assert met_by("tests/stores/test_redis_sentinel.py::test_a_failover") == {"Redis Sentinel"}
    assert met_by("tests/stores/test_sqlite_locks.py::test_x") == set()
