"""The SQLite store: one connection with every verb of the contract."""

from __future__ import annotations

from .exchange import Exchanging
from .hints import Waiting
from .inside import Lending
from .limits import Limiting
from .look import Looking
from .moving import Moving
from .obstacles import Explaining
from .operate import Operating
from .produce import Producing
from .schedules import Scheduling
from .steering import Steering
from .sweep import Sweeping
from .upkeep import Upkeep


class SqliteStore(
    Scheduling,
    Producing,
    Exchanging,
    Sweeping,
    Limiting,
    Explaining,
    Upkeep,
    Operating,
    Steering,
    Looking,
    Moving,
    Lending,
    Waiting,
):
    """Jobs in one SQLite file, for one host.

    ``sqlite:///relative.db`` or ``sqlite:////absolute.db``; ``?synchronous=normal`` gives up the last moments before a power
    failure for speed, ``?network=allow`` accepts a network file system.
    """
