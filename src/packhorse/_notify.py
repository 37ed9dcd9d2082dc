"""Telling of jobs that have ended: table ``[notify]`` of the config file. Pure.

What is told with is a command task of the worker's own, so that it runs, is allowed, is recorded and fails as any other job.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from ._command_task import CommandTask, read_tasks
from ._options import UNSET
from ._record import FINAL, JobRecord, NewJob, State
from .errors import BadOption, ConfigError

#: The task that tells. No job of it is ever told of.
NAME = "packhorse.notify"
#: What ``{…}`` may stand for in its command, environment and stdin.
FIELDS = ("job", "id", "task", "queue", "state", "user", "host", "because")
_OWN = ("on", "tasks")
_KEYS = ("command", "shell", "cwd", "env", "stdin", "ok", "umask", "nice", "queue", "priority", "timeout", "retry")
_PRIORITY = -100
#: Characters of the job as JSON; of a longer one arguments, meta and result are left out.
_LONG = 200_000
_SPACE = uuid.UUID("8f7a6c9e-6a0e-5c0b-9c6e-2d1f60d3b4aa")


class Notify(NamedTuple):
    """Which ends are told of, and how."""

    on: frozenset[State]
    task: CommandTask
    table: Mapping[str, Any]  #: the task as it would be declared in the file
    only: frozenset[str] = frozenset()  #: jobs of these tasks; none: of all

    def wants(self, state: State, task: str) -> bool:
        """Tell whether such an end is told of: never one of what tells."""
        return state in self.on and task != NAME and (not self.only or task in self.only)

    def job(self, record: JobRecord, data: Mapping[str, Any]) -> NewJob:
        """Return the job that tells of an ended one, always the same for the same end. ``data`` is that job as JSON data."""
        values = _values(record, data)
        given = {name: values[name] for name in self.task.params}
        options = self.task.options
        return NewJob(
            id=str(uuid.uuid5(_SPACE, f"{record.id} {record.generation} {record.finished_at}")),
            task=NAME,
            queue=record.queue if options.queue is UNSET else str(options.queue),
            payload=json.dumps([[], given], separators=(",", ":")),
            priority=_PRIORITY if options.priority is UNSET else options.priority,
            tags='["notify"]',
            meta=json.dumps({"notifies": record.id}),
            by=record.by,
            parent=record.id,
        )


def notify_of(table: Mapping[str, Any], file: str | None, source: str) -> Notify | None:
    """Return what a ``[notify]`` table says; None: there is none. Raises ``ConfigError`` naming the key."""
    if not table:
        return None
    try:
        return _read(table, file)
    except BadOption as error:
        raise ConfigError(f"[notify] ({source}): {str(error).removesuffix(f'  [{error.code}]')}") from None


def _read(table: Mapping[str, Any], file: str | None) -> Notify:
    for key in table:
        if key not in (*_OWN, *_KEYS):
            raise BadOption(f"'{key}' is unknown. There are: {', '.join((*_OWN, *_KEYS))}.")
    on = _list(table.get("on", ["failed"]), "on")
    if unknown := [name for name in on if name not in FINAL]:
        raise BadOption(f"on takes {', '.join(sorted(FINAL))}; not '{unknown[0]}'.")
    if "command" not in table:
        raise BadOption('it takes command = ["/path/of/a/program", …], which gets the job as JSON on stdin.')
    own = {"stdin": "{job}", **{key: value for key, value in table.items() if key in _KEYS}}
    task = read_tasks({NAME: own}, file)[NAME]
    if wrong := [name for name in task.params if name not in FIELDS]:
        raise BadOption(f"{{{wrong[0]}}} is nothing that is known of a job. There are: {', '.join(FIELDS)}.")
    return Notify(frozenset(cast(Sequence[State], on)), task, own, frozenset(_list(table.get("tasks", []), "tasks")))


def _list(value: object, name: str) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise BadOption(f"{name} takes a list of names, not {value!r:.80}.")
    return found


def _values(record: JobRecord, data: Mapping[str, Any]) -> dict[str, str]:
    by = data.get("by") if isinstance(data.get("by"), dict) else {}
    error = data.get("error") if isinstance(data.get("error"), dict) else {}
    said = str((error or {}).get("message", "")).split("\n", 1)[0]
    return {
        "job": _short_enough(data),
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": record.state,
        "user": str((by or {}).get("login") or (by or {}).get("user") or ""),
        "host": str(data.get("host") or ""),
        "because": record.reason or said,
    }


def _short_enough(data: Mapping[str, Any]) -> str:
    text = json.dumps(data)
    if len(text) <= _LONG:
        return text
    less = {**data, "args": None, "kwargs": None, "meta": None, "result": None, "truncated": True}
    return json.dumps(less)
