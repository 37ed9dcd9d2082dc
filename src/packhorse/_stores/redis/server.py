"""What the server tells of itself, and whether it can be trusted with jobs."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import BadStore, StoreUnavailable

_OLDEST = (6, 2)
_WAITAOF = (7, 2)


class Server(NamedTuple):
    """What matters of INFO and CONFIG."""

    version: tuple[int, ...]
    role: str
    run_id: str
    maxmemory: int
    policy: str
    aof: bool
    fsync: str | None  #: appendfsync; None: the server does not tell this user
    saves: bool | None  #: it makes snapshots by itself; None: it does not tell
    cluster: bool
    is_sentinel: bool


def read(info: str, config: dict[str, str]) -> Server:
    """Return what INFO and CONFIG GET said."""
    found = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    version = found.get("valkey_version") or found.get("redis_version") or "0"
    saves = config.get("save")
    return Server(
        # Valkey's INFO says redis_version:7.2.4 beside its own number, and 7.2 is what it does.
        version=tuple(int(part) for part in re.findall(r"\d+", version)[:2]),
        role=found.get("role", ""),
        run_id=found.get("run_id", ""),
        maxmemory=int(found.get("maxmemory") or config.get("maxmemory") or 0),
        policy=config.get("maxmemory-policy") or found.get("maxmemory_policy", ""),
        aof=found.get("aof_enabled") == "1",
        fsync=config.get("appendfsync"),
        saves=None if saves is None else bool(saves.strip()),
        cluster=found.get("redis_mode") == "cluster" or found.get("cluster_enabled") == "1",
        is_sentinel=found.get("redis_mode") == "sentinel",
    )


def refuse_unfit(server: Server, shown: str, *, cluster: bool, fsync: bool, first: bool) -> None:
    """Raise ``BadStore`` for a server that would lose jobs or cannot do what is needed.

    A replica is a fault of the URL when a store is opened, and the trace of a failover later.
    """
    if server.is_sentinel:
        raise BadStore(
            f"{shown} is a Sentinel, which holds no data; nothing was opened. Add ?sentinel=SERVICE to the URL."
        )
    if server.version < _OLDEST:
        number = ".".join(map(str, server.version))
        raise BadStore(f"{shown} is Redis {number}; 6.2 or newer is needed. Nothing was opened.")
    if server.role not in ("master", ""):
        if not first:
            raise StoreUnavailable(f"{shown} is a replica now; nothing was stored. The master is looked for.")
        raise BadStore(
            f"{shown} is a replica, which takes no changes; nothing was opened. Name the master in the URL, or the sentinels "
            "with ?sentinel=SERVICE."
        )
    if server.cluster and not cluster:
        raise BadStore(f"{shown} is a node of a cluster; nothing was opened. Add ?cluster=1 to the URL.")
    if server.maxmemory and server.policy != "noeviction":
        raise BadStore(
            f"{shown}: maxmemory-policy {server.policy} will delete jobs when the memory is full; nothing was opened. "
            "Set it on the server:  CONFIG SET maxmemory-policy noeviction  (and in redis.conf)."
        )
    if fsync:
        refuse_no_fsync(server, shown)


def refuse_no_fsync(server: Server, shown: str) -> None:
    """Raise ``BadStore`` if this server cannot tell when something is on its disk."""
    if server.aof and (server.fsync == "always" or server.version >= _WAITAOF):
        return
    why = "appendonly is off" if not server.aof else f"appendfsync is {server.fsync or 'not known'}"
    raise BadStore(
        f"{shown}: durability=fsync cannot be kept: {why}; nothing was opened. It needs appendonly yes, and appendfsync always "
        "or Redis 7.2 (WAITAOF). Set these on the server, or leave durability=fsync out of the URL."
    )


def waits(server: Server, fsync: bool) -> bool:
    """Tell whether every acknowledgement has to be asked for with WAITAOF."""
    return fsync and server.fsync != "always"


def promise(server: Server, fsync: bool) -> str:
    """Say in one sentence what the server's persistence means for an acknowledged job."""
    if fsync or (server.aof and server.fsync == "always"):
        return "Every acknowledged change is on the server's disk."
    if server.aof and server.fsync == "no":
        return "If the server's host loses power, the changes since the kernel last wrote them (up to about 30 s) are lost."
    if server.aof:
        return "If the server's host loses power, up to about the last second of changes is lost."
    if server.saves is None:
        return "If the server stops, everything since its last snapshot is lost, or everything if it makes none."
    if server.saves:
        return "If the server stops, everything since its last snapshot is lost."
    return "If the server stops, every job is lost: it neither writes a log (appendonly) nor makes snapshots."
