"""The long way through a value: tags, models, and what is refused, with the path to it."""

from __future__ import annotations

import json
import json.encoder
import math
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any, NamedTuple

from ._rebuild import Kind, kind_of
from ._tags import HALVES, MANY, Refused, a_type, standard

MAX_DEPTH = 64

#: The types that are JSON data as they are.
SCALARS = frozenset({str, int, float, bool, NoneType})
JSON = SCALARS | {list, dict}

#: class → (tag, encode) of an App's own types
OwnTypes = dict[type, tuple[str, Callable[[Any], Any]]]


class Step(NamedTuple):
    """Where in an argument the walk is: linked upwards, spelled out only for a message."""

    parent: Step | None
    step: str


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


dumps = _make_dumps()


class Walk:
    """One way through one value."""

    __slots__ = ("by_type", "checked", "model", "where")

    def __init__(self, by_type: OwnTypes) -> None:
        """Begin, knowing the App's own types."""
        self.by_type = by_type
        self.checked = False  #: the round trip must be tried
        self.model: tuple[Step | None, Kind, type] | None = None  #: the first model met
        self.where: Step | None = None  #: where the walk is

    def encode(self, value: Any, at: Step | None = None, depth: int = 0) -> Any:
        """Return the value as JSON data. Raise ``Refused`` for what cannot be stored; ``where`` is then its place."""
        self.where = at
        kind = type(value)
        if kind in self.by_type:
            return self._own(value, at, depth)
        if kind in SCALARS:
            return _scalar(value)
        if depth >= MAX_DEPTH:
            raise Refused(f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if kind is dict:
            return self._dict(value, at, depth)
        if kind is list or kind in MANY:
            return self._many(value, kind, at, depth)
        known = standard(kind)
        if known is not None:
            return {known[0]: known[1](value)}
        return self._model(value, at, depth)

    def _dict(self, value: dict[Any, Any], at: Step | None, depth: int) -> Any:
        for key in value:
            if type(key) is not str:
                raise Refused(
                    f"has the key {key!r:.80}, {a_type(type(key))}; keys must be str",
                    "Make the keys str, or pass a list of pairs.",
                )
            if HALVES.search(key):
                raise Refused(
                    f"has the key {key!a:.80}, two halves of one character that JSON would join", "Use another key."
                )
        data = {key: self.encode(part, Step(at, f"[{key!r}]"), depth + 1) for key, part in value.items()}
        return {"$": data} if len(data) == 1 and next(iter(data))[:1] == "$" else data

    def _many(self, value: Iterable[Any], kind: type, at: Step | None, depth: int) -> Any:
        parts = [self.encode(part, Step(at, f"[{index}]"), depth + 1) for index, part in enumerate(value)]
        if kind is list:
            return parts
        # Sets have no order of their own, and the same job must always have the same text.
        return {MANY[kind]: parts if kind is tuple else sorted(parts, key=dumps)}

    def _own(self, value: Any, at: Step | None, depth: int) -> Any:
        tag, encode = self.by_type[type(value)]
        self.checked = True
        plain = _apart(encode, value)
        if type(plain) is type(value):
            raise Refused(f"is {a_type(type(value))} that its own encode() returns again")
        return {tag: self.encode(plain, at, depth + 1)}

    def _model(self, value: Any, at: Step | None, depth: int) -> Any:
        cls: type = type(value)
        _refuse_orm(value)
        kind = kind_of(cls)
        if kind is None:
            raise Refused(*_describe(value))
        self.checked = True
        if self.model is None:
            self.model = (at, kind, cls)
        plain = _apart(kind.dump, value)
        if type(plain) is not dict:
            return self.encode(plain, at, depth + 1)
        # A model is told from a tag by its annotation, but data in the place of one is not: keep it unmistakable.
        data = {key: self.encode(part, Step(at, f".{key}"), depth + 1) for key, part in plain.items()}
        return {"$": data} if len(data) == 1 and next(iter(data))[:1] == "$" else data


def _apart(dump: Callable[[Any], Any], value: Any) -> Any:
    try:
        return dump(value)
    except Exception as error:  # the users' classes may fail in any way
        raise Refused(
            f"is {a_type(type(value))} that cannot be taken apart: {type(error).__name__}: {error}"
        ) from error


def _scalar(value: Any) -> Any:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        raise Refused(f"is {value!r}, which JSON cannot say", "Use None, or leave it out.")
    if kind is int and value.bit_length() > 14_280 and abs(value) >= _TOO_LARGE:
        raise Refused("is a whole number of more than 4,300 digits")
    if kind is str and not value.isascii() and HALVES.search(value):
        return {"$str": HALVES.split(value)}  # JSON would join the two halves into one character
    return value


#: Python turns numbers of at most 4,300 digits into text and back.
_TOO_LARGE = 10**4300


def _refuse_orm(value: Any) -> None:
    cls = type(value)
    if hasattr(cls, "__mapper__") or hasattr(value, "_sa_instance_state"):
        raise Refused(f"is {a_type(cls)}, a row mapped by SQLAlchemy", "Pass its key, user.id, and load it in the job.")
    if hasattr(cls, "_meta") and hasattr(cls, "pk"):
        raise Refused(f"is {a_type(cls)}, a Django model", "Pass user.pk, and load it in the job.")


def _describe(value: Any) -> tuple[str, str]:
    cls = type(value)
    base = next((base for base in cls.__mro__[1:] if base in JSON or base in MANY or standard(base)), None)
    if base is not None:
        return f"is {a_type(cls)}, not just a {base.__name__}", f"Pass {base.__name__}(…) of it."
    return f"is {a_type(cls)}; jobs carry JSON data, not live objects", ""
