"""The limits that a worker's application and its config file declare, written to the store when it starts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from .. import _limits, _owning
from .._admission import LimitRecord
from .._store import Store
from .config import WorkerConfig
from .firing import declared_of

_log = logging.getLogger("packhorse.worker")

#: Whose they are → name → value.
Declared = Mapping[str, Mapping[str, str]]


def declared_limits(plain: Mapping[str, Any], config: WorkerConfig) -> Declared:
    """Return what is declared, by its owner. Raises ``BadOption`` if App and config file say different things of one name."""
    by_app, by_file = plain.get("limits") or {}, config.limits
    _limits.together(("App(limits=)", by_app), ("[limits] of the config file", by_file))
    app = _owning.owner(config.app) or "App"
    return {app: {name: value for name, value in by_app.items() if name not in by_file}, _owning.CONFIG: by_file}


def publish_limits(store: Store, declared: Declared, catalogue: Mapping[str, Any]) -> None:
    """Write them, unless a newer build of the application is known. What a person has set is left alone."""
    stored = store.limits()
    builds = {said["app"]: declared_of(said) for said in catalogue.get("schedules", ())}
    for app, limits in declared.items():
        wanted = changes(stored, limits, app)
        if not wanted:
            continue
        if app in builds and _owning.outdated(store.schedules(), builds[app]):
            _log.warning("this worker's build %s is not the newest: its limits were not written", builds[app].build)
            continue
        changed = store.set_limits(wanted, app=app)
        if changed:
            _log.info("limits of %s: %s", app, ", ".join(f"{name} = {wanted[name] or 'none'}" for name in changed))


def changes(stored: Iterable[LimitRecord], declared: Mapping[str, str], app: str) -> dict[str, str | None]:
    """Return what a store is to be told, so that it has what this application declares and nothing it declared before; empty if
    it has that already. What a person has set is left alone."""
    records = {record.name: record for record in stored}
    wanted: dict[str, str | None] = {name: None for name, record in records.items() if record.app == app}
    wanted.update(declared)
    return {name: value for name, value in wanted.items() if _differs(records.get(name), value, app)}


def _differs(record: LimitRecord | None, value: str | None, app: str) -> bool:
    return record is None or (record.app is not None and (record.app, record.value) != (app, value))
