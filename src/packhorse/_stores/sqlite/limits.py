"""Limits: what is declared, and how far rates are used up. Flows: sets of jobs, counted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ..._admission import FlowRecord, LimitRecord, Settings
from ..._record import DEFAULT_STEP, FINAL
from ..._rules import limit, meant
from .connection import Connection
from .queries import sql
from .states import ORDER

_END = 1 << 62


class Limiting(Connection):
    """The verbs of limits and flows."""

    # -- limits ---------------------------------------------------------------------------------------------------
    def limits(self) -> list[LimitRecord]:
        """Return what is declared, by name."""
        return list(self._read(self._limits).values())

    def _limits(self, db: sqlite3.Connection) -> dict[str, LimitRecord]:
        rows = db.execute(sql("limits", "all"), (self._ns,)).fetchall()
        return {row[0]: LimitRecord(*row) for row in rows}

    def set_limits(self, values: Mapping[str, str | None], *, by: str = "", app: str | None = None) -> list[str]:
        """Declare limits, all or none; return the names that changed."""
        for value in values.values():
            if value is not None:
                limit(value)
        return self._write(self._set_limits, values, by, app)

    def _set_limits(
        self, db: sqlite3.Connection, now: int, values: Mapping[str, str | None], by: str, app: str | None
    ) -> list[str]:
        known = self._limits(db)
        changed = sorted(name for name, value in values.items() if _changes(known.get(name), value, app))
        for name in changed:
            old, value = known.get(name), values[name]
            if value is None:
                db.execute(sql("limits", "drop"), (self._ns, name))
            else:
                db.execute(sql("limits", "put"), (self._ns, name, value, by, app, now))
            if old is None or old.value != value:
                self._forget_rates(db, name)
            self._free(db, name)
        return changed

    def _forget_rates(self, db: sqlite3.Connection, declaration: str) -> None:
        rated = [row[0] for row in db.execute(sql("limits", "rated"), (self._ns,)).fetchall()]
        db.executemany(sql("limits", "forget_rate"), [(self._ns, name) for name in rated if meant(declaration, name)])

    def _free(self, db: sqlite3.Connection, declaration: str) -> None:
        """Let admit look at those who were kept by a name that this is meant for."""
        slept = [row[0] for row in db.execute(sql("limits", "slept_behind"), (self._ns,)).fetchall()]
        db.executemany(sql("admit", "free_name"), [(self._ns, name) for name in slept if meant(declaration, name)])
        self.freed = True

    # -- settings -------------------------------------------------------------------------------------------------
    def export_settings(self) -> Settings:
        """Return the limits, how far each rate is used up, and the steps of queues."""
        now = self.now()

        def step(db: sqlite3.Connection) -> Settings:
            rates = db.execute(sql("limits", "rates"), (self._ns, now)).fetchall()
            steps = db.execute(sql("steering", "steps"), (self._ns, DEFAULT_STEP)).fetchall()
            return Settings(tuple(self._limits(db).values()), tuple(rates), tuple(steps))

        return self._read(step)

    def import_settings(self, settings: Settings) -> None:
        """Set them as they were elsewhere."""
        self._write(self._import_settings, settings)

    def _import_settings(self, db: sqlite3.Connection, now: int, settings: Settings) -> None:
        db.executemany(sql("limits", "put"), [(self._ns, *record) for record in settings.limits])
        db.executemany(sql("limits", "put_rate"), [(self._ns, *rate) for rate in settings.rates])
        for queue, step in settings.steps:
            db.execute(sql("steering", "set_step"), {"queue": self._names.line(db, self._ns, queue), "step": step})
        self._free(db, "*")

    # -- flows ----------------------------------------------------------------------------------------------------
    def flows(self, names: Sequence[str] | None = None, limit: int = 50, after: str | None = None) -> list[FlowRecord]:
        """Return flows, newest first."""
        return self._read(self._flows, names, limit, after)

    def _flows(
        self, db: sqlite3.Connection, names: Sequence[str] | None, limit: int, after: str | None
    ) -> list[FlowRecord]:
        values: dict[str, Any] = {"ns": self._ns, "limit": limit, "created_at": _END, "name": after or ""}
        if after is not None:
            row = db.execute(sql("flows", "created"), values).fetchone()
            if row is None:
                return []
            values["created_at"] = row[0]
        if names is not None:
            values["names"] = json.dumps(list(names))
        rows = db.execute(sql("flows", "newest" if names is None else "these"), values).fetchall()
        return [_flow(*row) for row in rows]


def _flow(name: str, created_at: int, ended_at: int | None, *counts: int) -> FlowRecord:
    by_state = {state: count for state, count in zip(ORDER, counts, strict=True) if count}
    return FlowRecord(name, by_state, created_at, ended_at if by_state.keys() <= FINAL else None)


def _changes(old: LimitRecord | None, value: str | None, app: str | None) -> bool:
    """Tell whether a declaration takes effect: a person's word stands against that of code."""
    if old is None:
        return value is not None
    if app is not None and old.app is None:
        return False
    return (old.value, old.app) != (value, app)
