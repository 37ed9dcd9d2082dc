"""How long to wait before the store is tried again, and when to speak of it. Pure but for the log lines.

A worker must be back within five seconds of its store, and a thousand of them must not all knock at the same moment. So the
pauses grow to two seconds only, each chosen at random up to there ("full jitter"), and trying to connect takes at most three: the
last try before the store's return has failed, and the next one has begun, within five. A try that is refused costs the server
next to nothing.
"""

from __future__ import annotations

import logging
import random

from .._enqueuing import reason
from ..errors import BadSchema, PackhorseError, SchemaGone, StoreRefused

_log = logging.getLogger("packhorse.store")

COMPLAIN_EVERY = 30.0
LONGEST_PAUSE = 2.0
#: A store that refuses us (password, permission, schema, data that are gone) waits for somebody to change something.
REFUSED_PAUSE = 10.0
_GONE = "the data of the job store are not those this worker began with"


def pause_after(failures: int) -> float:
    """Return how long to wait after so many failures in a row (seconds)."""
    return random.uniform(0.05, min(LONGEST_PAUSE, 0.1 * 2 ** min(failures, 10)))


class Outage:
    """Counts failures in a row; says so at the first, every 30 s, when their kind changes, and when it is over."""

    def __init__(self, where: str = "") -> None:
        """The store answers, as far as is known. ``where``: its URL, secrets masked, and where that came from."""
        self.not_before = 0.0  #: monotonic time of the next try
        self._where = where
        self._failures = 0
        self._since: float | None = None
        self._complained = 0.0
        self._refused = False

    @property
    def begun(self) -> bool:
        """Tell whether the store is away."""
        return self._since is not None

    def failed(self, error: PackhorseError, now: float, *, at_start: bool = False) -> None:
        """Note a failure."""
        refused = isinstance(error, (StoreRefused, BadSchema, SchemaGone))
        self._failures += 1
        self.not_before = now + (random.uniform(0.9, 1.0) * REFUSED_PAUSE if refused else pause_after(self._failures))
        first, changed = self._since is None, refused != self._refused
        if self._since is None:
            self._since = now
        if first or changed or refused or now - self._complained >= COMPLAIN_EVERY:
            self._complained, self._refused = now, refused
            self._tell(error, now - self._since, first, at_start)

    def _tell(self, error: PackhorseError, away: float, first: bool, at_start: bool) -> None:
        if self._refused:
            _log.error(
                "unhealthy for %.0f s: %s; the running jobs go on.\n  %s  →  %s\n  trying again every %.0f s  [%s]",
                *(
                    away,
                    _GONE if isinstance(error, SchemaGone) else "the job store refuses this worker",
                    self._where,
                    reason(error),
                    REFUSED_PAUSE,
                    error.code,
                ),
            )
        elif first:
            goes_on = "nothing is served yet" if at_start else "the running jobs go on"
            until = "exits 69 with --no-retry" if at_start else ""
            _log.error(
                "cannot reach the job store, %s.  [%s]\n  %s  →  %s\n  retrying … (quiet until it changes%s)",
                *(goes_on, error.code, self._where, reason(error), f"; {until}" if until else ""),
            )
        else:
            _log.error("the store has been away for %.0f s: %s  [%s]", away, reason(error), error.code)

    def over(self, now: float, rechecked: int = 0) -> bool:
        """Note a success; tell whether it ended an outage. ``rechecked``: jobs in hand that the store was asked about."""
        if self._since is None:
            return False
        jobs = f", {rechecked} job{'s' * (rechecked != 1)} re-checked" if rechecked else ""
        _log.warning("the store is back after %.1f s%s", now - self._since, jobs)
        self._since = None
        self._failures = 0
        return True
