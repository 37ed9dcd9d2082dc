"""Taking away, behind a store's back, the notes of what its next ``admit`` has to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from packhorse._store import Store


def _sqlite(store: Any) -> None:
    store._write(lambda db, now: db.execute("DELETE FROM packhorse_freed"))


def _postgres(store: Any) -> None:
    store._attempted(lambda link: link.ask(f'DELETE FROM "{store._schema}".freed'.encode()))


def _redis(store: Any) -> None:
    store._live().ask("DEL", *(f"{store._key}:{name}" for name in ("freed", "news")))


#: By the scheme of a store; those that keep no notes have none to lose.
FORGET: dict[str, Callable[[Store], None]] = {"sqlite": _sqlite, "postgresql": _postgres, "redis": _redis}
