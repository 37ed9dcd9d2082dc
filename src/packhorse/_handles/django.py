"""Django's database connections."""

from __future__ import annotations

from typing import Any

from ..errors import WrongHandle
from .drivers import Driver, Psycopg, Psycopg2, Raw, Sqlite
from .handle import Handle, Hook, Waits

_DRIVERS: dict[str, Driver] = {
    "sqlite3.Connection": Sqlite(),
    "psycopg.Connection": Psycopg(),
    "psycopg2.extensions.connection": Psycopg2(),
}


class DjangoHandle(Handle):
    """A connection of ``django.db.connections``; its transactions are those of ``atomic()``."""

    def __init__(self, given: Any) -> None:
        super().__init__(given, f"Django connection {given.alias!r}")

    def connect(self) -> Raw:
        """Use the connection inside ``atomic()``."""
        given = self.given
        if not given.in_atomic_block and given.get_autocommit():
            raise WrongHandle(
                f"this {self.name} is outside atomic(), where every statement is a transaction of its own: there is nothing the "
                "job could become visible with. Nothing was stored.\n  Put both into  with transaction.atomic():"
            )
        if given.needs_rollback:
            raise WrongHandle(
                f"the transaction of this {self.name} has failed already and will be rolled back. Nothing was stored."
            )
        given.ensure_connection()
        raw = given.connection
        driver = self._driver_of(raw)
        driver.refuse(raw, self.name)
        return Raw(driver, raw)

    def _driver_of(self, raw: Any) -> Driver:
        names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(raw).__mro__]
        found = next((_DRIVERS[name] for name in names if name in _DRIVERS), None)
        if found is None:
            raise WrongHandle(
                f"this {self.name} is a database of {self.given.display_name}; PostgreSQL and SQLite are supported. Nothing was "
                "stored."
            )
        return found

    def after_commit(self, call: Hook) -> Waits:
        """Use ``on_commit``, which knows of savepoints."""
        if not self.given.in_atomic_block:
            self.connect()  # says why
        given = self.given
        given.on_commit(call)
        return lambda: any(call in entry for entry in given.run_on_commit)
