"""Limits: what is declared, and how far rates are used up; and all that a move takes along besides jobs."""

from __future__ import annotations

from collections.abc import Mapping

from ..._admission import LimitRecord, Settings
from ..._record import DEFAULT_STEP
from ..._rules import limit, meant
from . import _steering
from ._tables import Tables


def limits(tables: Tables) -> list[LimitRecord]:
    """Return what is declared, by name."""
    return [tables.limits[name] for name in sorted(tables.limits)]


def set_limits(tables: Tables, now: int, values: Mapping[str, str | None], by: str, app: str | None) -> list[str]:
    """Declare limits, all or none; return the names that changed."""
    for value in values.values():
        if value is not None:
            limit(value)
    changed = sorted(name for name, value in values.items() if changes(tables.limits.get(name), value, app))
    for name in changed:
        value = values[name]
        _set_one(tables, name, None if value is None else LimitRecord(name, value, by, app, now))
    return changed


def changes(old: LimitRecord | None, value: str | None, app: str | None) -> bool:
    """Tell whether a declaration takes effect: a person's word stands against that of code."""
    if old is None:
        return value is not None
    if app is not None and old.app is None:
        return False
    return (old.value, old.app) != (value, app)


def _set_one(tables: Tables, name: str, record: LimitRecord | None) -> None:
    old = tables.limits.pop(name, None)
    if record is not None:
        tables.limits[name] = record
    if (old and old.value) != (record and record.value):
        for used in [each for each in tables.rates if meant(name, each)]:
            del tables.rates[used]
    tables.stir()


def export_settings(tables: Tables, now: int) -> Settings:
    """Return limits, rates and steps."""
    rates = sorted((name, tat) for name, tat in tables.rates.items() if tat > now)
    steps = sorted((name, queue.step) for name, queue in tables.queues.items() if queue.step != DEFAULT_STEP)
    return Settings(tuple(limits(tables)), tuple(rates), tuple(steps))


def import_settings(tables: Tables, settings: Settings) -> None:
    """Set them as they were elsewhere."""
    tables.limits.update((record.name, record) for record in settings.limits)
    tables.rates.update(settings.rates)
    for queue, step in settings.steps:
        _steering.set_step(tables, queue, step)
    tables.stir()
