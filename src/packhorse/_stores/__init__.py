"""Where jobs live. ``open_store`` is the one door; only ``_runtime`` goes through it."""

from __future__ import annotations

import importlib

from .._store import Clock, Store
from ..errors import ConfigError

#: scheme → (module, class), imported when first needed: a worker on one store never loads another.
_STORES = {
    "sqlite": ("packhorse._stores.sqlite", "SqliteStore"),
    "memory": ("packhorse._stores.memory", "MemoryStore"),
}


def open_store(url: str, *, namespace: str = "default", clock: Clock | None = None, create: bool = True) -> Store:
    """Open the store of a URL.

    ``clock`` replaces the store's own clock (µs since the epoch). With ``create=False`` a store that is not there is
    an error and nothing is made. Raises ``ConfigError`` for a scheme nobody knows and whatever the store raises.
    """
    scheme = url.partition(":")[0]
    if scheme not in _STORES:
        known = ", ".join(sorted(_STORES))
        raise ConfigError(
            f"The store URL {_masked(url)!r} has the unknown scheme {scheme!r}; known are: {known}. "
            "For a file in the working directory write sqlite:///packhorse.db."
        )
    module, name = _STORES[scheme]
    kind = getattr(importlib.import_module(module), name)
    if scheme == "memory":
        store: Store = kind(url, namespace, clock)
    else:
        store = kind(url, namespace, clock, create=create)
    return store


def _masked(url: str) -> str:
    """Return the URL without what stands before an ``@``, which may be a password."""
    head, _, tail = url.rpartition("@")
    scheme = head.partition("://")[0]
    return f"{scheme}://…@{tail}" if head else url
