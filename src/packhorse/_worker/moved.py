"""A worker on a store whose jobs are moved elsewhere: no outage, but nothing to be had either. Pure but for the log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ..errors import StoreMoved

T = TypeVar("T")

_log = logging.getLogger("packhorse.store")


class Moved:
    """Says once that the store is closed, again when the reason changes, and that it is open again."""

    def __init__(self) -> None:
        """The store is open, as far as is known."""
        self._said = ""

    def look(self, claim: Callable[[], T]) -> T | None:
        """Return what a claim brings; from a closed store None."""
        try:
            taken = claim()
        except StoreMoved as error:
            self._refused(error)
            return None
        if self._said:
            self._said = ""
            _log.warning("the store is open again")
        return taken

    def _refused(self, error: StoreMoved) -> None:
        if str(error) != self._said:
            self._said = str(error)
            _log.warning(
                "%s\n  What runs here is finished; no job is taken until the store is opened again (quiet until it changes)",
                error,
            )
