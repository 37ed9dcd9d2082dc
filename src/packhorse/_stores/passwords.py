"""Where a server's password comes from. Read anew at each connection, so that a rotated one is found."""

from __future__ import annotations

import os

from .._url import StoreUrl
from ..errors import ConfigError


def password_of(url: StoreUrl) -> str | None:
    """Return the password: the URL's own, else the first line of the file in ``?password_file=``, else
    ``PACKHORSE_PASSWORD``; None: the driver's own ways (``PGPASSWORD``, ``~/.pgpass``) or none.

    Raises ``ConfigError`` for a file that cannot be read.
    """
    if url.password is not None:
        return url.password
    file = url.options.get("password_file")
    if file:
        return _first_line(file, url)
    return os.environ.get("PACKHORSE_PASSWORD")


def _first_line(file: str, url: StoreUrl) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{url.shown}: cannot read the password file {file}: {why}; nothing was opened.") from error
