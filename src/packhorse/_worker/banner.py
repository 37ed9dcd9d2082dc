"""The lines a worker prints once it is ready: what it is, where its jobs are, what it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._programs import ANY
from .._url import kind_of
from .config import Place, WorkerConfig
from .mailbox import Opened

_SHOWN = 5


def banner(config: WorkerConfig, name: str, place: Place, store: Opened, catalogue: Mapping[str, Any]) -> str:
    """Return the lines. Tasks that have a time limit only by default are named, and what the store cannot promise."""
    tasks: Mapping[str, Any] = catalogue.get("tasks", {})
    kind = kind_of(place.url)
    lines = [
        f"packhorse worker {name}  {kind} store {store.url}  ({place.source})  instance {store.instance[:8]}",
        *([f"  {kind}: {store.promise}"] if store.promise else []),
        f"  serves {_queues(config)} with {config.processes} × {_kind(config)}; {_tasks(config, catalogue)}",
    ]
    if config.app and (programs := _commands(catalogue)):
        lines.append(f"  runs {programs}")
    limited = sorted(task for task, about in tasks.items() if about.get("timeout_given") is False)
    if limited and not _limits_all(config):
        more = f" and {len(limited) - _SHOWN} more" if len(limited) > _SHOWN else ""
        lines.append(f"  time limit 1 h, by default, for {', '.join(limited[:_SHOWN])}{more}")
    return "\n".join(lines)


def _limits_all(config: WorkerConfig) -> bool:
    """Tell whether an App that no child can import has a time limit for all tasks."""
    defaults = (config.plain or {}).get("defaults")
    return isinstance(defaults, Mapping) and "timeout" in defaults


def _queues(config: WorkerConfig) -> str:
    if config.queues is None:
        return "every queue"
    return "queues " + ", then ".join("/".join(group) for group in config.queues)


def _kind(config: WorkerConfig) -> str:
    count, word = (config.coroutines, "coroutine") if config.coroutines else (config.threads, "thread")
    return f"{count} {word}{'s' * (count > 1)}"


def _tasks(config: WorkerConfig, catalogue: Mapping[str, Any]) -> str:
    if not config.app:
        programs = _commands(catalogue)
        if not programs:
            return "no application was given, and no program is allowed (--allow-commands), so it runs nothing"
        return f"no application was given, so it runs only {programs}"
    count = sum("command" not in about for about in catalogue.get("tasks", {}).values())
    # What lies below a package is imported when it is first needed, and nobody should read a 0 here as a mistake.
    more = " so far" if catalogue.get("packages") else ""
    return f"knows {count} task{'s' * (count != 1)}{more} of {' '.join(config.app)}"


def _commands(catalogue: Mapping[str, Any]) -> str:
    """Return which commands run here; nothing if none does."""
    declared = sorted(name for name, about in catalogue.get("tasks", {}).items() if "command" in about)
    allowed = list(catalogue.get("commands", ()))
    programs = "every program" if ANY in allowed else f"the programs {_named(allowed)}" if allowed else ""
    tasks = f"the command{'s' * (len(declared) != 1)} {_named(declared)}" if declared else ""
    return " and ".join(filter(None, [tasks, programs]))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
