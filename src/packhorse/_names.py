"""The rules for names and keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import BadName

MAX_KEYS = 100
MAX_KEY_BYTES = 500

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_TASK = re.compile(r"[a-z0-9_.-]{1,100}")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def queue_name(name: object, where: str) -> str:
    """Return the name of a queue (or a namespace), or raise ``BadName``."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise BadName(f"{where}: {name!r} is not a name. Use 1 to 200 of the characters A-Z a-z 0-9 _ . : and -.")


def is_path(name: str) -> bool:
    """Tell whether this is the canonical name of a function, ``module:qualname``."""
    return len(name) <= 500 and _PATH.fullmatch(name) is not None


def is_given(name: str) -> bool:
    """Tell whether this can be a task name given by hand."""
    return _TASK.fullmatch(name) is not None


def name_of_task(name: object, where: str, *, alias: bool = False) -> str:
    """Return a task name given by hand; as an alias, also ``module:qualname``. Raise ``BadName`` for anything else."""
    if isinstance(name, str) and (is_given(name) or (alias and is_path(name))):
        return name
    path = ', or a path such as "tasks:add"' if alias else " (a colon marks Python paths)"
    raise BadName(f"{where}: {name!r} is not a task name. Use 1 to 100 of the characters a-z 0-9 _ . and -{path}.")


def key_list(keys: object, where: str) -> tuple[str, ...]:
    """Return tags or other keys, each once, in order. A bare ``str`` is one key. Raise ``BadName`` if one cannot be a key."""
    if isinstance(keys, str):
        return (one_key(keys, where),)
    if not isinstance(keys, (Sequence, set, frozenset)) or isinstance(keys, (bytes, bytearray)):
        raise BadName(f"{where} takes a str or a list of str, not {keys!r}.")
    if len(keys) > MAX_KEYS:
        raise BadName(f"{where}: {len(keys)} keys given, at most {MAX_KEYS} are allowed.")
    ordered = sorted(keys) if isinstance(keys, (set, frozenset)) else keys
    return tuple(dict.fromkeys(one_key(key, where) for key in ordered))


def one_key(key: object, where: str) -> str:
    """Return one key, or raise ``BadName``: text of 1 to 500 bytes without control characters."""
    if not isinstance(key, str):
        raise BadName(f"{where}: keys are text, not {key!r}.")
    size = len(key.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_KEY_BYTES:
        raise BadName(f"{where}: a key has 1 to {MAX_KEY_BYTES} bytes; this one has {size}: {key[:40]!r}…")
    if _CONTROL.search(key) or any("\ud800" <= char <= "\udfff" for char in key):
        raise BadName(f"{where}: {key!r} contains control characters or half characters, which a key cannot.")
    return key
