"""The SQL, one verb a file. A file holds one or more statements, each under a line ``-- name: …``.

Parameters are ``$1``, ``$2`` …; the schema stands as ``packhorse.`` and is replaced by the one of the store's URL. What stands in
``/*word … */`` belongs to the statement ``name+word``, not to ``name``: what most calls do not need is not even planned for them.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

from .. import states

_NAME = re.compile(r"^-- name: (\w+)[^\n]*\n(?:--[^\n]*\n)*", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--[^\n]*\n", re.MULTILINE)
_OPTION = re.compile(r"/\*(\w+) (.*?) \*/", re.DOTALL)
_SCHEMA = re.compile(r"\bpackhorse\.")
_STATE = re.compile(rf":({'|'.join(state.upper() for state in states.NAMES)})\b")


def text_of(module: str, loader: Any, name: str) -> str:
    """Return a text file that lies beside a module, wherever the module was imported from."""
    data: bytes = loader.get_data(os.path.join(os.path.dirname(module), name))
    return data.decode("ascii")


def in_schema(text: str, schema: str) -> str:
    """Return SQL with the schema it is for; ``schema`` follows the rule for names, so that quotes are enough."""
    return _SCHEMA.sub(f'"{schema}".', text)


@cache
def _verb(verb: str) -> dict[str, str]:
    parts = _NAME.split(text_of(__file__, __spec__.loader, f"{verb}.sql"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def sql(schema: str, verb: str, name: str) -> bytes:
    """Return the statement ``name`` of ``queries/<verb>.sql`` for a schema. ``:QUEUED`` and the like stand for numbers."""
    name, _, option = name.partition("+")
    text = _COMMENT.sub("", _verb(verb)[name])
    text = _OPTION.sub(lambda found: found[2] if found[1] == option else "", text)
    text = _STATE.sub(lambda found: str(getattr(states, found[1])), text)
    return " ".join(in_schema(text, schema).split()).encode()
