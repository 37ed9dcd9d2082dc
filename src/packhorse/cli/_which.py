"""Which jobs a command is about: options, or words like ``queue:mail``, that say so."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import click

from .._record import State
from .._store import JobFilter, Store
from .._when import since as moment_since
from ..errors import BadOption
from ._names import canonical

F = TypeVar("F", bound=Callable[..., Any])
STATES = get_args(State)
_KEYS = ("state", "task", "queue", "tag", "flow", "since", "text")

_FILTERS = (
    click.option("--state", "states", metavar="STATE", multiple=True, help="One of the eight states, or several: a,b."),
    click.option("--task", metavar="TASK", help="Jobs of this task."),
    click.option("-q", "--queue", metavar="QUEUE", help="Jobs of this queue."),
    click.option("--tag", metavar="TAG", help="Jobs with this tag."),
    click.option("--flow", metavar="FLOW", help="Members of this flow."),
    click.option("--since", metavar="WHEN", help="Enqueued since: 1h, 15:00 or a date."),
    click.option("--text", metavar="TEXT", help="Found in arguments, meta, tags, error or reason."),
)


def filters(command: F) -> F:
    """Add the options that say which jobs are meant."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def chosen(store: Store, given: dict[str, Any]) -> JobFilter:
    """Return the filter that these options make."""
    since = given.get("since")
    return JobFilter(
        states=_states(given.get("states") or ()),
        queue=given.get("queue"),
        task=canonical(store, given["task"]) if given.get("task") else None,
        tag=given.get("tag"),
        flow=given.get("flow"),
        text=given.get("text"),
        since=moment_since(since, "--since", store.now()) if since else None,
    )


def _states(words: tuple[str, ...]) -> tuple[State, ...]:
    names = [name.strip().lower() for word in words for name in word.split(",") if name.strip()]
    for name in names:
        if name not in STATES:
            raise BadOption(f"--state: '{name}' is not a state. There are: {', '.join(STATES)}.")
    return tuple(dict.fromkeys(names))  # type: ignore[arg-type]


def asked(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the ids and the conditions among words: ``JOB``, ``queue:mail``, ``"state:queued text:'two words'"``."""
    ids: list[str] = []
    given: dict[str, Any] = {}
    for part in (part for word in words for part in _parts(word)):
        key, mark, value = part.partition(":")
        if not mark:
            ids.append(part)
        elif key not in _KEYS or not value:
            raise click.UsageError(f"'{part}' is neither a job nor a condition. Conditions: {':…, '.join(_KEYS)}:….")
        elif key == "state":
            given["states"] = (*given.get("states", ()), value)
        elif key in given:
            raise click.UsageError(f"'{key}:' is given twice.")
        else:
            given[key] = value
    return ids, given


def _parts(word: str) -> list[str]:
    try:
        return shlex.split(word)
    except ValueError as error:
        raise click.UsageError(f"{word!r}: {error}.") from None
