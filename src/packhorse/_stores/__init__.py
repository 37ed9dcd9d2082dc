"""Where jobs live. ``open_store`` is the one door; only ``_runtime`` goes through it."""

from __future__ import annotations

import importlib
from typing import Any

from .._store import Clock, Store
from .._url import mask
from ..errors import ConfigError, MissingExtra

#: kind → (module, class, what the module needs beyond the plain install, the extra that brings it), imported when first needed:
#: a worker on one store never loads another.
_KINDS = {
    "sqlite": ("packhorse._stores.sqlite", "SqliteStore", (), ""),
    "memory": ("packhorse._stores.memory", "MemoryStore", (), ""),
    "postgresql": ("packhorse._stores.postgres", "PostgresStore", ("psycopg",), "postgres"),
    "redis": ("packhorse._stores.redis", "RedisStore", ("redis",), "redis"),
}
#: Every scheme a store's URL may have. A driver may follow it (``postgresql+psycopg``) and means nothing.
SCHEMES = {
    "sqlite": "sqlite",
    "memory": "memory",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "valkey": "redis",
    "valkeys": "redis",
}


def open_store(url: str, *, namespace: str = "default", clock: Clock | None = None, create: bool = True) -> Store:
    """Open the store of a URL.

    ``clock`` replaces the store's own clock (µs since the epoch). With ``create=False`` a store that is not there is
    an error and nothing is made. Raises ``ConfigError`` for a scheme nobody knows, ``MissingExtra`` where a driver is not
    installed, and whatever the store raises.
    """
    scheme, kind = _loaded(url)
    if scheme == "memory":
        store: Store = kind(url, namespace, clock)
    else:
        store = kind(url, namespace, clock, create=create)
    return store


def prepare(url: str) -> None:
    """Import what the store of a URL needs, so that opening it takes no time for that. Raises as ``open_store`` does."""
    _loaded(url)


def _loaded(url: str) -> tuple[str, Any]:
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme not in SCHEMES:
        known = ", ".join(sorted(SCHEMES))
        raise ConfigError(
            f"The store URL {mask(url)!r} has the unknown scheme {scheme!r}; known are: {known}. "
            "For a file in the working directory write sqlite:///packhorse.db."
        )
    module, name, needs, extra = _KINDS[SCHEMES[scheme]]
    try:
        kind = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name not in needs:
            raise
        raise _missing(url, error.name, extra) from error
    except ImportError as error:
        # What psycopg raises where it was installed alone: it calls a C library that the host has to bring.
        if "no pq wrapper" not in str(error):
            raise
        raise _missing(url, "libpq", extra) from error
    return scheme, kind


def _missing(url: str, module: str, extra: str) -> MissingExtra:
    return MissingExtra(
        f"the job store {mask(url)} needs the library {module!r}, which is not installed here; nothing was opened.\n"
        f'  Try:  pip install "packhorse[{extra}]"'
    )
