"""The URL of a store on a server: taken apart, checked, and made fit to be shown. Pure.

``scheme://user:password@host:port,host:port/path?option=value``. Every part is percent-decoded. A password may hold an ``@`` or
a ``/`` that nobody escaped: up to the last ``@`` all is user and password. One with a ``?`` in it has to be escaped, and is
refused, unseen, if it is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .errors import ConfigError

#: Options whose names end so have values that are nobody's business.
_SECRETS = ("password", "passwd", "passphrase", "secret", "token")
_HIDDEN = "***"
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

    def __repr__(self) -> str:
        """Show it without its password."""
        return f"<StoreUrl {self.shown}>"

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
        value = _HIDDEN if name.lower().endswith(_SECRETS) else repr(self.options.get(name))
        return ConfigError(f"{self.shown}: the option {name}={value} {rule}; nothing was opened.")

    def scrub(self, text: str) -> str:
        """Return a text, such as a driver's error, without this URL's password in it."""
        for secret in filter(None, (self.password, *self._secret_options())):
            for form in sorted(_forms(secret), key=len, reverse=True):
                text = text.replace(form, _HIDDEN)
        return text

    def _secret_options(self) -> list[str]:
        return [value for name, value in self.options.items() if name.lower().endswith(_SECRETS)]


def _forms(secret: str) -> set[str]:
    """Return the ways in which a secret may have been written, in a URL or by a driver that quotes."""
    from urllib.parse import quote, quote_plus

    escaped = {quote(secret, safe=safe) for safe in ("", "/", "'", "!$&'()*+,;=:")}
    backslashed = secret.replace("\\", "\\\\").replace("'", "\\'")
    return {secret, quote_plus(secret), repr(secret)[1:-1], backslashed, *escaped}


def parse(url: str) -> StoreUrl:
    """Take a URL apart. Raises ``ConfigError`` for a port that is no number, and for what cannot be told apart."""
    from urllib.parse import parse_qsl, unquote

    head, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    shown = mask(url)
    if "@" in query and "@" not in place and not _is_network(place.partition("/")[0]):
        raise ConfigError(f"{shown}: write a ? in a user name or password as %3F; nothing was opened.")
    login, at, place = place.rpartition("@")
    user, colon, password = login.partition(":")
    network, _, path = place.partition("/")
    return StoreUrl(
        shown=shown,
        scheme=head.partition("+")[0].lower(),
        user=unquote(user) if at and user else None,
        password=unquote(password) if colon else None,
        hosts=tuple(_host(text, shown) for text in network.split(",") if text),
        path=unquote(path),
        options=MappingProxyType(dict(parse_qsl(query, keep_blank_values=True))),
    )


_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?")


def _host(text: str, shown: str) -> tuple[str, int | None]:
    from urllib.parse import unquote

    found = _HOST.fullmatch(text)
    if found is None or (found[2] and int(found[2]) > 65_535):
        # The text itself is not shown: whoever forgot the @ has a password there.
        raise ConfigError(
            f"{shown}: a host with an optional port is written host:6379 or [::1]:6379, after the @ if there is a password; "
            "nothing was opened."
        )
    return unquote(found[1].strip("[]")), int(found[2]) if found[2] else None


def _is_network(text: str) -> bool:
    return all(_HOST.fullmatch(part) for part in text.split(","))


def mask(url: str) -> str:
    """Return a URL that can be shown: every password becomes ``***``.

    In doubt more is hidden than need be: all from the first colon to the last ``@``, wherever that is.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    if scheme == "sqlite":
        return _hide_options(url)
    login, at, rest = rest.rpartition("@")
    if not at:
        return f"{scheme}{separator}{_hide_options(_hide_port(rest) if separator else rest)}"
    name, colon, _ = login.partition(":")
    return f"{scheme}{separator}{f'{name}:{_HIDDEN}' if colon else _hide_options(name)}@{_hide_options(rest)}"


def _hide_port(rest: str) -> str:
    """Hide what stands where a port should and is none: a password whose ``@`` was forgotten."""
    end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    return rest if _is_network(rest[:end]) else f"{rest.partition(':')[0]}:{_HIDDEN}"


def _hide_options(text: str) -> str:
    head, mark, query = text.partition("?")
    return f"{head}{mark}{'&'.join(map(_hide_option, query.split('&')))}"


def _hide_option(option: str) -> str:
    name, equals, _ = option.partition("=")
    if not equals:
        return option
    from urllib.parse import unquote_plus

    return f"{name}={_HIDDEN}" if unquote_plus(name).strip().lower().endswith(_SECRETS) else option


# -- what a URL means to people ---------------------------------------------------------------------------------------------
_KINDS = {"sqlite": "SQLite", "memory": "memory", "postgres": "PostgreSQL", "postgresql": "PostgreSQL", "unix": "Redis"}


def kind_of(url: str) -> str:
    """Return what kind of store a URL names, as people write it: SQLite, PostgreSQL, Redis, Valkey, memory."""
    scheme = scheme_of(url)
    return _KINDS.get(scheme) or ("Valkey" if scheme.startswith("valkey") else "Redis")


def scheme_of(url: str) -> str:
    """Return the scheme in lower case without a driver; empty for what is no URL."""
    head, separator, _ = url.partition("://")
    return head.partition("+")[0].lower() if separator else ""


def driver_of(url: str) -> str:
    """Return the driver that SQLAlchemy would be told (``postgresql+psycopg``), which means nothing here; else nothing."""
    return url.partition("://")[0].partition("+")[2] if "://" in url else ""


def hurried(url: str, seconds: float) -> str:
    """Return the URL of a server with so long to connect, unless it says itself how long that may take."""
    if kind_of(url) in ("SQLite", "memory") or "connect_timeout=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}connect_timeout={seconds:g}"


def password_source(url: str, environ: Mapping[str, str]) -> str | None:
    """Return where the password of a server comes from, for people; None: from nowhere that Packhorse looks at."""
    try:
        parts = parse(url)
    except ConfigError:
        return None
    if parts.password is not None:
        return "from the store's URL"
    if parts.options.get("password_file"):
        return f"from the file {parts.options['password_file']}"
    return "from PACKHORSE_PASSWORD" if environ.get("PACKHORSE_PASSWORD") else None


#: Where these servers listen by themselves.
_PORTS = (5432, 6379)


def remedy(url: str) -> str:
    """Return the command that shows whether the store of a URL can be reached."""
    kind = kind_of(url)
    if kind == "SQLite":
        return f"ls -l {url.removeprefix('sqlite:///').partition('?')[0]}"
    try:
        parts = parse(url)
    except ConfigError:
        return "packhorse config"
    host, port = parts.hosts[0] if parts.hosts else ("", None)
    port = None if port in _PORTS else port
    if kind == "PostgreSQL":
        return " ".join(["pg_isready", *_option("-h", host), *_option("-p", port), *_option("-d", parts.path)])
    if parts.scheme == "unix":
        return f"redis-cli -s /{parts.path} ping"
    tls = ["--tls"] if parts.scheme in ("rediss", "valkeys") else []
    return " ".join(["redis-cli", *tls, *_option("-h", host or "localhost"), *_option("-p", port), "ping"])


def _option(flag: str, value: object) -> list[str]:
    return [f"{flag} {value}"] if value else []
