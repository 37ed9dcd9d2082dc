"""What a worker holds, shared by its store thread and its beat thread."""

from __future__ import annotations

import threading

from .._record import Claimed
from .mailbox import Done


class Held:
    """What this worker holds, as a beat tells it; shared with the beat thread."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._lock = threading.Lock()
        self._tokens: dict[str, str] = {}
        self._claim_no = 0

    def claimed(self, claim_no: int, jobs: list[Claimed]) -> None:
        """Note a completed claim call."""
        with self._lock:
            self._claim_no = claim_no
            self._tokens.update([job[:2] for job in jobs])

    def settled(self, runs: list[Done]) -> None:
        """Forget what the store has confirmed."""
        with self._lock:
            tokens = self._tokens
            for run in runs:
                job = run[0]
                if tokens.get(job[0]) == job[1]:
                    del tokens[job[0]]

    def forget(self, job: str, token: str) -> None:
        """Forget a run that is no longer mine; the same job may have been claimed anew meanwhile."""
        with self._lock:
            if self._tokens.get(job) == token:
                del self._tokens[job]

    def jobs(self) -> list[str]:
        """Return the ids of all held."""
        with self._lock:
            return list(self._tokens)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._tokens.clear()

    def snapshot(self) -> tuple[int, list[tuple[str, str]]]:
        """Return the number of the last completed claim call, and all held."""
        with self._lock:
            return self._claim_no, list(self._tokens.items())
