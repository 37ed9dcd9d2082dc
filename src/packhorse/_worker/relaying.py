"""The relay in a worker whose App has an outbox: a thread beside the others, with connections of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from .._store import Store
from ..errors import PackhorseError

_log = logging.getLogger("packhorse.relay")

#: After what will not pass by itself, it is tried again so many seconds later.
_REST = 60.0


class Relaying:
    """Carries jobs for as long as the worker runs; what goes wrong here never touches the jobs that run."""

    def __init__(self) -> None:
        """Nothing to carry."""
        self._over = threading.Event()

    def begin(self, plain: Mapping[str, object] | None, open_store: Callable[[], Store]) -> None:
        """Begin, if the App (its plain part) has an outbox."""
        setting = (plain or {}).get("outbox")
        if isinstance(setting, str):
            threading.Thread(target=self._carry, args=(setting, open_store), name="relay", daemon=True).start()

    def end(self) -> None:
        """End after the batch under way; one that is cut off is sent again."""
        self._over.set()

    def _carry(self, setting: str, open_store: Callable[[], Store]) -> None:
        from .._relay import relay_of  # most workers have none

        while not self._over.is_set():
            try:
                relay_of(setting, open_store).run(self._over)
            except PackhorseError as error:
                _log.error("the relay cannot work; jobs wait in the outbox, and it begins anew in a minute: %s", error)
                self._over.wait(_REST)
            except Exception:
                _log.exception("the relay stumbled; it begins anew in a minute")
                self._over.wait(_REST)
