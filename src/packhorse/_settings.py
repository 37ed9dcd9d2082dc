"""Which store, which namespace, and where each setting came from.

Explicit wins: argument, ``PACKHORSE_URL``, ``store`` in ``packhorse.toml`` or ``[tool.packhorse]`` of ``pyproject.toml``. Else a
store is *guessed* (``_guessing``), and a guess is used only if it is a Packhorse store already (``Settings.guessed``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ._guessing import Candidate, Finding, candidates, choose, file_url
from ._retention import DEFAULT as RETAINED
from ._retention import NOT_SAID, Retention, retention_of, shown
from ._url import driver_of, kind_of, mask, password_source, scheme_of
from .errors import BadName, ConfigError

SCHEMES = ("memory", "postgres", "postgresql", "redis", "rediss", "sqlite", "unix", "valkey", "valkeys")
#: The keys of a config file, and what each must be.
_WANTED: Mapping[str, type | tuple[type, ...]] = {
    "app": (str, list), "commands": (str, list), "hosts": dict, "limits": dict, "namespace": str, "notify": dict,
    "retention": dict, "schedules": dict, "store": str,
    "tasks": dict, "worker": dict, "workspaces": str,
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}\Z")
_DEFAULT_NAMESPACE = "default"
_NAMESPACE = "namespace="
_OWN_FILE, _SHARED_FILE = "packhorse.toml", "pyproject.toml"


_SPEAKS = {
    "PostgreSQL": "Packhorse speaks psycopg 3",
    "Redis": "Packhorse speaks redis-py",
    "Valkey": "Packhorse speaks redis-py",
}

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Setting(NamedTuple):
    """One line of ``packhorse config``."""

    name: str
    value: str  #: secrets masked
    source: str


class Settings(NamedTuple):
    """Where the jobs are, and what else was configured."""

    url: str
    source: str  #: for messages: "from PACKHORSE_URL"
    namespace: str = _DEFAULT_NAMESPACE
    namespace_source: str = "the default"
    guessed: bool = False  #: use it only if it is a Packhorse store already
    makeable: bool = False  #: a worker, and nobody else, may make this guess a store
    config_file: str | None = None
    app: tuple[str, ...] = ()  #: APP of the worker, from PACKHORSE_APP or the config file
    app_source: str = "not set"
    worker: Mapping[str, Any] = _NOTHING  #: table ``[worker]`` of the config file
    limits: Mapping[str, Any] = _NOTHING  #: table ``[limits]``
    tasks: Mapping[str, Any] = _NOTHING  #: tables ``[tasks.NAME]``, as they stand there
    commands: tuple[str, ...] = ()  #: programs that may be run as commands: names, paths, patterns
    workspaces: str | None = None  #: directory for the private directories of commands
    retention: Retention = RETAINED  #: table ``[retention]``
    notify: Mapping[str, Any] = _NOTHING  #: table ``[notify]``
    hosts: Mapping[str, Any] = _NOTHING  #: table ``[hosts]``
    candidates: tuple[Candidate, ...] = ()  #: all that might have been meant, when this one is a guess

    def __repr__(self) -> str:
        """Show it without the password."""
        return f"<Settings {mask(self.url)} ({self.source}), namespace {self.namespace} ({self.namespace_source})>"

    def items(self) -> list[Setting]:
        """Return every setting with its value (secrets masked) and where it came from."""
        found = [
            Setting("store", mask(self.url), self.source),
            *_about_server(self.url),
            Setting("namespace", self.namespace, self.namespace_source),
            Setting("config file", self.config_file or "-", "found" if self.config_file else "none found"),
            Setting("app", " ".join(self.app) or "-", self.app_source),
        ]
        found.extend(Setting(f"worker.{k}", str(v), f"from {self.config_file}") for k, v in self.worker.items())
        found.extend(Setting(f"limits.{k}", str(v), f"from {self.config_file}") for k, v in self.limits.items())
        found.extend(self._about_commands())
        found.extend(Setting(f"hosts.{k}", str(v), f"from {self.config_file}") for k, v in self.hosts.items())
        found.extend(self._about_keeping())
        found.extend(self._about_notify())
        return found

    def _about_notify(self) -> Iterator[Setting]:
        """Yield which ends are told of, and how. Raises ``ConfigError``."""
        if self.notify:
            from ._notify import notify_of

            found = notify_of(self.notify, self.config_file, f"from {self.config_file}")
            assert found is not None
            yield Setting("notify", f"{', '.join(sorted(found.on))}: {found.task.shown}", f"from {self.config_file}")

    def _about_keeping(self) -> Iterator[Setting]:
        """Yield how long what has ended is kept. What prunes are the live workers, each by its own config file."""
        for name, value in self.retention._asdict().items():
            said = value == getattr(RETAINED, name)
            yield Setting(f"retention.{name}", shown(value), "the default" if said else f"from {self.config_file}")

    def _about_commands(self) -> list[Setting]:
        """Return what was configured of commands. Raises ``ConfigError`` for a task that is declared wrongly."""
        source = f"from {self.config_file}"
        found = [Setting("commands", " ".join(self.commands), source)] if self.commands else []
        found.extend([Setting("workspaces", self.workspaces, source)] if self.workspaces else [])
        if self.tasks:
            from ._command_task import read_tasks

            tasks = read_tasks(self.tasks, self.config_file)
            for name, task in tasks.items():
                found.append(Setting(f"tasks.{name}", task.shown, source))
                if task.keep is not NOT_SAID:
                    found.append(Setting(f"tasks.{name}.keep", shown(task.keep), source))
        return found


#: Looks what stands at a place that might be meant, making nothing.
Probe = Callable[[Settings], Finding]


class Config(NamedTuple):
    """The config file nearest to the working directory, if any."""

    path: str | None = None
    values: Mapping[str, Any] = _NOTHING

    @property
    def source(self) -> str:
        """Return where its values come from, for messages."""
        if self.path is None:
            return "no config file"
        return f"from {'[tool.packhorse] of ' if os.path.basename(self.path) == _SHARED_FILE else ''}{self.path}"


def resolve(
    argument: str | None = None,
    app_store: str | None = None,
    *,
    namespace: str | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    probe: Probe | None = None,
) -> Settings:
    """Find the store and the namespace.

    ``argument`` is what a caller gave as ``store=`` (or ``--store``), ``app_store`` and ``namespace`` what its ``App`` has.
    ``environ`` and ``cwd`` are the process's own unless given. ``probe`` looks what stands at a place that might be meant; it is
    asked only where nothing was named and there are several such places. Raises ``NoStore`` if nothing was named and nothing
    found, or without ``probe`` more than one thing, and ``ConfigError`` for a URL or a config file that is wrong.
    """
    env = os.environ if environ is None else environ
    here = os.path.abspath(os.fspath(cwd) if cwd is not None else os.getcwd())
    config = read_config(here)
    named = _named(argument, app_store, env, here, config)
    url, in_url = _split_namespace(named[0]) if named else ("", None)
    chosen, namespace_source = _which_namespace(in_url, namespace, env, config)
    app, app_source = _which_app(env, config)
    settings = Settings(
        url=url,
        source=named[1] if named else "",
        namespace=chosen,
        namespace_source=namespace_source,
        config_file=config.path,
        app=app,
        app_source=app_source,
        worker=config.values.get("worker", {}),
        limits=config.values.get("limits", {}),
        tasks=config.values.get("tasks", {}),
        commands=words_of(config.values.get("commands", ())),
        workspaces=config.values.get("workspaces"),
        retention=retention_of(config.values.get("retention", {}), config.source),
        notify=config.values.get("notify", {}),
        hosts=config.values.get("hosts", {}),
    )
    return settings if named else _guess(settings, env, here, probe)


# -- the store ----------------------------------------------------------------------------------------------------------
def _named(
    argument: str | None, app_store: str | None, env: Mapping[str, str], here: str, config: Config
) -> tuple[str, str] | None:
    """Return URL and source of the first that says something; None: nobody does."""
    named = (
        (argument, "from the argument store=", here),
        (app_store, "from App(store=)", here),
        (env.get("PACKHORSE_URL"), "from PACKHORSE_URL", here),
        (config.values.get("store"), config.source, os.path.dirname(config.path) if config.path else here),
    )
    found = ((normalise(value, source, base), source) for value, source, base in named if value)
    return next(found, None)


def _guess(settings: Settings, env: Mapping[str, str], here: str, probe: Probe | None) -> Settings:
    """Fill in the one place that is meant. Raises ``NoStore``."""

    def there(url: str) -> Settings:
        url, in_url = _split_namespace(url)
        if in_url is None:
            return settings._replace(url=url)
        name = _check_namespace(in_url, "from the guessed URL")
        return settings._replace(url=url, namespace=name, namespace_source="from the guessed URL")

    places = candidates(env, upward(here))
    chosen = choose(places, here, None if probe is None else lambda url: probe(there(url)))
    return there(chosen.url)._replace(
        source=f"guessed: {chosen.source}", guessed=True, makeable=chosen.makeable, candidates=places
    )


def normalise(url: str, source: str, base: str) -> str:
    """Return ``url`` checked and with an absolute path; relative ones begin at ``base``. Raises ``ConfigError``."""
    if not isinstance(url, str):
        raise ConfigError(f"the store must be a URL such as sqlite:///jobs.db, not {url!r} ({source}).")
    scheme = scheme_of(url)
    if scheme not in SCHEMES:
        raise ConfigError(_bad_scheme(url, scheme, source))
    if scheme != "sqlite":
        return url
    head, mark, query = url.partition("?")
    path = head.removeprefix("sqlite:///")
    if path == head or not path:
        raise ConfigError(
            f"{mask(url)} ({source}) names no file. Write sqlite:///jobs.db for one beside the config file or in the "
            "working directory, sqlite:////var/lib/jobs.db for an absolute path."
        )
    return file_url(os.path.abspath(os.path.join(base, os.path.expanduser(_unquoted(path))))) + mark + query


def _unquoted(path: str) -> str:
    if "%" not in path:
        return path
    from urllib.parse import unquote

    return unquote(path)


def _bad_scheme(url: str, scheme: str, source: str) -> str:
    schemes = ", ".join(f"{known}://" for known in SCHEMES)
    if not scheme:
        what = f"that is no URL; a file is written sqlite:///{mask(url)}"
    else:
        from difflib import get_close_matches

        near = get_close_matches(scheme, SCHEMES, 1)
        what = f"unknown scheme '{scheme}'" + (f"; did you mean '{near[0]}'?" if near else "")
    stop = "" if what.endswith("?") else "."
    return f"cannot use the job store {mask(url)} ({source}): {what}{stop} There are {schemes}."


def _about_server(url: str) -> list[Setting]:
    """Return what else is to be known of a server's URL: where its password comes from, and a driver that means nothing."""
    kind = kind_of(url)
    if kind in ("SQLite", "memory"):
        return []
    found = []
    if driver_of(url):
        found.append(Setting("driver", driver_of(url), f"of the store's URL; accepted, and not used: {_SPEAKS[kind]}"))
    source = password_source(url, os.environ)
    return [*found, *([Setting("password", "***", source)] if source else [])]


