"""The SQL, one verb a file. A file holds one or more statements, each under a line ``-- name: …``."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

_NAME = re.compile(r"^-- name: (\w+)[^\n]*\n(?:--[^\n]*\n)*", re.MULTILINE)
_ROW = re.compile(r"\(\?(?:, \?)*\)(?=\) AS)")


def text_of(module: str, loader: Any, name: str) -> str:
    """Return a text file that lies beside a module, wherever the module was imported from.

    The same as ``importlib.resources``, which takes longer to import than all of this store.
    """
    data: bytes = loader.get_data(os.path.join(os.path.dirname(module), name))
    return data.decode("ascii")


@cache
def _verb(verb: str) -> dict[str, str]:
    parts = _NAME.split(text_of(__file__, __spec__.loader, f"{verb}.sql"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def sql(verb: str, name: str) -> str:
    """Return the statement ``name`` of ``queries/<verb>.sql``."""
    return _verb(verb)[name]


@cache
def rows_of(verb: str, name: str, count: int) -> str:
    """Return a statement whose single row of values ``(VALUES (?, …)) AS`` is repeated ``count`` times.

    One statement over many rows costs one call into SQLite, and so lets other threads run once, not once a row.
    """
    text = sql(verb, name)
    row = _ROW.search(text)
    assert row is not None, f"{verb}.{name} has no row of values"
    return text[: row.start()] + ", ".join([row[0]] * count) + text[row.end() :]
