"""Models as data: Enum, dataclass, NamedTuple, attrs and Pydantic, rebuilt from annotations.

What is stored of a model names no class. The class comes from the annotation of the parameter, in the process that
runs the job; nothing else could choose it.
"""

from __future__ import annotations

import json
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from .errors import BadArguments

if TYPE_CHECKING:
    import inspect

Rebuild = Callable[[Any], Any]


class Kind(NamedTuple):
    """One kind of model class: how to take a value apart, and how to put it together again."""

    word: str
    dump: Callable[[Any], Any]  #: value → str, number, list or dict of what it holds
    load: Callable[[type, Any], Any]  #: class and decoded data → value
    parts: bool  #: its fields may hold models themselves


# -- kinds of models --------------------------------------------------------------------------------------------------
@lru_cache(maxsize=4096)
def kind_of(cls: type) -> Kind | None:
    """Return how models of this class are handled; None if it is no model."""
    for test, kind in _KINDS:
        if test(cls):
            return kind
    return None


def _is_pydantic(cls: type) -> bool:
    return hasattr(cls, "model_validate") and hasattr(cls, "model_dump")


def _is_pydantic1(cls: type) -> bool:
    return hasattr(cls, "__fields__") and hasattr(cls, "parse_obj") and hasattr(cls, "dict")


