"""Where an outbox is, and what a relay does there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .._url import mask, parse
from ..errors import ConfigError, MissingExtra

#: A row that somebody else has marked is taken over after so many seconds.
TAKEN_OVER = 60.0
#: A row that has been marked for so many seconds is not sent any more.
GIVEN_UP = 6 * 86_400.0


class Row(NamedTuple):
    """One job on its way."""

    id: str
    job: str
    age: float  #: seconds since it was written down


class Side(Protocol):
    """The application's database as a relay sees it. Every call is one transaction of its own."""

    def mark(self, namespace: str, limit: int) -> list[Row]:
        """Mark rows as being sent, oldest first: new ones, and those whose relay has not come back within a minute."""

    def unmark(self, ids: Sequence[str]) -> None:
        """Take the marks back: surely none of these has been sent."""

    def delete(self, ids: Sequence[str]) -> None:
        """Forget rows that have arrived."""

    def refuse(self, id: str, problem: str) -> None:
        """Keep a row that cannot be sent, with the reason."""

    def stuck(self, namespace: str) -> tuple[int, int]:
        """Return how many rows have a problem, and how many have been marked for over six days."""

    def close(self) -> None:
        """Close the connection."""


def outbox_url(setting: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the URL that ``App(outbox=)`` or ``--outbox`` means: itself, or with ``env:NAME`` that of the environment.

    Raises ``ConfigError``.
    """
    env = os.environ if environ is None else environ
    url = setting
    if setting.startswith("env:"):
        name = setting.removeprefix("env:")
        url = env.get(name, "")
        if not url:
            raise ConfigError(
                f"the outbox is at {setting}, but the environment has no {name}; nothing was started.\n"
                f"  export {name}=postgresql://…"
            )
    if parse(url).scheme not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(
            f"the outbox {mask(url)} is neither SQLite nor PostgreSQL. Write sqlite:///app.db or postgresql://user@host/database."
        )
    return url


def open_side(url: str) -> Side:
    """Connect to the database of an outbox. Raises ``MissingExtra``, ``StoreUnavailable``, ``StoreRefused``, ``BadSchema``."""
    if parse(url).scheme == "sqlite":
        from .sqlite import SqliteSide

        return SqliteSide(url)
    try:
        from .postgres import PostgresSide
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise MissingExtra(
            f"the outbox {mask(url)} needs the library 'psycopg', which is not installed here; nothing was started.\n"
            '  Try:  pip install "packhorse[postgres]"'
        ) from error
    return PostgresSide(url)
