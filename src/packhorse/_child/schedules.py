"""What a worker tells of the schedules its code and its config file declare."""

from __future__ import annotations

import importlib
import json
import os
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _declared
from .._owning import CONFIG, owner
from .._settings import Config, config_files, read_config

if TYPE_CHECKING:
    from .._registry import Registry


def declared_schedules(specs: Sequence[str], app: Any, registry: Registry | None) -> list[dict[str, Any]]:
    """Return what is declared, one entry for each owner: app, build, when it was changed (s), and name → what it says.

    Raises ``BadSchedule`` and what a call raises that no worker could make.
    """
    found = []
    if specs and registry is not None:
        changed = registry.import_declaring()
        said = _declared.collect(app)
        found.append(_entry(owner(specs), registry.build(), changed, said))
    config = read_config(os.getcwd()) if _mentioned(os.getcwd()) else Config()
    tables = config.values.get("schedules")
    if tables is not None and config.path is not None:
        # By name, since what makes jobs stands above everything here.
        read = importlib.import_module("packhorse._recurring").from_config
        build = f"{zlib.crc32(json.dumps(tables, sort_keys=True, default=str).encode()):08x}"
        said = read(tables, f"of {config.path}", app)
        found.append(_entry(CONFIG, build, os.stat(config.path).st_mtime, said))
    return found


def _mentioned(here: str) -> bool:
    """Tell whether a config file may speak of schedules, without reading TOML: that would be dear at every child's start."""
    for file in config_files(here):
        with open(file, "rb") as source:
            if b"schedules" in source.read():
                return True
    return False


def _entry(app: str, build: str, changed: float, schedules: dict[str, str]) -> dict[str, Any]:
    return {"app": app, "build": build, "changed": changed, "schedules": schedules}
