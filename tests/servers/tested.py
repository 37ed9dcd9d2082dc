"""Which servers this run has met, and which not: what was not tested is said, at the very end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable

#: What the stores are meant for. A version is told by the beginning of its number.
MEANT = (
    *(("PostgreSQL", version) for version in ("14", "15", "16", "17", "18")),
    ("PgBouncer", ""),
    *(("Redis", version) for version in ("6.2", "7", "8")),
    ("Valkey", ""),
    ("Redis Sentinel", ""),
    ("Redis Cluster", ""),
)
#: Words in the names of tests that pass only with such a server.
_TOLD_BY_TESTS = {"sentinel": "Redis Sentinel", "cluster": "Redis Cluster", "pgbouncer": "PgBouncer"}


def met() -> set[str]:
    """Return the servers that tests of this process have used, with their versions."""
    return _postgres() | _redis()


def met_by(test: str) -> set[str]:
    """Return the server that a test which has passed must have used, as its name says."""
    if not test.startswith(("tests/conformance/", "tests/outage/", "tests/stores/")):
        return set()
    return {server for word, server in _TOLD_BY_TESTS.items() if word in test.lower()}


def _postgres() -> set[str]:
    module = sys.modules.get("tests.servers.postgres")
    if module is None or not module.shared_url.cache_info().currsize:
        return set()
    import psycopg

    with psycopg.connect(module.database_of(module.shared_url())) as connection:
        found = {f"PostgreSQL {connection.info.parameter_status('server_version')}".partition(" (")[0]}
    return found | ({"PgBouncer"} if os.environ.get("PACKHORSE_TEST_PGBOUNCER_URL") else set())


def _redis() -> set[str]:
    module = sys.modules.get("tests.servers.redis")
    if module is None or not module._shared.cache_info().currsize:
        return set()
    import redis

    with redis.Redis.from_url(f"{module._shared()[0]}/0") as client:
        info = client.info("server")
    if info.get("server_name") == "valkey":
        return {f"Valkey {info['valkey_version']}"}
    return {f"Redis {info['redis_version']}"}


def line(found: Iterable[str]) -> str:
    """Return what to say of a run that has met these servers."""
    found = sorted(found)
    missing = [f"{name} {version}".strip() for name, version in MEANT if not _is_among(name, version, found)]
    said = f"Servers tested: {', '.join(found) or 'none'}. "
    if not missing:
        return said + "None is missing."
    return (
        f"{said}NOT tested: {', '.join(missing)}. What is on PATH is used, or what PACKHORSE_TEST_POSTGRES_URL, "
        "PACKHORSE_TEST_PGBOUNCER_URL and PACKHORSE_TEST_REDIS_URL name."
    )


def _is_among(name: str, version: str, found: Iterable[str]) -> bool:
    wanted = re.compile(
        rf"{re.escape(name)}( {re.escape(version)}\b.*)?" if version else rf"{re.escape(name)}( [\d.]+)?"
    )
    return any(wanted.fullmatch(each) and (not version or each != name) for each in found)
