"""Which jobs are meant: the options that say so, and what they make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, TypeVar, get_args

import click

from .._batches import flow_of, numbers
from .._looking import Meant, Wanted
from .._record import State
from .._store import JobFilter, Store
from .._when import since as moment_since
from .._when import zone
from ..errors import BadOption
from ._names import canonical

F = TypeVar("F", bound=Callable[..., Any])
STATES = get_args(State)


def _adding(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


#: Which jobs: every command that finds some takes these, by the same names.
filters = _adding(
    click.option("--state", "states", metavar="STATE", multiple=True, help="One of the eight states, or several: a,b."),
    click.option("--task", metavar="TASK", help="Jobs of this task."),
    click.option("-q", "--queue", metavar="QUEUE", help="Jobs of this queue."),
    click.option("--tag", metavar="TAG", help="Jobs with this tag."),
    click.option("--flow", metavar="FLOW", help="Members of this flow."),
    click.option("--batch", metavar="N", help="Members of this batch, as submit numbers them, or of 812-815."),
    click.option("--since", metavar="WHEN", help="Enqueued since: 1h, 15:00, 'yesterday 17:00', or a date."),
    click.option("--until", metavar="WHEN", help="Enqueued before."),
    click.option("--text", metavar="TEXT", help="Found in arguments, meta, tags, error or reason."),
    # Conditions on how a job last ran; they are looked for one job after the other.
    click.option("--host", "hosts", metavar="HOST", multiple=True, help="Where they run, or ran last; several: a,b."),
    click.option("--exit", "exits", metavar="N", multiple=True, help="Exit status or signal of a command: 3, or 1,2."),
    click.option("--tz", metavar="ZONE", help="Of times typed and shown, like Europe/Vienna. Default: local."),
)


def zone_of(given: Mapping[str, Any]) -> tzinfo | None:
    """Return the zone of what is typed and shown; None: that of this machine. Raises ``BadOption``."""
    return zone(given["tz"], "--tz") if given.get("tz") else None


def meant_jobs(store: Store, given: Mapping[str, Any]) -> Meant:
    """Return the jobs that these options mean. Raises ``BadOption``."""
    where, now = zone_of(given), store.now()
    since, until = given.get("since"), given.get("until")
    which = JobFilter(
        states=_states(given.get("states") or ()),
        queue=given.get("queue"),
        task=canonical(store, given["task"]) if given.get("task") else None,
        tag=given.get("tag"),
        flow=given.get("flow"),
        text=given.get("text"),
        since=moment_since(since, "--since", now, where) if since else None,
        until=moment_since(until, "--until", now, where) if until else None,
    )
    return Meant(_in_batches(which, given.get("batch")), _wanted(given))


def _in_batches(which: JobFilter, batches: str | None) -> tuple[JobFilter, ...]:
    if batches is None:
        return (which,)
    if which.flow is not None:
        raise BadOption("Give --batch or --flow, not both.")
    return tuple(which._replace(flow=flow_of(number)) for number in numbers(batches))


def _wanted(given: Mapping[str, Any]) -> Wanted:
    """Return the conditions on the last run. A host may be meant by its alias."""
    hosts, exits = _words(given.get("hosts") or ()), _words(given.get("exits") or ())
    for word in exits:
        if not (word.isdecimal() or word.upper().startswith("SIG")):
            raise BadOption(f"--exit takes exit statuses and names of signals, like 3 or SIGKILL; not {word!r}.")
    meant = {*hosts, *(host for host, alias in aliases().items() if alias in hosts)}
    exact = {str(int(word)) if word.isdecimal() else word.upper() for word in exits}
    return Wanted(frozenset(meant), frozenset(exact))


def aliases() -> Mapping[str, str]:
    """Return the names under which hosts are to be shown: table ``[hosts]`` of the config file."""
    from .._settings import read_config

    config = read_config(os.getcwd())
    table = config.values.get("hosts", {})
    for host, alias in table.items():
        if not isinstance(alias, str) or not alias:
            raise BadOption(f"[hosts] ({config.source}): {host} = {alias!r}; a host's other name is text.")
    return dict(table)


def _words(given: tuple[str, ...]) -> list[str]:
    return [word.strip() for each in given for word in each.split(",") if word.strip()]


def _states(words: tuple[str, ...]) -> tuple[State, ...]:
    names = [name.lower() for name in _words(words)]
    for name in names:
        if name not in STATES:
            raise BadOption(f"--state: '{name}' is not a state. There are: {', '.join(STATES)}.")
    return tuple(dict.fromkeys(names))  # type: ignore[arg-type]
