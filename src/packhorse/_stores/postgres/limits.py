"""Limits: what is declared, and how far rates are used up; and flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from ..._admission import FlowRecord, LimitRecord, Settings
from ..._record import DEFAULT_STEP, FINAL
from ..._rules import Limit, declared, limit
from .link import Link
from .states import NAMES
from .steer import Steering
from .words import decoded, encoded

T = TypeVar("T")


def records_of(rows: list[Any]) -> list[LimitRecord]:
    """Return what rows of limits say."""
    records = (LimitRecord(*row) for row in rows)
    return [record._replace(by=decoded(record.by)) for record in records]


class Limiting(Steering):
    """The verbs of limits and of flows."""

    def limits(self) -> list[LimitRecord]:
        """Return what is declared, by name."""
        return self._attempted(self._limits)

    def _limits(self, link: Link) -> list[LimitRecord]:
        self._require(link)
        return records_of(self._rows(link, "limits", "all", self._ns))

    def set_limits(self, values: Mapping[str, str | None], *, by: str = "", app: str | None = None) -> list[str]:
        """Declare limits, all or none; return the names for which something changed, sorted."""
        for value in values.values():
            if value is not None:
                limit(value)
        return self._write(self._set_limits, values, by, app)

    def _set_limits(
        self, link: Link, now: int, values: Mapping[str, str | None], by: str, app: str | None
    ) -> list[str]:
        # Not while somebody admits: it would go by the old ones, and write down what it used of them.
        self._rows(link, "admit", "alone", self._ns)
        stored = {record.name: record for record in self._limits(link)}
        changed = sorted(name for name, value in values.items() if _changes(stored.get(name), value, app))
        for name in changed:
            value = values[name]
            self._set_one(
                link, name, stored.get(name), None if value is None else LimitRecord(name, value, by, app, now)
            )
        return changed

    def _set_one(self, link: Link, name: str, old: LimitRecord | None, new: LimitRecord | None) -> None:
        self._rows(link, "limits", "drop", self._ns, name)
        if new is not None:
            self._put_limit(link, new)
        beginning = name[:-1] if name.endswith("*") else None
        if (old and old.value) != (new and new.value):
            self._rows(link, "limits", "forget_rates", self._ns, name, beginning)
        self._rows(link, "limits", "free", self._ns, name, beginning)
        self.freed = True

    def _put_limit(self, link: Link, record: LimitRecord) -> None:
        values = (record.name, record.value, encoded(record.by), record.app, record.set_at)
        self._rows(link, "limits", "set", self._ns, *values)

    # -- moving -------------------------------------------------------------------------------------------------
    def export_settings(self) -> Settings:
        """Return the limits, how far each rate is used up, and the steps of queues."""

        def step(link: Link, now: int) -> Settings:
            rates = self._rows(link, "limits", "rates", self._ns, None)
            steps = self._rows(link, "steer", "steps", self._ns, DEFAULT_STEP)
            used = tuple((name, tat) for name, tat in rates if tat > now)
            return Settings(tuple(self._limits(link)), used, tuple((name, step) for name, step in steps))

        return self._write(step)

    def import_settings(self, settings: Settings) -> None:
        """Set them as they were elsewhere."""

        def names(link: Link) -> None:
            for queue, _ in settings.steps:
                self._names.line(link, self._ns, queue)

        self._write(self._import_settings, settings, names=names)

    def _import_settings(self, link: Link, now: int, settings: Settings) -> None:
        self._rows(link, "admit", "alone", self._ns)
        for record in settings.limits:
            self._set_one(link, record.name, record, record)
        rates = dict(settings.rates)
        if rates:
            self._rows(link, "limits", "use_rates", self._ns, list(rates), list(rates.values()))
        for queue, step in settings.steps:
            self._set_step(link, queue, step)
        self.freed = True

    # -- flows --------------------------------------------------------------------------------------------------
    def flows(self, names: Sequence[str] | None = None, limit: int = 50, after: str | None = None) -> list[FlowRecord]:
        """Return flows, newest first."""

        def act(link: Link) -> list[Any]:
            self._require(link)
            return self._rows(
                link, "limits", "flows", self._ns, None if names is None else list(names), limit, after
            )  # fmt: skip

        rows = self._attempted(act)
        return [_flow(list(parts)) for _, parts in groupby(rows, key=lambda row: row[0])]


def _changes(old: LimitRecord | None, value: str | None, app: str | None) -> bool:
    """Tell whether a declaration takes effect: a person's word stands against that of code."""
    if old is None:
        return value is not None
    if app is not None and old.app is None:
        return False
    return (old.value, old.app) != (value, app)


def _flow(parts: Sequence[Any]) -> FlowRecord:
    id, created_at, ended_at = parts[0][:3]
    counts = {NAMES[state]: jobs for *_, state, jobs, _ in parts}
    ends = [end for *_, end in parts if end is not None]
    if ended_at is not None:
        ends.append(ended_at)
    return FlowRecord(id, counts, created_at, max(ends) if counts.keys() <= FINAL else None)


class Declared:
    """The limits of names, looked up once each."""

    def __init__(self, records: Sequence[LimitRecord]) -> None:
        self._values = {record.name: record.value for record in records}
        self._known: dict[str, Limit | None] = {}

    def of(self, name: str) -> Limit | None:
        """Return what is declared of a name."""
        if name not in self._known:
            found = declared(self._values, name)
            self._known[name] = None if found is None else limit(self._values[found])
        return self._known[name]

    def places(self, mode: str, name: str) -> int | None:
        """Return how many may have a name so at once; None: any number, 0: it was not declared."""
        if mode != "l":
            return None
        allowed = self.of(name)
        return 0 if allowed is None else allowed.places

    def rate(self, mode: str, name: str) -> Limit | None:
        """Return the rate of a name, if it has one."""
        allowed = self.of(name) if mode == "l" else None
        return allowed if allowed is not None and allowed.places is None else None
