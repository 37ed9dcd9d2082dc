"""Arguments and results as JSON text.

Plain JSON data is written as it is. Some types of the standard library have a *tag*: an object with one key that begins
with ``$``, such as ``{"$date": "2026-11-20"}``. A ``dict`` that looks like one is stored as ``{"$": {…}}``, so no data
can be mistaken for a tag. The set of tags is closed: the standard types below, and the types given to ``App(types=…)``,
by names that are looked up and never imported. Whole numbers of any size up to 4,300 digits come back exactly; NaN and
infinity are refused everywhere.
"""

from __future__ import annotations

import json
import json.encoder
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

from ._rebuild import Hints, Kind, hints_of, kind_of, rebuilder
from ._record import PAYLOAD_LIMIT
from .errors import BadOption, NotAnnotated, NotSerialisable, PayloadTooLarge

MAX_DEPTH = 64

_SCALARS = frozenset({str, int, float, bool, NoneType})
_JSON = _SCALARS | {list, dict}
_STR = frozenset({str})

Types = Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]


class Refused(Exception):
    """A value that cannot be stored: what it is, and the way out."""

    def __init__(self, what: str, remedy: str = "") -> None:
        """Keep both parts for the message."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy or "Pass plain data, or an id, and load it in the job."


class _Path(NamedTuple):
    """Where in an argument the walk is: linked upwards, spelled out only for a message."""

    parent: _Path | None
    step: str


# -- JSON text ------------------------------------------------------------------------------------------------------------
def _make_dumps() -> Callable[[Any], str]:
    """Return ``json.dumps`` in our form without its per-call set-up, which costs more than encoding a small job."""
    slow = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return slow.encode
    text = json.encoder.encode_basestring_ascii
    encode = make(None, slow.default, text, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(encode(value, 0))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_dumps = _make_dumps()
_decoder = json.JSONDecoder(parse_constant=_no_constant)
_scan = _decoder.scan_once


def _loads(text: str) -> Any:
    """Return the value of JSON text. Raise ``NotSerialisable`` if it is none."""
    try:
        value, end = _scan(text, 0)
        return value if end == len(text) else _decoder.decode(text)
    except (ValueError, RecursionError, StopIteration) as error:
        raise NotSerialisable(f"stored data cannot be read as JSON: {error or 'empty'}: {text[:60]!r}…") from error


def _plain(values: Iterable[Any], depth: int) -> bool:
    """Tell whether all of these are JSON data already, of the very types, and not too deep."""
    kinds = set(map(type, values))
    if kinds <= _SCALARS:
        return True
    if depth >= MAX_DEPTH or not kinds <= _JSON:
        return False
    for value in values:
        if type(value) is list:
            if not _plain(value, depth + 1):
                return False
        elif type(value) is dict and not (_STR.issuperset(map(type, value)) and _plain(value.values(), depth + 1)):
            return False
    return True


def _write_plain(value: Any) -> str | None:
    """Return the text of plain data; None if it needs the long way: out of range, like a tag, or with surrogates."""
    try:
        text = _dumps(value)
    except ValueError:
        return None
    if '{"$' in text or "\\ud" in text or len(text) > PAYLOAD_LIMIT:
        return None
    return text


# -- standard types ---------------------------------------------------------------------------------------------------------
def _encode_datetime(value: datetime) -> str:
    zone = value.tzinfo
    if zone is None or type(zone) is timezone:
        return value.isoformat() + ("[fold]" if value.fold else "")
    if type(zone) is ZoneInfo and zone.key:
        return f"{value.isoformat()}[{zone.key}]"
    raise Refused(
        f"is a datetime whose time zone is a {_name(type(zone))}", "Use zoneinfo.ZoneInfo or datetime.timezone."
    )


_ZONED = re.compile(r"(.+)\[(.+)\]")


def _decode_datetime(text: str) -> datetime:
    match = _ZONED.fullmatch(text)
    if match is None:
        return datetime.fromisoformat(text)
    value = datetime.fromisoformat(match[1])
    if match[2] == "fold":
        return value.replace(fold=1)
    zoned = value.replace(tzinfo=ZoneInfo(match[2]))
    # The offset tells which of two equal wall times was meant.
    return zoned if zoned.utcoffset() == value.utcoffset() else zoned.replace(fold=1)


def _encode_time(value: time) -> str:
    if value.tzinfo is not None and type(value.tzinfo) is not timezone:
        raise Refused(f"is a time whose time zone is a {_name(type(value.tzinfo))}", "Use datetime.timezone.")
    return value.isoformat() + ("[fold]" if value.fold else "")


def _decode_time(text: str) -> time:
    match = _ZONED.fullmatch(text)
    return time.fromisoformat(match[1]).replace(fold=1) if match else time.fromisoformat(text)


def _encode_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise Refused(f"is {value}, which is not a number JSON or a database can hold", "Use None.")
    return str(value)


def _encode_complex(value: complex) -> list[float]:
    if not (math.isfinite(value.real) and math.isfinite(value.imag)):
        raise Refused(f"is {value}, which is not finite", "Use None.")
    return [value.real, value.imag]


#: type → (tag, value → JSON data, JSON data → value)
_STANDARD: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    datetime: ("$datetime", _encode_datetime, _decode_datetime),
    date: ("$date", date.isoformat, date.fromisoformat),
    time: ("$time", _encode_time, _decode_time),
    timedelta: (
        "$timedelta",
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda data: timedelta(*data),
    ),
    UUID: ("$uuid", str, UUID),
    Decimal: ("$decimal", _encode_decimal, Decimal),
    bytes: ("$bytes", lambda value: b64encode(value).decode(), lambda data: b64decode(data, validate=True)),
    type(Path()): ("$path", str, Path),
    complex: ("$complex", _encode_complex, lambda data: complex(*data)),
}
_MANY: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}
_STANDARD_TAGS: dict[str, Callable[[Any], Any]] = {tag: decode for tag, _, decode in _STANDARD.values()}
_MANY_TAGS: dict[str, Callable[[list[Any]], Any]] = {tag: kind for kind, tag in _MANY.items()}
_HALVES = re.compile("(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")


class Codec:
    """Encodes calls and results. ``types`` are an App's own types: ``{Money: (encode, decode)}``.

    ``encode`` returns data that can be stored, ``decode`` makes the value of it again. Raises ``BadOption`` for ``types``
    that are not of this form. Immutable; use it from any thread.
    """

    __slots__ = ("_by_tag", "_by_type")

    def __init__(self, types: Types | None = None) -> None:
        """Take the App's types, by their exact class."""
        self._by_type: dict[type, tuple[str, Callable[[Any], Any]]] = {}
        self._by_tag: dict[str, Callable[[Any], Any]] = {}
        for cls, pair in (types or {}).items():
            encode, decode = _pair(cls, pair)
            tag = f"${cls.__module__}:{cls.__qualname__}"
            self._by_type[cls] = (tag, encode)
            self._by_tag[tag] = decode

    # -- calls --
    def encode_call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str, fn: Callable[..., Any] | None = None
    ) -> str:
        """Return ``[[args…],{kwargs…}]`` as ASCII JSON text.

        ``where`` names the function in messages. Models are stored if ``fn`` is given and its annotations rebuild them,
        which is tried here. Raises ``NotSerialisable`` naming the argument and the path in it, ``NotAnnotated`` for a model
        without an annotation, ``PayloadTooLarge`` above 1 MiB.
        """
        if not self._by_type or not self._by_type.keys() & _JSON:
            plain = _SCALARS.issuperset(map(type, args)) and (
                not kwargs or _SCALARS.issuperset(map(type, kwargs.values()))
            )
            if plain or (_plain(args, 0) and _plain(kwargs.values(), 0)):
                text = _write_plain((args, kwargs))
                if text is not None:
                    return text
        return self._encode_call_slowly(args, kwargs, where, fn)

    def _encode_call_slowly(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str, fn: Callable[..., Any] | None
    ) -> str:
        hints = hints_of(fn) if fn is not None else None
        data = [
            [self._argument(value, index, where, hints) for index, value in enumerate(args)],
            {name: self._argument(value, name, where, hints) for name, value in kwargs.items()},
        ]
        return _sized(_dumps(data), f"the arguments of {where}")

    def _argument(self, value: Any, key: int | str, where: str, hints: Hints | None) -> Any:
        name = hints.name(key) if hints else key if isinstance(key, str) else None
        place = f"{where}(…) argument {key + 1 if isinstance(key, int) else repr(key)}"
        rebuild = hints.for_argument(key) if hints else None
        return self._encode(value, place, name or "", rebuild, _why_not(hints, name))

    def decode_call(self, payload: str, hints: Hints | None = None) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a stored call; ``hints`` (``hints_of(fn)``) rebuild models.

        Raises ``NotSerialisable`` for text that is no stored call, ``BadArguments`` where a model cannot be rebuilt.
        """
        data = _loads(payload)
        try:
            args, kwargs = data
        except (TypeError, ValueError):
            raise _no_call(payload) from None
        if type(args) is not list or type(kwargs) is not dict:
            raise _no_call(payload)
        if '"$' in payload:
            args = [self._untag(value) for value in args]
            kwargs = {name: self._untag(value) for name, value in kwargs.items()}
        return hints.rebuild(args, kwargs) if hints else (args, kwargs)

    # -- single values --
    def encode_value(self, value: Any, what: str, annotation: Any = Any) -> str:
        """Return a result, or meta, as ASCII JSON text. ``what`` names it in messages.

        A model needs the annotation of what the function returns. Raises like ``encode_call``.
        """
        if _plain((value,), 0) and (not self._by_type or not self._by_type.keys() & _JSON):
            text = _write_plain(value)
            if text is not None:
                return text
        data = self._encode(value, what, "", rebuilder(annotation), "the function does not say what it returns")
        return _sized(_dumps(data), what)

    def decode_value(self, text: str, annotation: Any = Any) -> Any:
        """Return a stored result or meta; ``annotation`` rebuilds models. Raises like ``decode_call``."""
        value = _loads(text)
        if '"$' in text:
            value = self._untag(value)
        rebuild = None if annotation is Any else rebuilder(annotation)
        return rebuild(value) if rebuild else value

    # -- the long way --
    def _encode(self, value: Any, place: str, name: str, rebuild: Callable[[Any], Any] | None, why_not: str) -> Any:
        """Return one value as JSON data, its round trip checked if it holds models or types of the App."""
        walk = _Walk(self._by_type, self._by_tag)
        try:
            data = walk.encode(value, None, 0)
        except Refused as refusal:
            raise NotSerialisable(_message(place, name, walk.where, refusal.what, refusal.remedy)) from refusal
        if walk.model is not None and rebuild is None:
            where, kind, cls = walk.model
            raise NotAnnotated(_unannotated(place + _spelled(name, where), kind, cls, why_not))
        if walk.checked:
            self._check_back(value, data, place, rebuild)
        return data

    def _check_back(self, value: Any, data: Any, place: str, rebuild: Callable[[Any], Any] | None) -> None:
        try:
            back = self._untag(_loads(_dumps(data)))
            back = rebuild(back) if rebuild else back
        except Exception as error:  # the users' classes may fail in any way
            raise NotSerialisable(
                f"{place} cannot be rebuilt from what would be stored: {type(error).__name__}: {error}\n"
                f"  Nothing stored. Pass plain data, or an id, and load it in the job."
            ) from error
        if not _same(value, back) and not self._writes_same(back, data):
            raise NotSerialisable(
                f"{place} comes back as {back!r:.200}, not as {value!r:.200}.\n"
                f"  Nothing stored. Annotate the parameter with the very class, or pass plain data."
            )

    def _writes_same(self, back: Any, data: Any) -> bool:
        """Tell whether the App's own type, which may know no equality, gives the same data a second time."""
        walk = _Walk(self._by_type, self._by_tag)
        return walk.encode(back, None, 0) == data and walk.model is None

    def _untag(self, value: Any, depth: int = 0) -> Any:
        if type(value) is list:
            return [self._untag(part, depth + 1) for part in value]
        if type(value) is not dict:
            return value
        if len(value) == 1:
            ((tag, data),) = value.items()
            if tag[:1] == "$":
                return self._tagged(tag, data)
        return {key: self._untag(part) for key, part in value.items()}

    def _tagged(self, tag: str, data: Any) -> Any:
        try:
            if tag == "$":
                return {key: self._untag(part) for key, part in data.items()}
            if tag == "$str":
                return "".join(data)
            if tag in _MANY_TAGS:
                return _MANY_TAGS[tag]([self._untag(part) for part in data])
            if tag in _STANDARD_TAGS:
                return _STANDARD_TAGS[tag](data)
        except NotSerialisable:
            raise
        except Exception as error:
            raise NotSerialisable(f"stored data {data!r:.60} is not a {tag}: {error}") from error
        decode = self._by_tag.get(tag)
        if decode is None:
            raise NotSerialisable(f"stored data has the tag {tag!r}, which the App here does not have in its types=.")
        return decode(self._untag(data))


