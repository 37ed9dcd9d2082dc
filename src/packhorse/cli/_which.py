"""Which jobs a command is about, said in words like ``queue:mail``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click

_KEYS = ("state", "task", "queue", "tag", "flow", "batch", "since", "until", "text", "host", "exit", "tz")
#: These may be given several times, and are kept in the plural.
_MANY = {"state": "states", "host": "hosts", "exit": "exits"}


def asked(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the ids and the conditions among words: ``JOB``, ``queue:mail``, ``"state:queued text:'two words'"``."""
    ids: list[str] = []
    given: dict[str, Any] = {}
    for part in (part for word in words for part in _parts(word)):
        key, mark, value = part.partition(":")
        if not mark:
            ids.append(part)
        elif key not in _KEYS or not value:
            raise click.UsageError(f"'{part}' is neither a job nor a condition. Conditions: {':…, '.join(_KEYS)}:….")
        elif key in _MANY:
            given[_MANY[key]] = (*given.get(_MANY[key], ()), value)
        elif key in given:
            raise click.UsageError(f"'{key}:' is given twice.")
        else:
            given[key] = value
    return ids, given


def _parts(word: str) -> list[str]:
    try:
        return shlex.split(word)
    except ValueError as error:
        raise click.UsageError(f"{word!r}: {error}.") from None
