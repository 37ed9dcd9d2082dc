"""Job options as ``-o KEY=VALUE``: text made into what ``using`` takes, which checks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import BadOption
from ._values import from_json

_WORDS: dict[str, Any] = {"none": None, "null": None, "true": True, "false": False}


def job_options(given: Sequence[str]) -> dict[str, Any]:
    """Return the options that ``KEY=VALUE`` and ``KEY:=JSON`` say; ``tags`` and ``meta.key`` may come several times."""
    found: dict[str, Any] = {}
    for word in given:
        key, mark, value = word.partition("=")
        if not mark or not key.strip(":"):
            raise BadOption(f"-o takes KEY=VALUE, like -o retry=5; not {word!r}.")
        if key.endswith(":"):
            found[key[:-1]] = from_json(value, f"-o {word}")
        elif key == "tags":
            found.setdefault("tags", []).append(value)
        elif key.startswith("meta."):
            found.setdefault("meta", {})[key.removeprefix("meta.")] = value
        else:
            found[key] = _value(key, value)
    return found


def _value(key: str, text: str) -> Any:
    if key in ("at", "expires"):
        return _moment(key, text)
    if key == "meta":
        return from_json(text, "-o meta=")
    if key in ("timeout", "keep_result"):
        return _WORDS.get(text.lower(), text)
    if key in ("priority", "retry"):
        return _number(key, text)
    return text


def _moment(key: str, text: str) -> Any:
    from .._durations import seconds
    from .._when import parse

    if key == "expires":
        try:
            return seconds(text, key)
        except BadOption:
            pass
    return parse(text, f"-o {key}")


def _number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadOption(f"-o {key} takes a whole number, not {text!r}.") from None
