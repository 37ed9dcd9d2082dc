"""``packhorse worker``: its options, from the command line, the environment and the config file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .._durations import seconds
from ..errors import BadName, BadOption, ConfigError, PackhorseError
from ._session import Session, app_specs, with_session

if TYPE_CHECKING:
    from .._command_task import CommandTask
    from .._notify import Notify
    from .._store import Store
    from .._worker.config import Connect, WorkerConfig

#: Heading → the options under it, in the order of the page.
_GROUPS: dict[str, tuple[str, ...]] = {
    "What it runs": ("queue", "allow_commands", "needs", "workspaces", "burst", "name"),
    "How much at a time": ("processes", "threads", "coroutines", "max_jobs", "max_memory"),
    "How it stops and reports": ("grace", "exclusive_patience", "quiet_after", "log_level", "log_format", "log_file"),
    "Where the jobs are": ("store", "namespace", "no_retry", "debug", "help"),
}
_LEAST_PATIENCE = 15
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)i?b?")


class GroupedCommand(click.Command):
    """A command whose page shows its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group, and last what belongs to none."""
        records = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx)}
        for heading, names in _GROUPS.items():
            rows = [record for name in names if (record := records.pop(name, None)) is not None]
            with formatter.section(heading):
                formatter.write_dl(rows)


class Checked(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A value read by a function that raises ``BadOption``."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        """Name the kind of value, and how it is read."""
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value read, or tell what is wrong with it."""
        try:
            return self._read(str(value))
        except BadOption as error:
            self.fail(str(error).removesuffix(f"  [{error.code}]"), param, ctx)


def size(text: str) -> int:
    """Return a size in bytes: ``300M``, ``1.5G``, ``1048576``. Raises ``BadOption``."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise BadOption(f"a size is a number with a unit K M G T, like 300M or 1.5G; not {text!r}.")
    return int(float(match[1]) * _SIZES[match[2]])


def grace(text: str) -> float | None:
    """Return seconds, or None for ``none``."""
    return None if text.strip().lower() == "none" else seconds(text, "the grace")


def patience(text: str) -> float:
    """Return seconds, at least 15: an answer to a beat may be late by a beat or two."""
    found = seconds(text, "the patience")
    if found < _LEAST_PATIENCE:
        raise BadOption(f"--exclusive-patience takes {_LEAST_PATIENCE} s or more, not {text!r}.")
    return found


def quiet(text: str) -> float:
    """Return seconds without output after which a command is shown as quiet."""
    return seconds(text, "quiet_after")


_COUNT = click.IntRange(min=1)
_GRACE = Checked("duration", grace)
_PATIENCE = Checked("duration", patience)
_LEVEL = click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False)


@click.command("worker", cls=GroupedCommand, context_settings={"auto_envvar_prefix": "PACKHORSE_WORKER"})
@click.argument("app", nargs=-1, metavar="[APP…]", envvar="PACKHORSE_APP")
@click.option(
    "-q", "--queue", metavar="QUEUE", multiple=True, help="a,b: in turn; -q a -q b: a first; %h: host; or all."
)
@click.option("--allow-commands", metavar="PROGRAM", multiple=True, help="May be run as jobs: ffmpeg,/opt/bin/*")
@click.option("--needs", metavar="NEED", multiple=True, help="Else no command runs here: mount:/content")
@click.option("--workspaces", metavar="DIR", help="For the private directories of commands.")
@click.option("--burst", is_flag=True, help="Exit once nothing is left that could run now.")
@click.option("--name", metavar="NAME", default="%H:%p", show_default=True, help="%h %H host, %p pid, %i instance.")
@click.option("--processes", metavar="N", type=_COUNT, default=1, show_default=True, help="Children.")
@click.option("--threads", metavar="N", type=_COUNT, default=1, show_default=True, help="Jobs at a time in a child.")
@click.option("--coroutines", metavar="N", type=_COUNT, help="The same, in one event loop.")
@click.option("--max-jobs", metavar="N", type=_COUNT, help="Replace a child after so many jobs.")
@click.option("--max-memory", metavar="SIZE", type=Checked("size", size), help="Replace a child above this, like 300M.")
@click.option(
    "--grace", metavar="25s|none", type=_GRACE, default="25s", show_default=True, help="For running jobs to end."
)
@click.option(
    "--exclusive-patience", metavar="100s", type=_PATIENCE, default="100s", show_default=True,
    help="Without the store, then stop jobs that reserve.",
)  # fmt: skip
@click.option(
    "--quiet-after", metavar="10m", type=Checked("duration", quiet), default="10m", show_default=True,
    help="Show a command as quiet.",
)  # fmt: skip
@click.option("--log-level", metavar="LEVEL", type=_LEVEL, default="info", show_default=True, help="debug … critical.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of each line."
)
@click.option("--log-file", metavar="PATH", help="Append to a file (logrotate may move it).")
@click.option("--no-retry", is_flag=True, help="Exit 69 if the store cannot be reached at start.")
@with_session
def worker(session: Session, **options: Any) -> int:
    """Run jobs. APP is a module, a package, a file or module:attr.

    Each option is also PACKHORSE_WORKER_<OPTION>, and a key of [worker] in packhorse.toml.
    """
    from .. import _logs
    from .._worker.run import run_worker

    config = configure(session, options)
    _logs.configure(config.log_level, config.log_format, config.log_file)
    return int(run_worker(config, connector(session), lambda: prepare(session)))


# -- settings ---------------------------------------------------------------------------------------------------------
def configure(session: Session, options: dict[str, Any]) -> WorkerConfig:
    """Return the worker's settings: command line > environment > config file > default."""
    from .._programs import split
    from .._retention import retention_of
    from .._settings import words_of
    from .._worker.config import WorkerConfig

    ctx = click.get_current_context()
    file = _configured()
    notify = _notify_of(file)
    app, plain = _application(session, tuple(options["app"]))
    given = {**options, **_from_file(ctx, file.values.get("worker", {}), file.source)}
    if given["coroutines"] and given["threads"] > 1:
        raise click.UsageError("--threads and --coroutines exclude each other: a child has the one or the other.")
    return WorkerConfig(
        app=app,
        queues=queues(given["queue"]),
        processes=given["processes"],
        threads=given["threads"],
        coroutines=given["coroutines"] or 0,
        burst=given["burst"],
        name=given["name"],
        grace=given["grace"],
        max_jobs=given["max_jobs"],
        max_memory=given["max_memory"],
        log_level=given["log_level"].lower(),
        log_format=given["log_format"],
        log_file=given["log_file"],
        exclusive_patience=given["exclusive_patience"],
        no_retry=given["no_retry"],
        limits=_limits_of(file),
        tasks={**_tasks_of(file), **({} if notify is None else {notify.task.name: notify.task})},
        tables={**file.values.get("tasks", {}), **({} if notify is None else {notify.task.name: notify.table})},
        tables_file=file.path,
        commands=split([*words_of(file.values.get("commands", ())), *given["allow_commands"]]),
        needs=_needs(given["needs"]),
        workspaces=given["workspaces"] or _beside(file, file.values.get("workspaces")),
        retention=retention_of(file.values.get("retention", {}), file.source),
        notify=notify,
        quiet_after=given["quiet_after"],
        plain=plain,
    )


