"""The URL of a store on a server: taken apart, checked, and made fit to be shown. Pure.

``scheme://user:password@host:port,host:port/path?option=value``. Every part is percent-decoded. A password may hold an ``@`` or
a ``/`` that nobody escaped: up to the last ``@`` all is user and password.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .errors import ConfigError

_SECRET = re.compile(r"(?i)((?:password|passwd|secret|token|sslpassword)=)[^&]*")
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})


class StoreUrl(NamedTuple):
    """The parts of a store's URL."""

    shown: str  #: the whole, secrets masked
    scheme: str  #: lower case, without the driver: ``postgresql+psycopg`` is ``postgresql``
    user: str | None = None
    password: str | None = None
    hosts: tuple[tuple[str, int | None], ...] = ()  #: (host, port) in the order given; none for a socket or the default
    path: str = ""  #: without its first slash: a database's name or number, or with ``unix`` the socket's path
    options: Mapping[str, str] = MappingProxyType({})

    def flag(self, name: str) -> bool:
        """Return a yes-or-no option; absent is no. Raises ``ConfigError``."""
        value = self.options.get(name, "0").lower()
        if value not in _YES | _NO:
            raise self.wrong(name, "is 1 or 0")
        return value in _YES

    def seconds(self, name: str, default: float) -> float:
        """Return an option that is a positive number of seconds. Raises ``ConfigError``."""
        try:
            value = float(self.options.get(name, default))
        except ValueError:
            value = 0.0
        if not 0 < value < 86_400:
            raise self.wrong(name, "is a number of seconds above 0")
        return value

    def one_of(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return an option that has one of a few values. Raises ``ConfigError``."""
        value = self.options.get(name, default)
        if value not in allowed:
            raise self.wrong(name, f"is one of {', '.join(sorted(allowed))}")
        return value

    def only(self, known: Collection[str]) -> None:
        """Refuse options nobody would read. Raises ``ConfigError``."""
        for name in self.options:
            if name not in known:
                from difflib import get_close_matches

                near = get_close_matches(name, known, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(known))}."
                raise ConfigError(
                    f"{self.shown}: unknown option {name!r} in the store's URL; nothing was opened. {hint}"
                )

    def wrong(self, name: str, rule: str) -> ConfigError:
        """Return the error that says what an option has to be."""
        return ConfigError(f"{self.shown}: the option {name}={self.options.get(name)!r} {rule}; nothing was opened.")


def parse(url: str) -> StoreUrl:
    """Take a URL apart. Raises ``ConfigError`` for a port that is no number."""
    from urllib.parse import parse_qsl, unquote

    head, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    login, at, place = place.rpartition("@")
    user, colon, password = login.partition(":")
    network, _, path = place.partition("/")
    shown = mask(url)
    return StoreUrl(
        shown=shown,
        scheme=head.partition("+")[0].lower(),
        user=unquote(user) if at and user else None,
        password=unquote(password) if colon else None,
        hosts=tuple(_host(text, shown) for text in network.split(",") if text),
        path=unquote(path),
        options=MappingProxyType(dict(parse_qsl(query, keep_blank_values=True))),
    )


def _host(text: str, shown: str) -> tuple[str, int | None]:
    from urllib.parse import unquote

    found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d*))?", text)
    if found is None or (found[2] and int(found[2]) > 65_535):
        raise ConfigError(f"{shown}: {text!r} is not a host with an optional port (host:6379, [::1]:6379).")
    return unquote(found[1].strip("[]")), int(found[2]) if found[2] else None


def mask(url: str) -> str:
    """Return a URL that can be shown: every password becomes ``***``."""
    scheme, separator, rest = url.partition("://")
    place, mark, query = rest.partition("?")
    if separator and scheme != "sqlite" and "@" in place:
        user, _, host = place.rpartition("@")
        name, colon, _ = user.partition(":")
        place = f"{name}{':***' if colon else ''}@{host}"
    return f"{scheme}{separator}{place}{mark}{_hide(query)}"


def _hide(query: str) -> str:
    return _SECRET.sub(r"\1***", query)