def _is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _dump_dataclass(value: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {field.name: getattr(value, field.name) for field in fields(value) if field.init}


def _dump_attrs(value: Any) -> dict[str, Any]:
    return {_alias(field): getattr(value, field.name) for field in type(value).__attrs_attrs__ if field.init}


def _alias(field: Any) -> str:
    """Return the name of the parameter that sets an attrs field; private ones lose their underscore there."""
    return getattr(field, "alias", None) or str(field.name).lstrip("_")


def _load_fields(cls: type, data: Any) -> Any:
    rebuild = _field_rebuilds(cls)
    return cls(**{name: rebuild[name](part) if name in rebuild else part for name, part in data.items()})


def _load_namedtuple(cls: type, data: Any) -> Any:
    rebuild = _field_rebuilds(cls)
    names = cls._fields  # type: ignore[attr-defined]
    if len(names) != len(data):
        raise TypeError(f"{cls.__qualname__} has {len(names)} fields, not {len(data)}")
    return cls(*(rebuild[name](part) if name in rebuild else part for name, part in zip(names, data, strict=True)))


_KINDS: tuple[tuple[Callable[[type], bool], Kind], ...] = (
    (
        lambda cls: issubclass(cls, Enum),
        Kind("enum", lambda value: value.value, lambda cls, data: cls(data), False),
    ),
    (
        _is_pydantic,
        Kind(
            "Pydantic model",
            lambda value: value.model_dump(mode="json", by_alias=True, round_trip=True),
            lambda cls, data: cls.model_validate_json(json.dumps(data)),  # type: ignore[attr-defined]
            False,
        ),
    ),
    (
        _is_pydantic1,
        Kind(
            "Pydantic model",
            lambda value: json.loads(value.json(by_alias=True)),
            lambda cls, data: cls.parse_obj(data),  # type: ignore[attr-defined]
            False,
        ),
    ),
    (lambda cls: hasattr(cls, "__attrs_attrs__"), Kind("attrs class", _dump_attrs, _load_fields, True)),
    (lambda cls: hasattr(cls, "__dataclass_fields__"), Kind("dataclass", _dump_dataclass, _load_fields, True)),
    (_is_namedtuple, Kind("named tuple", list, _load_namedtuple, True)),
)


@lru_cache(maxsize=4096)
def _field_rebuilds(cls: type) -> dict[str, Rebuild]:
    """Return the fields that hold models, by the name of the parameter. Asked at first use: a class may hold itself."""
    hints = _class_hints(cls)
    aliases = {field.name: _alias(field) for field in getattr(cls, "__attrs_attrs__", ())}
    found = ((aliases.get(name, name), rebuilder(hint)) for name, hint in hints.items())
    return {name: rebuild for name, rebuild in found if rebuild is not None}


def _class_hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:
        return {}


# -- annotations ------------------------------------------------------------------------------------------------------
def rebuilder(annotation: Any) -> Rebuild | None:
    """Return what makes plain data into what the annotation says; None if it would change nothing."""
    annotation = bare(annotation)
    if isinstance(annotation, type) and not typing.get_origin(annotation):
        return _class_rebuilder(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if not isinstance(origin, type):
        return None
    if kind_of(origin):  # a generic model, Page[int]
        return _class_rebuilder(annotation if _is_pydantic(origin) else origin)
    return _container(origin, arguments)


def bare(annotation: Any) -> Any:
    """Strip ``Annotated``, ``NewType``, type aliases and type variables down to what they stand for."""
    for _ in range(20):
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif isinstance(annotation, typing.TypeVar):
            annotation = annotation.__bound__ or Any
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif typing.get_origin(annotation) in (typing.Final, typing.ClassVar, typing.Required, typing.NotRequired):
            annotation = typing.get_args(annotation)[0]
        else:
            break
    return annotation


def _class_rebuilder(cls: Any) -> Rebuild | None:
    if typing.is_typeddict(cls):
        return _typed_dict(cls)
    kind = kind_of(typing.get_origin(cls) or cls)
    if kind is None:
        return None
    return lambda data: kind.load(cls, data)


def _typed_dict(cls: type) -> Rebuild:
    def rebuild(data: Any) -> Any:
        parts = _field_rebuilds(cls)
        return {name: parts[name](part) if name in parts else part for name, part in data.items()}

    return rebuild


def _union(members: Iterable[Any]) -> Rebuild | None:
    """Return a choice among members: data already of a plain member stays; else the first model it makes wins."""
    rebuilds = [(member, rebuilder(member)) for member in members]
    plain = {_plain_type(member) for member, rebuild in rebuilds if rebuild is None}
    choices = [rebuild for _, rebuild in rebuilds if rebuild is not None]
    if not choices:
        return None
    return lambda data: data if type(data) in plain else _first_that_works(choices, data)


def _plain_type(member: Any) -> Any:
    member = bare(member)
    return typing.get_origin(member) or member


def _first_that_works(choices: list[Rebuild], data: Any) -> Any:
    for rebuild in choices[:-1]:
        try:
            return rebuild(data)
        except Exception:  # a model of the users' may refuse data in any way it likes
            continue
    return choices[-1](data)


_SEQUENCES = (list, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable, abc.Set)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)


def _container(origin: type, arguments: tuple[Any, ...]) -> Rebuild | None:
    if origin is tuple and len(arguments) >= 1 and arguments[-1] is not Ellipsis:
        return _fixed_tuple([rebuilder(argument) for argument in arguments])
    if origin in (tuple, *_SEQUENCES) and arguments and (each := rebuilder(arguments[0])):
        return lambda data: type(data)(each(part) for part in data) if isinstance(data, _MANY) else data
    if origin in _MAPPINGS and len(arguments) == 2 and (value := rebuilder(arguments[1])):
        return lambda data: {key: value(part) for key, part in data.items()} if isinstance(data, dict) else data
    return None


_MANY = (list, tuple, set, frozenset)


def _fixed_tuple(parts: list[Rebuild | None]) -> Rebuild | None:
    if not any(parts):
        return None
    return lambda data: tuple(part(value) if part else value for part, value in zip(parts, data, strict=True))


# -- functions --------------------------------------------------------------------------------------------------------
class Hints:
    """What the annotations of one function rebuild."""

    __slots__ = ("_many", "_named", "_names", "_positional", "_rest", "unresolved")

    def __init__(self, fn: Callable[..., Any]) -> None:
        """Read the signature and the annotations of ``fn``."""
        hints, self.unresolved = function_hints(fn)
        self._names: list[str] = []
        self._named: dict[str, Rebuild] = {}
        self._positional: list[Rebuild | None] = []
        self._many: Rebuild | None = None
        self._rest: Rebuild | None = None
        for parameter in _parameters(fn):
            self._note(parameter, rebuilder(hints[parameter.name]) if parameter.name in hints else None)

    def _note(self, parameter: inspect.Parameter, rebuild: Rebuild | None) -> None:
        if parameter.kind is parameter.VAR_POSITIONAL:
            self._many = rebuild
        elif parameter.kind is parameter.VAR_KEYWORD:
            self._rest = rebuild
        else:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                self._names.append(parameter.name)
                self._positional.append(rebuild)
            if rebuild and parameter.kind is not parameter.POSITIONAL_ONLY:
                self._named[parameter.name] = rebuild

    def __bool__(self) -> bool:
        """Tell whether any argument would be rebuilt."""
        return bool(self._named or any(self._positional) or self._many or self._rest)

    def name(self, key: int | str) -> str | None:
        """Return the name of the parameter that takes this argument; None if it is one of ``*args``."""
        return key if isinstance(key, str) else self._names[key] if key < len(self._names) else None

    def for_argument(self, key: int | str) -> Rebuild | None:
        """Return what rebuilds the argument at this position, or of this name."""
        if isinstance(key, str):
            return self._named.get(key, self._rest)
        return self._positional[key] if key < len(self._positional) else self._many

    def rebuild(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments with models in place of their data. Raise ``BadArguments`` where that fails."""
        return (
            [self._one(index, value) for index, value in enumerate(args)],
            {name: self._one(name, value) for name, value in kwargs.items()},
        )

    def _one(self, key: int | str, value: Any) -> Any:
        rebuild = self.for_argument(key)
        if rebuild is None:
            return value
        try:
            return rebuild(value)
        except Exception as error:
            raise BadArguments(
                f"argument {self.name(key)!r} does not fit the annotation of this version of the function: "
                f"{type(error).__name__}: {error}"
            ) from error


_hints: WeakKeyDictionary[Any, Hints] = WeakKeyDictionary()


def hints_of(fn: Callable[..., Any]) -> Hints:
    """Return the hints of a function, read once."""
    try:
        known = _hints.get(fn)
    except TypeError:  # not every callable can be referred to weakly
        return Hints(fn)
    if known is None:
        known = _hints[fn] = Hints(fn)
    return known


def rebuilds_any(fn: Callable[..., Any]) -> bool:
    """Tell whether any argument of a function would be rebuilt; much cheaper than its ``Hints``."""
    found, _ = function_hints(fn)
    return any(rebuilder(hint) for name, hint in found.items() if name != "return")


def result_annotation(fn: Callable[..., Any]) -> Any:
    """Return what a function says it returns, ``Any`` if it does not say or cannot be understood."""
    return function_hints(fn)[0].get("return", Any)


def function_hints(fn: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the annotations of a function, resolved one by one, and the errors of those that cannot be."""
    fn = _innermost(fn)
    fn = getattr(fn, "__func__", fn)
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    try:
        return typing.get_type_hints(fn, include_extras=True), failed
    except Exception:
        pass
    for name, annotation in getattr(fn, "__annotations__", {}).items():
        single = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints = typing.get_type_hints(single, getattr(fn, "__globals__", {}), include_extras=True)
            found[name] = hints[name]
        except Exception as error:
            failed[name] = f"{annotation!r}: {type(error).__name__}: {error}"
    return found, failed


def _innermost(fn: Callable[..., Any]) -> Callable[..., Any]:
    if not hasattr(fn, "__wrapped__"):
        return fn
    from inspect import unwrap

    innermost: Callable[..., Any] = unwrap(fn)
    return innermost


def _parameters(fn: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    import inspect

    try:
        return inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return ()
