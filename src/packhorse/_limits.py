"""Limits as an application declares them: ``{"smtp": 4, "api": "10/1s", "tenant:*": 2}``."""

from __future__ import annotations

from collections.abc import Mapping

from ._names import one_key
from ._rules import limit
from .errors import BadOption


def checked_limits(given: Mapping[str, int | str], where: str) -> dict[str, str]:
    """Return limits as the store takes them. Raises ``BadName`` for a name that is no key, ``BadOption`` for a value that is
    neither a whole number from 1 nor a rate, and for ``*`` anywhere but at the end."""
    if not isinstance(given, Mapping):
        raise BadOption(f'{where} takes a mapping of names to numbers or rates, like {{"smtp": 4}}, not {given!r:.80}.')
    return {_name(name, where): _value(name, value, where) for name, value in given.items()}


def _name(name: object, where: str) -> str:
    text = one_key(name, where)
    if "*" in text[:-1]:
        raise BadOption(
            f"{where}: in the name {text!r} there is a * before its end; tenant:* is for all that begin so."
        )
    return text


def _value(name: str, value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise BadOption(f'{where}: the limit {name!r} takes a whole number or a rate like "10/1s", not {value!r}.')
    try:
        limit(str(value))
    except BadOption as error:
        text = str(error).removesuffix(f"  [{error.code}]")
        raise BadOption(f"{where}: {name!r}: {text}") from None
    return " ".join(str(value).split())


def together(*declared: tuple[str, Mapping[str, str]]) -> dict[str, str]:
    """Return all limits of several places, each (where, limits). Raises ``BadOption`` if two say different things of one name."""
    found: dict[str, tuple[str, str]] = {}
    for where, limits in declared:
        for name, value in limits.items():
            before, first = found.setdefault(name, (value, where))
            if limit(before) != limit(value):
                raise BadOption(
                    f"the limit {name!r} is declared twice with different values: {before!r} in {first}, {value!r} in {where}. "
                    "Take one of them out."
                )
    return {name: value for name, (value, _) in found.items()}
