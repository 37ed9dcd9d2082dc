"""Queues of one host: work that has to stay where a file, a device or a cache is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ._names import queue_name

#: What the queues of hosts begin with, unless somebody says otherwise.
PREFIX = "host."

_FOREIGN = re.compile(r"[^A-Za-z0-9_:-]+")


def host_word(host: str) -> str:
    """Return a host's name as it stands in the names of queues: up to the first dot, what is not allowed there as ``-``."""
    return _FOREIGN.sub("-", host.partition(".")[0])[:100]


def this_host() -> str:
    """Return that of the host where this runs."""
    import socket  # who has no such queue need not load it

    return host_word(socket.gethostname())


def filled(name: str) -> str:
    """Return the name of a queue in which ``%h`` stands for this host."""
    return name.replace("%h", this_host()) if "%h" in name else name


def queue_here(prefix: str, where: str) -> str:
    """Return the name of the queue of this host. Raises ``BadName``."""
    return queue_name(queue_name(prefix, where) + this_host(), where)


def host_of(queue: str, workers: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, str] | None:
    """Return prefix and host of a queue that seems to be a host's own; None: it does not.

    ``workers`` are hosts, each with the queues that are served there. With another prefix than the usual one it is a host's
    only if that host is known, and some host serves a queue of its own name so.
    """
    if queue.startswith(PREFIX) and queue != PREFIX:
        return PREFIX, queue.removeprefix(PREFIX)
    words = {host_word(host): names for host, names in workers}
    prefixes = {name.removesuffix(word) for word, names in words.items() for name in names if name.endswith(word)}
    found = [word for word in words if queue.endswith(word) and queue.removesuffix(word) in prefixes - {""}]
    return (queue.removesuffix(found[0]), found[0]) if found else None
