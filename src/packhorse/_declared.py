"""What the code of this process has declared about schedules. Declaring does no I/O; a worker's child collects it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

from .errors import BadSchedule


class Declaration(NamedTuple):
    """One call of ``every`` or ``cron``."""

    place: str  #: file and line
    name: str | None  #: as given; None: the task's
    said: Callable[[Any], tuple[str, str]]  #: given the App, its name and what it says, as JSON


#: In the order of the calls; a place that is imported anew declares anew.
_declared: dict[tuple[str, str | None], Declaration] = {}


def declare(declaration: Declaration) -> None:
    """Remember one call."""
    _declared[declaration.place, declaration.name] = declaration


def forget() -> None:
    """Forget all that was declared, for tests."""
    _declared.clear()


def collect(app: Any) -> dict[str, str]:
    """Return what was declared: name → what it says. Raises ``BadSchedule`` if two have one name, and what a call raises."""
    found: dict[str, str] = {}
    places: dict[str, str] = {}
    for declaration in list(_declared.values()):
        name, text = declaration.said(app)
        if name in found:
            raise BadSchedule(
                f"two schedules are called '{name}': {places[name]} and {declaration.place}. None was stored.\n"
                "  Give one of them a name of its own:  every(…, name=…)"
            )
        found[name], places[name] = text, declaration.place
    return found


def declaring(package: ModuleType) -> list[str]:
    """Return the names of the modules below a package whose source looks as if it declared schedules. None is imported."""
    found = []
    for root in getattr(package, "__path__", ()):
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name.isidentifier()]
            parts = [package.__name__, *os.path.relpath(folder, root).split(os.sep)]
            for file in files:
                module, dot, _ = file.rpartition(".py")
                if dot and module.isidentifier() and module != "__main__" and _declares(os.path.join(folder, file)):
                    names = [part for part in (*parts, module) if part not in (".", "__init__")]
                    found.append(".".join(names))
    return sorted(found)


def _declares(file: str) -> bool:
    try:
        with open(file, "rb") as source:
            text = source.read()
    except OSError:
        return False
    return b"packhorse" in text and re.search(rb"\b(every|cron)\s*\(", text) is not None


def newest_change(modules: Iterable[ModuleType]) -> float:
    """Return when the newest source file of these modules was changed, s."""
    return max((_changed(getattr(module, "__file__", None)) for module in modules), default=0.0)


def _changed(file: str | None) -> float:
    try:
        return os.stat(file).st_mtime if file else 0.0
    except OSError:
        return 0.0
