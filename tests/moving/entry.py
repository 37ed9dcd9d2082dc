"""The command, dying at one chosen call of a store: ``python -m tests.moving.entry NTH HOW WORD…``.

HOW is ``before`` (the process is killed before the call is made), ``after`` (after it was done), or ``count`` (nothing happens;
the names of the calls are printed at the end). Only calls that change something count, of both stores together.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from packhorse import _runtime
from packhorse.cli import main

CHANGING = ("freeze", "thaw", "import_jobs", "pause", "resume", "delete", "condemn", "settle")


class Deadly:
    """A store that kills its process at a call."""

    calls: list[str] = []  # noqa: RUF012  # of all of them
    nth = 0
    how = "count"

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._deadly(name, found) if name in CHANGING else found

    def _deadly(self, name: str, found: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            mine = len(self.calls) == self.nth
            if mine and self.how == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = found(*args, **more)
            if mine and self.how == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def run(nth: int, how: str, words: list[str]) -> int:
    Deadly.nth, Deadly.how = nth, how
    opened = _runtime.open_store
    _runtime.open_store = lambda settings, **more: Deadly(opened(settings, **more))
    code = main(words)
    if how == "count":
        print(*Deadly.calls)
    return code


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
