"""Arguments and results as JSON text.

Plain JSON data is written as it is. Some types of the standard library have a *tag*: an object with one key that begins
with ``$``, such as ``{"$date": "2026-11-20"}``. A ``dict`` that looks like one is stored as ``{"$": {…}}``, so no data
can be mistaken for a tag. The set of tags is closed: the standard types below, and the types given to ``App(types=…)``,
by names that are looked up and never imported. Whole numbers of any size up to 4,300 digits come back exactly; NaN and
infinity are refused everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, NoReturn

from ._rebuild import Hints, Kind, hints_of, kind_of, rebuilder
from ._record import PAYLOAD_LIMIT
from ._reference import MARK, Results, put_in, referred
from ._tags import MANY_TAGS, STANDARD_TAGS, Refused, an
from ._walk import JSON, MAX_DEPTH, SCALARS, OwnTypes, Step, Walk, dumps
from .errors import BadOption, NotAnnotated, NotSerialisable, PayloadTooLarge

_STR = frozenset({str})

Types = Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]


# -- JSON text --------------------------------------------------------------------------------------------------------
def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined] # decode() without its regexes


def _loads(text: str) -> Any:
    """Return the value of JSON text. Raise ``NotSerialisable`` if it is none."""
    try:
        value, end = _scan(text, 0)
        return value if end == len(text) else _decoder.decode(text)
    except (ValueError, RecursionError, StopIteration) as error:
        raise NotSerialisable(f"stored data cannot be read as JSON: {error or 'empty'}: {text[:60]!r}…") from error


def _plain(values: Collection[Any], depth: int) -> bool:
    """Tell whether all of these are JSON data already, of the very types, and not too deep."""
    if SCALARS.issuperset(map(type, values)):
        return True
    if depth >= MAX_DEPTH:
        return False
    for value in values:
        kind = type(value)
        if kind in SCALARS:
            continue
        if kind is list:
            if not _plain(value, depth + 1):
                return False
        elif kind is not dict or not (_STR.issuperset(map(type, value)) and _plain(value.values(), depth + 1)):
            return False
    return True


def _write_plain(value: Any) -> str | None:
    """Return the text of plain data; None if it needs the long way: out of range, like a tag, or with surrogates."""
    try:
        text = dumps(value)
    except ValueError:
        return None
    return None if '{"$' in text or "\\ud" in text or len(text) > PAYLOAD_LIMIT else text


class Codec:
    """Encodes calls and results. ``types`` are an App's own types: ``{Money: (encode, decode)}``.

    ``encode`` returns data that can be stored, ``decode`` makes the value of it again. Raises ``BadOption`` for ``types``
    that are not of this form. Immutable; use it from any thread.
    """

    __slots__ = ("_by_tag", "_by_type")

    def __init__(self, types: Types | None = None) -> None:
        """Take the App's types, by their exact class."""
        self._by_type: OwnTypes = {}
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
        if (SCALARS.issuperset(map(type, args)) or _plain(args, 0)) and (not kwargs or _plain(kwargs.values(), 0)):
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
        return _sized(dumps(data), f"the arguments of {_short(where)}")

    def _argument(self, value: Any, key: int | str, where: str, hints: Hints | None) -> Any:
        name = hints.name(key) if hints is not None else key if isinstance(key, str) else None
        place = _Place(_short(where), key, name)
        rebuild = hints.for_argument(key) if hints is not None else None
        return self._encode(value, place, rebuild, _why_not(hints, name))

    def decode_call(
        self, payload: str, hints: Hints | None = None, results: Results | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a stored call; ``hints`` (``hints_of(fn)``) rebuild models, and ``results`` finds what the
        references to other jobs' results stand for; without it they stay references.

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
            if results is not None and MARK in payload:
                args, kwargs = put_in(args, kwargs, results)
        return hints.rebuild(args, kwargs) if hints else (args, kwargs)

    # -- single values --
    def encode_value(self, value: Any, what: str, annotation: Any = Any) -> str:
        """Return a result, or meta, as ASCII JSON text. ``what`` names it in messages.

        A model needs the annotation of what the function returns. Raises like ``encode_call``.
        """
        if type(value) in SCALARS or _plain((value,), 0):
            text = _write_plain(value)
            if text is not None:
                return text
        place = _Place(what, None, None)
        data = self._encode(value, place, rebuilder(annotation), "the function does not say what it returns")
        if MARK in (text := dumps(data)) and any(referred(data)):
            raise NotSerialisable(f"{what} holds what as_argument gave, which has a meaning among arguments only.")
        return _sized(text, what)

    def decode_value(self, text: str, annotation: Any = Any) -> Any:
        """Return a stored result or meta; ``annotation`` rebuilds models. Raises like ``decode_call``."""
        value = _loads(text)
        if '"$' in text:
            value = self._untag(value)
        rebuild = None if annotation is Any else rebuilder(annotation)
        return rebuild(value) if rebuild else value

    # -- the long way --
    def _encode(self, value: Any, place: _Place, rebuild: Callable[[Any], Any] | None, why_not: str) -> Any:
        """Return one value as JSON data, its round trip checked if it holds models or types of the App."""
        walk = Walk(self._by_type)
        try:
            data = walk.encode(value)
        except Refused as refusal:
            raise NotSerialisable(
                f"{place.spelled(walk.where)} {refusal.what}. Nothing stored.\n  {refusal.remedy or place.remedy()}"
            ) from refusal
        if walk.model is not None and rebuild is None:
            where, kind, cls = walk.model
            raise NotAnnotated(_unannotated(place.spelled(where), kind, cls, why_not))
        if walk.checked and MARK not in dumps(data):  # what does not exist yet cannot be tried
            self._check_back(value, data, place, rebuild)
        return data

    def _check_back(self, value: Any, data: Any, place: _Place, rebuild: Callable[[Any], Any] | None) -> None:
        try:
            back = self._untag(_loads(dumps(data)))
            back = rebuild(back) if rebuild else back
        except Exception as error:  # the users' classes may fail in any way
            raise NotSerialisable(
                f"{place.spelled()} cannot be rebuilt from what would be stored: {type(error).__name__}: {error}\n"
                f"  Nothing stored. Pass plain data, or an id, and load it in the job."
            ) from error
        if not self._same(value, back):
            raise NotSerialisable(
                f"{place.spelled()} comes back as {back!r:.200}, not as {value!r:.200}.\n"
                f"  Nothing stored. Annotate the parameter with the very class, or pass plain data."
            )

    def _same(self, a: Any, b: Any) -> bool:
        """Compare value and type, all the way down; where there is no ``==``, what the two hold."""
        if type(a) is not type(b):
            return False
        if type(a) in self._by_type:
            return bool(Walk(self._by_type).encode(a) == Walk(self._by_type).encode(b))
        if isinstance(a, (list, tuple)):
            return len(a) == len(b) and all(self._same(one, other) for one, other in zip(a, b, strict=True))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(self._same(part, b[key]) for key, part in a.items())
        return _equal(a, b) or self._same_parts(a, b)

    def _same_parts(self, a: Any, b: Any) -> bool:
        kind = kind_of(a.__class__)
        return kind is not None and kind.parts and self._same(kind.dump(a), kind.dump(b))

    def _untag(self, value: Any, depth: int = 0) -> Any:
        if type(value) is list:
            return [self._untag(part, _deeper(depth)) for part in value]
        if type(value) is not dict:
            return value
        if len(value) == 1:
            ((tag, data),) = value.items()
            if tag[:1] == "$":
                return self._tagged(tag, data, _deeper(depth))
        return {key: self._untag(part, _deeper(depth)) for key, part in value.items()}

    def _tagged(self, tag: str, data: Any, depth: int) -> Any:
        try:
            if tag == "$":
                return {key: self._untag(part, depth) for key, part in data.items()}
            if tag == "$str":
                return "".join(data)
            if tag in MANY_TAGS:
                return MANY_TAGS[tag]([self._untag(part, depth) for part in data])
            if tag in STANDARD_TAGS:
                return STANDARD_TAGS[tag](data)
        except NotSerialisable:
            raise
        except Exception as error:
            raise NotSerialisable(f"stored data {data!r:.60} is not a {tag}: {error}") from error
        decode = self._by_tag.get(tag)
        if decode is None:
            raise NotSerialisable(f"stored data has the tag {tag!r}, which the App here does not have in its types=.")
        return decode(self._untag(data, depth))


def _deeper(depth: int) -> int:
    """Count one level of stored data; a tag makes up to three of one level of a value."""
    if depth > 3 * MAX_DEPTH:
        raise NotSerialisable(f"stored data is nested more than {MAX_DEPTH} deep.")
    return depth + 1


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # the users' classes may fail in any way
        return False


def _pair(cls: object, pair: object) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if isinstance(cls, type) and isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(callable, pair)):
        if cls in JSON:
            raise BadOption(f"App(types=) cannot change how {cls.__name__} is stored, which is JSON's own.")
        return pair[0], pair[1]
    raise BadOption(f"App(types=) takes {{class: (encode, decode)}}, not {{{cls!r}: {pair!r}}}.")


