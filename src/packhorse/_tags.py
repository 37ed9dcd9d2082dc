"""Tags: the types beside JSON's own that arguments and results may hold, and the words for all others."""

from __future__ import annotations

import binascii
import math
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ._reference import Reference

# Modules that most programs never load are asked only for values that come from them.
if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path
    from uuid import UUID


class Refused(Exception):
    """A value that cannot be stored: what it is, and the way out."""

    def __init__(self, what: str, remedy: str = "") -> None:
        """Keep both parts for the message."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy  #: "": what helps against any live object


def _encode_datetime(value: datetime) -> str:
    zone = value.tzinfo
    fold = "[fold]" if value.fold else ""
    if zone is None or type(zone) is timezone:
        return value.isoformat() + fold
    if _is(type(zone), "zoneinfo", "ZoneInfo") and zone.key:  # type: ignore[attr-defined]
        return f"{value.isoformat()}[{zone.key}]{fold}"  # type: ignore[attr-defined]
    raise Refused(
        f"is a datetime whose time zone is {a_type(type(zone))}", "Use zoneinfo.ZoneInfo or datetime.timezone."
    )


_ZONED = re.compile(r"([^\[]+)(?:\[(?!fold\])([^\]]+)\])?(\[fold\])?")


def _decode_datetime(text: str) -> datetime:
    value, zone, fold = _parts(text)
    when = datetime.fromisoformat(value)
    if zone:
        from zoneinfo import ZoneInfo

        when = when.replace(tzinfo=ZoneInfo(zone))  # the wall time is what was meant, whatever zones become
    return when.replace(fold=1) if fold else when


def _encode_time(value: time) -> str:
    if value.tzinfo is not None and type(value.tzinfo) is not timezone:
        raise Refused(f"is a time whose time zone is {a_type(type(value.tzinfo))}", "Use datetime.timezone.")
    return value.isoformat() + ("[fold]" if value.fold else "")


def _decode_time(text: str) -> time:
    value, _, fold = _parts(text)
    return time.fromisoformat(value).replace(fold=1) if fold else time.fromisoformat(value)


def _parts(text: str) -> tuple[str, str | None, str | None]:
    match = _ZONED.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return match[1], match[2], match[3]


def _decode_uuid(text: str) -> UUID:
    from uuid import UUID

    return UUID(text)


def _decode_path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def _decode_decimal(text: str) -> Decimal:
    from decimal import Decimal

    return Decimal(text)


def _encode_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise Refused(f"is {value}, which is not a number JSON or a database can hold", "Use None.")
    return str(value)


def _encode_complex(value: complex) -> list[float]:
    if not (math.isfinite(value.real) and math.isfinite(value.imag)):
        raise Refused(f"is {value}, which is not finite", "Use None.")
    return [value.real, value.imag]


def _encode_bytes(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


def _decode_bytes(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


#: (tag, value → JSON data, JSON data → value)
Standard = tuple[str, Callable[[Any], Any], Callable[[Any], Any]]

_LOADED: dict[type, Standard] = {
    datetime: ("$datetime", _encode_datetime, _decode_datetime),
    date: ("$date", date.isoformat, date.fromisoformat),
    time: ("$time", _encode_time, _decode_time),
    timedelta: (
        "$timedelta",
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda data: timedelta(*data),
    ),
    bytes: ("$bytes", _encode_bytes, _decode_bytes),
    complex: ("$complex", _encode_complex, lambda data: complex(*data)),
    Reference: ("$result", attrgetter("id"), Reference),
}
_PATH: Standard = ("$path", str, _decode_path)
#: The same by name: class → (its module, …).
_NAMED: dict[str, tuple[str, Standard]] = {
    "UUID": ("uuid", ("$uuid", str, _decode_uuid)),
    "Decimal": ("decimal", ("$decimal", _encode_decimal, _decode_decimal)),
    "PosixPath": ("pathlib", _PATH),
    "WindowsPath": ("pathlib", _PATH),
}
MANY: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}
STANDARD_TAGS: dict[str, Callable[[Any], Any]] = {
    tag: decode for tag, _, decode in (*_LOADED.values(), *(each for _, each in _NAMED.values()))
}
MANY_TAGS: dict[str, Callable[[list[Any]], Any]] = {tag: kind for kind, tag in MANY.items()}
HALVES = re.compile("(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")


def standard(cls: type) -> Standard | None:
    """Return how values of exactly this class are stored; None if it is none of the standard types."""
    found = _LOADED.get(cls)
    if found is None and cls.__name__ in _NAMED:
        module, named = _NAMED[cls.__name__]
        return named if _is(cls, module, cls.__name__) else None
    return found


def _is(cls: type, module: str, name: str) -> bool:
    return getattr(sys.modules.get(module), name, None) is cls


def type_name(cls: type) -> str:
    """Return the name of a class for messages, with its module unless it is built in."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def a_type(cls: type) -> str:
    """Return the name of a class with its article: ``a _thread.lock``, ``an object``."""
    return an(type_name(cls))


def an(word: str) -> str:
    """Return a word with its article; most names with a ``u`` in front are spoken like User and UUID."""
    return f"{'an' if word[0] in 'aeioAEIO' else 'a'} {word}"
