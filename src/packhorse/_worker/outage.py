"""How long to wait before the store is tried again, and when to speak of it. Pure but for the log lines."""

from __future__ import annotations

import logging
import random

_log = logging.getLogger("packhorse.store")

COMPLAIN_EVERY = 30.0
LONGEST_PAUSE = 10.0


class Outage:
    """Counts failures in a row; says so at the first, every 30 s, and when it is over."""

    def __init__(self) -> None:
        """The store answers, as far as is known."""
        self.not_before = 0.0  #: monotonic time of the next try
        self._failures = 0
        self._since: float | None = None
        self._complained = 0.0

    def failed(self, error: Exception, now: float) -> None:
        """Note a failure: full jitter, 0.1 s to 10 s."""
        self._failures += 1
        self.not_before = now + random.uniform(0.05, min(LONGEST_PAUSE, 0.1 * 2 ** min(self._failures, 10)))
        if self._since is None:
            self._since = self._complained = now
            _log.error("%s\n  retrying … (quiet until it changes)", error)
        elif now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            _log.error("the store has been away for %.0f s: %s", now - self._since, error)

    def over(self, now: float) -> bool:
        """Note a success; tell whether it ended an outage."""
        if self._since is None:
            return False
        _log.warning("the store is back after %.1f s", now - self._since)
        self._since = None
        self._failures = 0
        return True
