"""Jobs that had given up because of one that runs again: they are put back in parts, whoever goes on with it."""

from __future__ import annotations

from .connection import Connection

#: So many jobs at most are put back in one step.
_PART = 200


class Reviving(Connection):
    """What requeue begins, and what the next promote or admit ends if that one was cut off."""

    def _revive(self, limit: int | None = None) -> bool:
        """Put jobs back, about so many; return whether there may be more."""
        done = 0
        while True:
            touched, stirred, more, looked = self._run("revive", _PART)
            self._did(touched, stirred)
            done += looked
            if not more or (limit is not None and done >= limit):
                return bool(more)
