"""Watches the store being opened: a start that waits says so, and one that must not wait ends."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .._url import kind_of

if TYPE_CHECKING:
    from .supervisor import Supervisor

#: A start says what it waits for after so many seconds.
SAY_AFTER = 3.0
#: With ``--no-retry`` it ends after so many, whatever the store's own patience is.
END_AFTER = 10.0


class Opening:
    """The time between the application's import and the store's first answer."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Not begun."""
        self._supervisor = supervisor
        self._began: float | None = None
        self._said = False

    def begin(self) -> None:
        """The store is being opened from now on."""
        self._began = monotonic()

    def look(self, now: float) -> None:
        """Say what there is to say."""
        supervisor = self._supervisor
        if self._began is None or supervisor.opened or supervisor.at is None:
            return
        if supervisor.store is not None and supervisor.store.outage.begun:
            self._said = True  # it has said so itself, and why
        waited = now - self._began
        if waited >= SAY_AFTER and not self._said:
            self._said = True
            supervisor.say(
                f"packhorse worker: waiting for the store  {supervisor.at.described}: no answer for {SAY_AFTER:g} s"
                + ("; another program may hold it locked" if kind_of(supervisor.at.url) == "SQLite" else "")
            )
        if waited >= END_AFTER and supervisor.config.no_retry:
            supervisor.say(f"packhorse worker: no answer for {END_AFTER:g} s, and --no-retry was given  [E101]")
            supervisor.leave(69)
