"""The one list of stores under test. A new store is added here and nowhere else in this directory."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path

from packhorse._stores import open_store

#: name → the URL of a fresh, empty store of this kind, given an empty directory
FRESH: dict[str, Callable[[Path], str]] = {
    "memory": lambda directory: f"memory://{uuid.uuid4().hex}",
    "sqlite": lambda directory: f"sqlite:///{directory}/jobs.db",
    "redis": lambda directory: _redis(),
    "postgres": lambda directory: _postgres(),
    "postgres-pooler": lambda directory: _postgres(pooler=True),
}


def _redis() -> str:
    from tests.servers.redis import fresh_url

    return fresh_url()


def _postgres(pooler: bool = False) -> str:
    from tests.servers.postgres import fresh_schema_url, pooler_url

    return pooler_url() if pooler else fresh_schema_url()


@cache
def _shared_tables(pooler: bool = False) -> str:
    url = _postgres(pooler)
    store = open_store(url)
    store.migrate()
    store.close()
    return url


#: The same for a store with tables for any number of tests, each in namespaces of its own: making tables takes ten times as long
#: as most tests do.
SHARED: dict[str, Callable[[], str]] = {
    "postgres": _shared_tables,
    "postgres-pooler": lambda: _shared_tables(pooler=True),
}


#: What is run with ``postgres-pooler``, unless a real PgBouncer is there: then all of it is. Without one this kind is the same
#: server with the same statements, sent in another way (``Connection``: none is prepared, each goes in a transaction with limits
#: of its own, nothing is listened for). That way knows nothing of what a statement means, so what a verb does is told by
#: ``postgres``, and here it is enough that every verb is called (``test_complete`` sees to it), that the stories of the models
#: come out the same, and that all goes well which depends on sessions: other connections and processes, transactions of users,
#: waiting, errors.
POOLED = (
    "claim", "exchange", "holders", "inside", "inside_rules", "migrate", "model", "model_of_rules", "persistence", "races",
    "races_of_rules", "records", "settle", "settle_fence", "sweep", "wait", "workers",
)  # fmt: skip


@cache
def is_pooled() -> bool:
    """Tell whether there is a PgBouncer."""
    return bool(os.environ.get("PACKHORSE_TEST_PGBOUNCER_URL") or shutil.which("pgbouncer"))


def says_nothing_new(kind: str, module: str) -> bool:
    """Tell whether a module of tests is left out for a kind of store, since other kinds have said all of it."""
    return kind == "postgres-pooler" and module.removeprefix("test_") not in POOLED and not is_pooled()


def chosen() -> list[str]:
    """Return the stores to test: all, or those that ``PACKHORSE_TEST_STORES`` names."""
    names = os.environ.get("PACKHORSE_TEST_STORES")
    return names.split(",") if names else list(FRESH)
