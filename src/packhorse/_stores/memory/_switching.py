"""The verbs of steering, of a handle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from ..._steering import Edit
from ..._store import Changed
from . import _steering
from ._tables import Tables


class Steering:
    """The verbs that change waiting jobs and queues."""

    _call: Callable[[], AbstractContextManager[tuple[Tables, int]]]

    def edit(self, ids: Sequence[str], edit: Edit, *, dry: bool = False) -> Changed:
        """Change waiting jobs."""
        with self._call() as (tables, now):
            return _steering.edit(tables, now, ids, edit, dry)

    def pause(
        self, queue: str, *, by: str = "", reason: str = "", seconds: float | None = None, until: int | None = None
    ) -> bool:
        """Stop claims from a queue."""
        with self._call() as (tables, now):
            return _steering.pause(tables, now, queue, by, reason, seconds, until)

    def resume(self, queue: str) -> bool:
        """Undo ``pause``."""
        with self._call() as (tables, _):
            return _steering.resume(tables, queue)

    def set_step(self, queue: str, step: int | None) -> bool:
        """Say after how long of waiting a job has overtaken one of a higher priority."""
        with self._call() as (tables, _):
            return _steering.set_step(tables, queue, step)