class _Walk:
    """One way through one value."""

    __slots__ = ("by_tag", "by_type", "checked", "model", "where")

    def __init__(
        self, by_type: dict[type, tuple[str, Callable[[Any], Any]]], by_tag: dict[str, Callable[[Any], Any]]
    ) -> None:
        self.by_type = by_type
        self.by_tag = by_tag
        self.checked = False  #: the round trip must be tried
        self.model: tuple[_Path | None, Kind, type] | None = None  #: the first model met
        self.where: _Path | None = None  #: where the walk is

    def encode(self, value: Any, at: _Path | None, depth: int) -> Any:
        self.where = at
        kind = type(value)
        if kind in self.by_type:
            return self._own(value, at, depth)
        if kind in _SCALARS:
            return _scalar(value)
        if depth >= MAX_DEPTH:
            raise Refused(f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if kind is dict:
            return self._dict(value, at, depth)
        if kind is list or kind in _MANY:
            return self._many(value, kind, at, depth)
        if kind in _STANDARD:
            tag, encode, _ = _STANDARD[kind]
            return {tag: encode(value)}
        return self._model(value, at, depth)

    def _dict(self, value: dict[Any, Any], at: _Path | None, depth: int) -> Any:
        for key in value:
            if type(key) is not str:
                raise Refused(f"has the key {key!r:.80}, a {_name(type(key))}; keys must be str")
            if _HALVES.search(key):
                raise Refused(f"has the key {key!a:.80}, two halves of one character that JSON would join")
        data = {key: self.encode(part, _Path(at, f"[{key!r}]"), depth + 1) for key, part in value.items()}
        return {"$": data} if len(data) == 1 and next(iter(data))[:1] == "$" else data

    def _many(self, value: Iterable[Any], kind: type, at: _Path | None, depth: int) -> Any:
        parts = [self.encode(part, _Path(at, f"[{index}]"), depth + 1) for index, part in enumerate(value)]
        if kind is list:
            return parts
        # Sets have no order of their own, and the same job must always have the same text.
        return {_MANY[kind]: parts if kind is tuple else sorted(parts, key=_dumps)}

    def _own(self, value: Any, at: _Path | None, depth: int) -> Any:
        tag, encode = self.by_type[type(value)]
        self.checked = True
        plain = encode(value)
        if type(plain) is type(value):
            raise Refused(f"is a {_name(type(value))} that its own encode() returns again")
        return {tag: self.encode(plain, at, depth + 1)}

    def _model(self, value: Any, at: _Path | None, depth: int) -> Any:
        cls = type(value)
        _refuse_orm(value)
        kind = kind_of(cls)
        if kind is None:
            raise Refused(*_describe(value))
        self.checked = True
        if self.model is None:
            self.model = (at, kind, cls)
        plain = kind.dump(value)
        if type(plain) is not dict:
            return self.encode(plain, at, depth + 1)
        # A model is told from a tag by its annotation, but data in the place of one is not: keep it unmistakable.
        data = {key: self.encode(part, _Path(at, f".{key}"), depth + 1) for key, part in plain.items()}
        return {"$": data} if len(data) == 1 and next(iter(data))[:1] == "$" else data


def _scalar(value: Any) -> Any:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        raise Refused(f"is {value!r}, which JSON cannot say", "Use None, or leave it out.")
    if kind is int and value.bit_length() > 14_000 and value not in _EXACT:
        raise Refused("is a whole number of more than 4,300 digits")
    if kind is str and not value.isascii() and _HALVES.search(value):
        return {"$str": _HALVES.split(value)}  # JSON would join the two halves into one character
    return value


#: Every number below has at most 4,300 digits, the most that Python turns into text and back.
_EXACT = range(-(10**4300) + 1, 10**4300)


def _refuse_orm(value: Any) -> None:
    cls = type(value)
    if hasattr(cls, "__mapper__") or hasattr(value, "_sa_instance_state"):
        raise Refused(
            f"is a {_name(cls)}, a row mapped by SQLAlchemy", "Pass its primary key, user.id, and load it in the job."
        )
    if hasattr(cls, "_meta") and hasattr(cls, "pk"):
        raise Refused(f"is a {_name(cls)}, a Django model", "Pass user.pk, and load it in the job.")


def _describe(value: Any) -> tuple[str, str]:
    cls = type(value)
    base = next((base for base in cls.__mro__[1:] if base in _JSON or base in _STANDARD or base in _MANY), None)
    if base is not None:
        return f"is a {_name(cls)}, not just a {base.__name__}", f"Pass {base.__name__}(…) of it."
    return f"is a {_name(cls)}; jobs carry JSON data, not live objects", ""


def _same(a: Any, b: Any) -> bool:
    """Compare value and type, all the way down; models without ``==`` by what they hold."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(part, b[key]) for key, part in a.items())
    try:
        if a == b:
            return True
    except Exception:
        return False
    kind = kind_of(type(a))
    return kind is not None and kind.parts and _same(kind.dump(a), kind.dump(b))


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _pair(cls: object, pair: object) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if isinstance(cls, type) and isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(callable, pair)):
        return pair[0], pair[1]
    raise BadOption(f"App(types=) takes {{class: (encode, decode)}}, not {{{cls!r}: {pair!r}}}.")


# -- messages ---------------------------------------------------------------------------------------------------------------
def _spelled(name: str, at: _Path | None) -> str:
    steps = []
    while at is not None:
        steps.append(at.step)
        at = at.parent
    text = name + "".join(reversed(steps))
    return f", '{text}'," if text else ""


def _message(place: str, name: str, at: _Path | None, what: str, remedy: str) -> str:
    return f"{place}{_spelled(name, at)} {what}. Nothing stored.\n  {remedy}"


def _unannotated(place: str, kind: Kind, cls: type, why_not: str) -> str:
    return (
        f"{place} is a {cls.__qualname__} ({kind.word}), which is rebuilt from the parameter's annotation, but {why_not}. "
        f"Nothing stored.\n  Annotate it with {cls.__qualname__} (list[{cls.__qualname__}], … for containers), or pass plain data."
    )


def _why_not(hints: Hints | None, name: str | None) -> str:
    if hints is None:
        return "the task was given by name, not as a function"
    if name in hints.unresolved:
        return f"its annotation cannot be resolved ({hints.unresolved[name]})"
    return f"'{name}' has no annotation that holds one" if name else "that parameter has no annotation that holds one"


def _sized(text: str, what: str) -> str:
    if len(text) > PAYLOAD_LIMIT:
        raise PayloadTooLarge(
            f"{what} are {len(text):,} bytes as JSON, and a job carries at most {PAYLOAD_LIMIT:,}. Nothing stored.\n"
            f"  Put the data into a file or a database and pass its path or id."
        )
    return text


def _no_call(payload: str) -> NotSerialisable:
    return NotSerialisable(f"stored data is not a call, [[arguments…], {{…}}]: {payload[:60]!r}…")


#: The codec without an App's types.
PLAIN = Codec()
