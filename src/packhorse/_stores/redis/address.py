"""Where the server is, and how to speak to it: what the URL says, checked. Opens nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..._url import StoreUrl, parse
from ...errors import ConfigError

_TLS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = frozenset(
    {
        "namespace", "db", "sentinel", "sentinel_username", "sentinel_password", "cluster", "durability", "connect_timeout",
        "password_file", *_TLS,
    }
)  # fmt: skip
_PORT, _SENTINEL_PORT = 6379, 26379


class Address(NamedTuple):
    """What a store's URL means to this store."""

    url: StoreUrl
    hosts: tuple[tuple[str, int], ...]  #: none: a socket
    socket: str | None
    db: int
    tls: dict[str, Any] | None  #: for redis-py; None: no TLS
    sentinel: str | None  #: the service whose master is meant
    cluster: bool
    fsync: bool  #: every acknowledgement waits for the disk
    connect_timeout: float

    @property
    def shown(self) -> str:
        """Return the URL, secrets masked."""
        return self.url.shown


def locate(text: str) -> Address:
    """Take a URL apart. Raises ``ConfigError``."""
    url = parse(text)
    url.only(_OPTIONS)
    is_socket = url.scheme == "unix"
    if is_socket and not url.path:
        raise ConfigError(
            f"{url.shown}: a socket's URL has its path after three slashes: unix:///run/redis.sock?db=0; nothing was opened."
        )
    sentinel = url.options.get("sentinel") or None
    cluster = url.flag("cluster")
    _refuse_mixtures(url, sentinel, cluster, is_socket)
    port = _SENTINEL_PORT if sentinel else _PORT
    hosts = tuple((host or "localhost", given or port) for host, given in url.hosts) or (("localhost", port),)
    return Address(
        url=url,
        hosts=() if is_socket else hosts,
        socket=f"/{url.path}" if is_socket else None,
        db=_database(url, is_socket),
        tls=_tls(url),
        sentinel=sentinel,
        cluster=cluster,
        fsync=url.one_of("durability", ("server", "fsync"), "server") == "fsync",
        connect_timeout=url.seconds("connect_timeout", 3.0),
    )


def _refuse_mixtures(url: StoreUrl, sentinel: str | None, cluster: bool, is_socket: bool) -> None:
    if sum((sentinel is not None, cluster, is_socket)) > 1:
        raise ConfigError(
            f"{url.shown}: a socket, sentinel= and cluster=1 exclude each other; nothing was opened. Give one of them."
        )
    if len(url.hosts) > 1 and not sentinel and not cluster:
        raise ConfigError(
            f"{url.shown}: several hosts are for sentinel=SERVICE or cluster=1; nothing was opened. Add one of them, or name "
            "one host."
        )


def _database(url: StoreUrl, is_socket: bool) -> int:
    text = url.options.get("db") or ("" if is_socket else url.path) or "0"
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{url.shown}: the database is a number, not {text!r}; nothing was opened.")
    if url.flag("cluster") and int(text):
        raise ConfigError(f"{url.shown}: a cluster has the database 0 only; nothing was opened.")
    return int(text)


def _tls(url: StoreUrl) -> dict[str, Any] | None:
    """Return redis-py's settings for TLS. The server's certificate and name are checked unless the URL says otherwise."""
    given = [name for name in _TLS if name in url.options]
    if url.scheme not in ("rediss", "valkeys"):
        if given:
            raise ConfigError(
                f"{url.shown}: {given[0]} is for TLS, and {url.scheme}:// has none; nothing was opened. Write rediss://."
            )
        return None
    checks = url.one_of("ssl_cert_reqs", ("required", "none"), "required")
    by_name = "ssl_check_hostname" not in url.options or url.flag("ssl_check_hostname")
    return {
        **{name: url.options[name] for name in given if name not in ("ssl_cert_reqs", "ssl_check_hostname")},
        "ssl_cert_reqs": checks,
        "ssl_check_hostname": by_name and checks == "required",
    }