# -- the namespace and the app ------------------------------------------------------------------------------------------
def _which_namespace(in_url: str | None, given: str | None, env: Mapping[str, str], config: Config) -> tuple[str, str]:
    named = (
        (in_url, "from the store's URL"),
        (given if given != _DEFAULT_NAMESPACE else None, "from App(namespace=)"),
        (env.get("PACKHORSE_NAMESPACE"), "from PACKHORSE_NAMESPACE"),
        (config.values.get("namespace"), config.source),
    )
    for value, source in named:
        if value:
            return _check_namespace(value, source), source
    return _DEFAULT_NAMESPACE, "the default"


def _split_namespace(url: str) -> tuple[str, str | None]:
    """Take ``?namespace=`` out of a URL: the rest is the store's."""
    head, _, query = url.partition("?")
    if "namespace=" not in query:
        return url.rstrip("?"), None
    from urllib.parse import unquote_plus

    # The rest stays as it was written: who unescapes a URL twice may find another password in it.
    options = query.split("&")
    rest = "&".join(option for option in options if not option.startswith(_NAMESPACE))
    found = [unquote_plus(option.removeprefix(_NAMESPACE)) for option in options if option.startswith(_NAMESPACE)]
    return (f"{head}?{rest}" if rest else head), (found[-1] if found else None)


