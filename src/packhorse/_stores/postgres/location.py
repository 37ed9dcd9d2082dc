"""What a store's URL says: where the server is, and which options are ours and which the driver's."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from ..._url import StoreUrl, parse
from ...errors import ConfigError

_OURS = ("schema", "pooler", "listen", "namespace", "password_file", "connect_timeout")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
#: A connection on which nothing comes back any more ends after about so long, and is noticed sooner by the deadlines.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}


class Location(NamedTuple):
    """Where a store is."""

    url: StoreUrl
    schema: str
    namespace: str | None
    pooler: bool  #: PgBouncer, or the like, gives each transaction another session
    listen: bool
    parameters: dict[str, str | int]  #: of libpq; without the password, which is read at each connection


def locate(text: str) -> Location:
    """Take a store's URL apart. Raises ``ConfigError``."""
    url = parse(text)
    url.only((*_OURS, *_known()))
    schema = url.options.get("schema", "packhorse")
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise url.wrong("schema", "is the name of a schema: small letters, digits and _, at most 63, not pg_…")
    namespace = url.options.get("namespace")
    if namespace == "":
        raise ConfigError(
            f"{url.shown}: the option namespace= is empty; nothing was opened. Leave it out, or name one."
        )
    listen = url.flag("listen") if "listen" in url.options else True
    pooler = url.flag("pooler")
    return Location(url, schema, namespace, pooler, listen and not pooler, _parameters(url))


def _known() -> list[str]:
    """Return the parameters that this machine's libpq knows."""
    from psycopg.pq import Conninfo

    return [option.keyword.decode() for option in Conninfo.get_defaults()]


def _parameters(url: StoreUrl) -> dict[str, str | int]:
    named: dict[str, str | int] = {}
    if url.user is not None:
        named["user"] = url.user
    if url.path:
        named["dbname"] = url.path
    if url.hosts:
        named["host"] = ",".join(host for host, _ in url.hosts)
        if any(port for _, port in url.hosts):
            named["port"] = ",".join(str(port or 5432) for _, port in url.hosts)
    given = {name: value for name, value in url.options.items() if name not in _OURS}
    timeout = math.ceil(url.seconds("connect_timeout", 3.0))
    return {**_KEEPALIVE, "application_name": "packhorse", "connect_timeout": timeout, **named, **given}
