"""Which task a name means: canonical ``tasks:add``, the dot form, or a short name that only one task has."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .._store import Store
from .._why import live, tasks_of
from ..errors import BadArguments, NotImportable

if TYPE_CHECKING:
    from .._command_draft import Known


class Found(NamedTuple):
    """A task: its name, the function where it could be imported here, and what live workers tell of it."""

    name: str
    target: Any = None
    about: dict[str, Any] | None = None
    command: Known | None = None  #: it is a command, declared here or told of by a live worker


def known_tasks(store: Store) -> dict[str, dict[str, Any]]:
    """Return the tasks of the live workers, from their catalogues."""
    return tasks_of(live(store.workers(), store.now()))


def canonical(store: Store, name: str) -> str:
    """Return the name under which jobs of this task are stored; one that nobody knows is taken as it is."""
    matches = _matching(name, known_tasks(store))
    if len(matches) > 1:
        raise _ambiguous(name, matches)
    if matches:
        return matches[0]
    head, dot, tail = name.rpartition(".")
    return f"{head}:{tail}" if dot and ":" not in name else name


def _matching(name: str, names: Iterable[str]) -> list[str]:
    # Most commands name no task, and need not load what knows tasks.
    from .._registry import match_name

    return match_name(name, names)


def _by_alias(name: str, known: dict[str, dict[str, Any]]) -> list[str]:
    aliases = {alias: task for task, about in known.items() for alias in about.get("aliases") or ()}
    return sorted({aliases[alias] for alias in _matching(name, aliases)})


def find(name: str, known: dict[str, dict[str, Any]], app: tuple[str, ...] = ()) -> Found:
    """Return the task a person named: importable here, else known to a live worker, else of APP, else taken on trust.

    Only a full name, ``module:function``, is taken on trust. Raises ``NotImportable`` for a name that leads nowhere and
    ``BadArguments`` for one that several tasks have.
    """
    imported = _declared_command(name) or _imported(name)
    if imported is not None:
        return imported
    matches = _matching(name, known) or _by_alias(name, known)
    if len(matches) > 1:
        raise _ambiguous(name, matches)
    if matches:
        return _told(matches[0], known[matches[0]])
    own = _of_app(name, app) if app else None
    if own is not None:
        return own
    if ":" in name:
        # Kept, not lost: the workers that know it may only come later.
        return Found(name)
    raise NotImportable(_nowhere(name, known))


def _declared_command(name: str) -> Found | None:
    """Return the command of this name that the config file here declares."""
    from .._command_draft import find as find_command

    command = find_command(name, None)
    return None if command is None else Found(name, command=command)


def _told(name: str, about: dict[str, Any]) -> Found:
    """Return a task that live workers tell of."""
    if "params" not in about:
        return Found(name, _target(name), about)
    from .._command_draft import told_command

    return Found(name, None, about, told_command(name, about))


def _imported(name: str) -> Found | None:
    from .. import _identity

    declared = _identity.declared(name)
    if declared is not None:
        return Found(name, declared)
    for module, qualname in _splits(name):
        if not _importable(module):
            continue
        # A module that is there decides: a misspelled function in it is said at once.
        target = _identity.resolve(f"{module}:{qualname}")
        return Found(f"{module}:{qualname}", target)
    return None


def _of_app(name: str, app: tuple[str, ...]) -> Found | None:
    """Look among the tasks of the application; importing it is the last resort, since it may take long."""
    from .._registry import load

    matches = load(app).registry.meant(name)
    if len(matches) > 1:
        raise _ambiguous(name, matches)
    return _imported(matches[0]) if matches else None


def _target(name: str) -> Any:
    found = _imported(name) if ":" in name else None
    return found.target if found else None


def _splits(name: str) -> list[tuple[str, str]]:
    """Return (module, qualname), longest module first."""
    if ":" in name:
        module, _, qualname = name.partition(":")
        return [(module, qualname)]
    parts = name.split(".")
    return [(".".join(parts[:cut]), ".".join(parts[cut:])) for cut in range(len(parts) - 1, 0, -1)]


def _importable(module: str) -> bool:
    if module in sys.modules:
        return True
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return False
        raise NotImportable(f"importing {module} failed: {error}. Nothing enqueued.") from error
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise NotImportable(f"importing {module} failed: {said}. Nothing enqueued.") from error
    return True


def _ambiguous(name: str, matches: list[str]) -> BadArguments:
    return BadArguments(f"'{name}' can mean {', '.join(matches[:5])}; say which, with its module. Nothing done.")


def _nowhere(name: str, known: dict[str, dict[str, Any]]) -> str:
    from .._command_draft import declared_here

    shorts = {each.rpartition(":")[2]: each for each in known}
    close = difflib.get_close_matches(name, [*known, *shorts, *declared_here()], 1)
    meant = f"did you mean '{shorts.get(close[0], close[0])}'?" if close else ""
    hint = meant or "Write it with its module, like tasks:add."
    return (
        f"no task '{name}': it cannot be imported here, and no live worker knows it. Nothing enqueued.\n"
        f'  {hint} Short names are looked for in PACKHORSE_APP, or  app = "…"  in packhorse.toml.'
    )
