"""The PostgreSQL store: one connection with every verb of the contract."""

from __future__ import annotations

from .exchange import Exchanging
from .hints import Waiting
from .inside import Inside
from .look import Looking
from .moving import Moving
from .operate import Operating
from .produce import Producing
from .schedules import Scheduling
from .steer import Steering
from .sweep import Sweeping
from .upkeep import Upkeep
from .workers import Workers


class PostgresStore(
    Scheduling, Exchanging, Sweeping, Producing, Upkeep, Workers, Operating, Steering, Looking, Moving, Waiting
):
    """Jobs in one schema of a PostgreSQL database, for any number of hosts.

    ``postgresql://user@host/database``, with the parameters of libpq as options, and ``?schema=`` (default ``packhorse``),
    ``?pooler=1`` where PgBouncer stands between, ``?listen=0`` to poll only, ``?password_file=``, ``?namespace=``.
    """

    @property
    def inside(self) -> Inside:
        """Return the acts on a connection of the caller's own."""
        if self._lent is None:
            self._lent = Inside(self._text, self.namespace, self._clock)
        return self._lent

    _lent: Inside | None = None
