"""The Redis store: one connection with every verb of the contract."""

from __future__ import annotations

from .exchange import Exchanging
from .hints import Waiting
from .move import Moving
from .operate import Operating
from .produce import Producing
from .schedules import Scheduling
from .steer import Steering
from .sweep import Sweeping
from .upkeep import Upkeep


class RedisStore(Exchanging, Sweeping, Scheduling, Producing, Upkeep, Operating, Steering, Moving, Waiting):
    """Jobs on a Redis (6.2 or newer) or Valkey server, for any number of hosts.

    ``redis://[user[:password]@]host[:port][/db]``, ``rediss://`` over TLS, ``unix:///path.sock?db=1``; ``valkey://`` and
    ``valkeys://`` mean the same. ``?sentinel=SERVICE`` with the hosts of sentinels, ``?cluster=1`` with those of any nodes,
    ``?durability=fsync`` to have every acknowledgement wait for the server's disk. docs/guides/redis.md has them all.
    """
