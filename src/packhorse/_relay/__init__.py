"""The relay: brings jobs from the outbox in the application's database to the job store.

A row is marked as being sent and that is committed; then the job is enqueued, where an id that is known already changes
nothing; then the row is deleted. Killed at any point, it or another relay begins with the mark again. Several at once do no
harm. What has been marked for longer than six days is reported and not sent: the store may have forgotten the job by now.
"""

from __future__ import annotations

from collections.abc import Callable

from .._store import Store
from .._url import mask
from .carrying import Relay
from .places import Row, Side, open_side, outbox_url

__all__ = ["Relay", "Row", "Side", "open_side", "outbox_url", "relay_of"]


def relay_of(setting: str, open_store: Callable[[], Store]) -> Relay:
    """Return the relay of an outbox, given as in ``App(outbox=)``. Raises ``ConfigError``; nothing is opened yet."""
    url = outbox_url(setting)
    return Relay(lambda: open_side(url), open_store, mask(url))
