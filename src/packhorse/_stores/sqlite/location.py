"""Which file a URL means, and whether it may hold jobs."""

from __future__ import annotations

import os
import stat
from typing import Literal, NamedTuple

from ...errors import BadStore, ConfigError, StoreUnavailable
from .network import network_file_system

Synchronous = Literal["full", "normal"]
_CHOICES = {"synchronous": ("full", "normal"), "network": ("allow", "refuse")}
_KNOWN = sorted([*_CHOICES, "namespace"])


class Location(NamedTuple):
    """A SQLite URL, taken apart."""

    path: str  #: absolute
    synchronous: Synchronous = "full"
    network: bool = False  #: allowed on a network file system
    namespace: str | None = None


def locate(url: str) -> Location:
    """Take a URL apart: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, with ``?synchronous=``,
    ``?network=`` and ``?namespace=``."""
    body, _, query = url.partition("?")
    name = _unquoted(body.removeprefix("sqlite:///"))
    if not body.startswith("sqlite:///") or not name or "\0" in name:
        raise ConfigError(
            f"The store URL {url!r} names no file. Write sqlite:///packhorse.db for a file in the working directory, "
            "or sqlite:////var/lib/app/packhorse.db with four slashes for an absolute path."
        )
    options = _options(url, query)
    return Location(
        path=os.path.abspath(name),
        synchronous="normal" if options.get("synchronous") == "normal" else "full",
        network=options.get("network") == "allow",
        namespace=options.get("namespace") or None,
    )


def _unquoted(name: str) -> str:
    if "%" not in name:
        return name
    from urllib.parse import unquote  # slow to import, and rarely needed

    return unquote(name)


def _options(url: str, query: str) -> dict[str, str]:
    if not query:
        return {}
    from urllib.parse import parse_qsl

    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _KNOWN:
            raise ConfigError(f"The store URL {url!r} has the unknown option {name!r}; known are: {', '.join(_KNOWN)}.")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ConfigError(
                f"The store URL {url!r} says {name}={value}; {name} is one of: {', '.join(_CHOICES[name])}."
            )
    return options


def inspect(location: Location, create: bool) -> None:
    """Refuse a place that cannot hold jobs, saying why and what to do. Nothing is created or changed."""
    path, parent = location.path, os.path.dirname(location.path)
    if not os.path.isdir(parent):
        raise BadStore(
            f"The job store {path} cannot be opened: its directory {parent} does not exist. "
            f"Create it (mkdir -p {parent}), or correct the store URL."
        )
    if not location.network:
        _refuse_network(path, parent)
    if os.path.lexists(path):
        _inspect_file(path)
    elif not create:
        raise StoreUnavailable(
            f"There is no job store at {path}. Start a worker with this store URL, or run: packhorse db migrate"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadStore(
            f"The job store {path} cannot be used: SQLite keeps two more files beside it, and {_refusal(parent)}"
        )


def _inspect_file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise BadStore(f"The job store {path} cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise BadStore(
            f"The job store {path} is {what}. The store URL must name a file, for example "
            f"sqlite:///{os.path.join(path, 'packhorse.db')}"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise BadStore(f"The job store cannot be used: {_refusal(path)}")


def _refusal(path: str) -> str:
    """Say who may not write what, and whose it is."""
    found = os.stat(path)
    return (
        f"{path} is not writable by uid {os.geteuid()} ({_user(os.geteuid())}): it belongs to uid {found.st_uid} "
        f"({_user(found.st_uid)}), mode {stat.S_IMODE(found.st_mode):04o}. Change its owner or mode, or run as its owner."
    )


def _user(uid: int) -> str:
    try:
        import pwd  # where there is no such thing, as on Windows, nobody has a number for a name either

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return "no name"


def _refuse_network(path: str, parent: str) -> None:
    kind = network_file_system(path if os.path.exists(path) else parent)
    if kind is not None:
        raise BadStore(
            f"The job store {path} is on a network file system ({kind}), where SQLite's locks cannot be trusted and jobs could "
            "be lost. Use a local disk, or a server store. If you are sure its locks work and only one "
            "host uses it, add ?network=allow to the store URL."
        )