def _limits_of(file: Any) -> Mapping[str, str]:
    """Return the limits of the config file, checked."""
    from .._limits import checked_limits

    try:
        return checked_limits(file.values.get("limits", {}), f"[limits] ({file.source})")
    except (BadOption, BadName) as error:
        raise ConfigError(str(error).removesuffix(f"  [{error.code}]")) from error


def _needs(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the host must have, checked."""
    if not given:
        return ()
    from .._command_checks import needs

    try:
        return needs(given, "--needs")
    except BadOption as error:
        raise ConfigError(str(error).removesuffix(f"  [{error.code}]")) from error


def _beside(file: Any, path: str | None) -> str | None:
    """Return a path of the config file, relative to that."""
    return path and os.path.join(os.path.dirname(file.path), os.path.expanduser(path))


def _tasks_of(file: Any) -> Mapping[str, CommandTask]:
    """Return the commands that the config file declares, checked."""
    if not file.values.get("tasks"):
        return {}
    from .._command_task import read_tasks

    return read_tasks(file.values["tasks"], file.path)


def _notify_of(file: Any) -> Notify | None:
    """Return which ends are told of, checked; None: none."""
    if not file.values.get("notify"):
        return None
    from .._notify import notify_of

    return notify_of(file.values["notify"], file.path, file.source)


def queues(given: tuple[str, ...]) -> tuple[tuple[str, ...], ...] | None:
    """Return groups of queues: those of one ``-q`` in turn, one ``-q`` after the other; ``%h`` is the host. None: every queue."""
    from .._host_queue import filled
    from .._names import queue_name

    groups = [tuple(filled(name.strip()) for name in each.split(",") if name.strip()) for each in given]
    checked = tuple(tuple(queue_name(name, "-q") for name in dict.fromkeys(group)) for group in groups if group)
    return checked or None


def _configured() -> Any:
    """Return the config file's settings; unlike the store's, they need no store."""
    from .._settings import read_config

    return read_config(os.getcwd())


def _from_file(ctx: click.Context, table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the values of ``[worker]`` for what neither the command line nor the environment gave."""
    foreign = ("app", "store", "namespace", "debug")
    params = {param.name: param for param in ctx.command.params if param.name not in foreign}
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in params:
            there = ", ".join(sorted(map(str, params)))
            raise ConfigError(f"[worker] has no setting '{key}' ({source}); there are: {there}.")
        if ctx.get_parameter_source(name) in (ParameterSource.DEFAULT, None):
            found[name] = _typed(ctx, params[name], key, value, source)
    return found


def _typed(ctx: click.Context, param: click.Parameter, key: str, value: Any, source: str) -> Any:
    many = param.multiple and not isinstance(value, list)
    try:
        return param.type_cast_value(ctx, [value] if many else value)
    except click.BadParameter as error:
        raise ConfigError(f"[worker] {key} = {value!r} ({source}): {error.message}") from error


def _application(session: Session, typed: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, object] | None]:
    """Return what children import, and the plain part of an App that they cannot import and need not.

    Raises ``NotLoadable`` for an App whose middleware or types they would have to import from nowhere.
    """
    if typed or session.app is None:
        return app_specs(session, typed), None
    place = session.app.must_be_importable()
    return ((place,), None) if place else (tuple(session.app.tasks), session.app.plain())


def prepare(session: Session) -> None:
    """Import what the store needs that seems to be meant. The App may still name another; nothing is opened or said here."""
    from .. import _runtime, _settings

    with suppress(PackhorseError):
        _runtime.prepare(_settings.resolve(session.store, getattr(session.app, "store", None)))


def connector(session: Session) -> Connect:
    """Return how the worker finds its store from an App's plain part."""
    from .. import _runtime
    from .._worker.config import Place

    def connect(plain: Mapping[str, object]) -> Place:
        store, namespace = plain.get("store"), plain.get("namespace")
        settings = session.settings(str(store) if store else None, str(namespace) if namespace else None)

        def opened(create: bool) -> Store:
            return _runtime.open_store(settings, create=create and (settings.makeable or not settings.guessed))

        return Place(settings.url, settings.namespace, settings.source, opened)

    return connect