# -- messages ---------------------------------------------------------------------------------------------------------
class _Place(NamedTuple):
    """Which value is meant, for messages."""

    what: str  #: the function, or what the value is
    key: int | str | None  #: the position or name of an argument
    name: str | None  #: the name of its parameter

    def spelled(self, at: Step | None = None) -> str:
        """Return the words: ``send_mail(…) argument 2, 'user.lock',``."""
        if self.key is None:
            return f"{self.what}, at {_steps(at)}," if at else self.what
        text = (self.name or "") + _steps(at)
        number = repr(self.key) if isinstance(self.key, str) else self.key + 1
        return f"{self.what}(…) argument {number}" + (f", '{text}'," if text and text != self.key else "")

    def remedy(self) -> str:
        """Return what to do about a live object."""
        if not self.name:
            return "Pass plain data, or an id, and load it in the job."
        return f"Pass an id and load it in the job:  enqueue({self.what}, …, {self.name}_id={self.name}.id)"


def _steps(at: Step | None) -> str:
    steps = []
    while at is not None:
        steps.append(at.step)
        at = at.parent
    return "".join(reversed(steps))


def _short(name: str) -> str:
    return name.rpartition(":")[2]


def _unannotated(place: str, kind: Kind, cls: type, why_not: str) -> str:
    return (
        f"{place} is {an(cls.__qualname__)} ({kind.word}), which is rebuilt from the parameter's annotation, "
        f"but {why_not}. Nothing stored.\n"
        f"  Annotate it with {cls.__qualname__} (list[{cls.__qualname__}], … for containers), or pass plain data."
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
            f"{what}: {len(text):,} bytes as JSON, and a job carries at most {PAYLOAD_LIMIT:,}. Nothing stored.\n"
            f"  Put the data into a file or a database and pass its path or id."
        )
    return text


def _no_call(payload: str) -> NotSerialisable:
    return NotSerialisable(f"stored data is not a call, [[arguments…], {{…}}]: {payload[:60]!r}…")


#: The codec without an App's types.
PLAIN = Codec()