def _check_namespace(value: object, source: str) -> str:
    if isinstance(value, str) and _NAME.match(value):
        return value
    raise BadName(f"the namespace {value!r} ({source}) must be 1 to 200 letters, digits or _ . : -")


def _which_app(env: Mapping[str, str], config: Config) -> tuple[tuple[str, ...], str]:
    if env.get("PACKHORSE_APP"):
        return tuple(env["PACKHORSE_APP"].split()), "from PACKHORSE_APP"
    value = config.values.get("app")
    if value is None:
        return (), "not set"
    return words_of(value), config.source


def words_of(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the words of a setting that may be one or a list."""
    return (value,) if isinstance(value, str) else tuple(map(str, value))


# -- the config file ----------------------------------------------------------------------------------------------------
def read_config(here: str) -> Config:
    """Return the nearest ``packhorse.toml`` or ``[tool.packhorse]``, from ``here`` up to the project's root."""
    for folder in upward(here):
        own = os.path.join(folder, _OWN_FILE)
        if os.path.isfile(own):
            return Config(own, _checked(_load(own), own))
        shared = os.path.join(folder, _SHARED_FILE)
        if os.path.isfile(shared):
            table = _load(shared).get("tool", {}).get("packhorse")
            return Config() if table is None else Config(shared, _checked(table, shared))
    return Config()


def config_files(here: str) -> list[str]:
    """Return the files in which ``read_config`` may find something, nearest first."""
    every = [os.path.join(folder, name) for folder in upward(here) for name in (_OWN_FILE, _SHARED_FILE)]
    return [file for file in every if os.path.isfile(file)]


def upward(here: str) -> list[str]:
    """Return ``here`` and the folders above it, up to the project's root (``.git`` or ``pyproject.toml``)."""
    found = [here]
    while not any(os.path.exists(os.path.join(found[-1], mark)) for mark in (".git", _SHARED_FILE)):
        above = os.path.dirname(found[-1])
        if above == found[-1]:
            break
        found.append(above)
    return found


def _load(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}.") from error


def _checked(values: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Refuse what would be silently ignored."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: [tool.packhorse] must be a table.")
    for name in values:
        if name not in _WANTED:
            from difflib import get_close_matches

            near = get_close_matches(name, _WANTED, 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(_WANTED)}."
            raise ConfigError(f"{path}: unknown key '{name}'{hint}")
    for name, wanted in _WANTED.items():
        if name in values and not isinstance(values[name], wanted):
            raise ConfigError(f"{path}: '{name}' cannot be {values[name]!r}.")
    return values
