"""From words of a command line to arguments: by the annotation of the parameter, else text."""

from __future__ import annotations

import ast
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

from .._durations import seconds
from ..errors import BadArguments, PackhorseError

_YES, _NO, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")


class Parameters(NamedTuple):
    """What is known of a function's parameters: annotations by place and by name. Unknown ones take text."""

    positional: Sequence[Any] = ()
    rest: Any = Any  #: of ``*args``
    named: Mapping[str, Any] = {}
    others: Any = Any  #: of ``**kwargs``
    names: Sequence[str] = ()  #: of the positional ones, for messages


def words_to_call(words: Sequence[str], known: Parameters, task: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that words say: ``VALUE``, ``K=V``, ``K:=JSON`` or ``:=JSON``. Raises ``BadArguments``."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, value, is_json = _split(word)
        if name in kwargs:
            raise BadArguments(f"'{name}' is given twice. Nothing enqueued.")
        place = _place(known, len(args), name)
        made = from_json(value, f"'{word}'") if is_json else _convert(value, *place, task)
        if name:
            kwargs[name] = made
        else:
            args.append(made)
    return args, kwargs


def _split(word: str) -> tuple[str, str, bool]:
    """Return name (empty: by place), value, and whether the value is JSON."""
    head, mark, value = word.partition("=")
    if mark and head.endswith(":") and (head == ":" or head[:-1].isidentifier()):
        return head[:-1], value, True
    return (head, value, False) if mark and head.isidentifier() else ("", word, False)


def _place(known: Parameters, index: int, name: str) -> tuple[Any, str]:
    """Return the annotation of a parameter, and how messages call it."""
    if name:
        return known.named.get(name, known.others), f"'{name}'"
    if index < len(known.positional):
        return known.positional[index], f"{index + 1}, '{known.names[index]}'"
    return known.rest, str(index + 1)


def from_json(text: str, where: str) -> Any:
    """Return JSON text as data; NaN and infinity are no JSON. Raises ``BadArguments``, naming ``where``."""
    from .._codec import PLAIN

    try:
        json.loads(text)
        return PLAIN.decode_value(text)
    except (ValueError, RecursionError, PackhorseError) as error:
        raise BadArguments(f"{where} is not JSON: {_first(error)}. Nothing enqueued.") from None


def _first(error: Exception) -> str:
    return str(error).split("\n")[0].partition("  [E")[0].rstrip(".")


def _convert(text: str, annotation: Any, where: str, task: str) -> Any:
    try:
        return convert(text, annotation)
    except Exception as error:  # a model of the user's may refuse in any way
        told = getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")
        reason = f": {_first(error)}" if str(error) and not isinstance(error, (ValueError, InvalidOperation)) else ""
        raise BadArguments(
            f"argument {where} of {task} takes {told}, and {text!r} is none{reason}. Nothing enqueued."
        ) from None


def convert(text: str, annotation: Any) -> Any:
    """Return text as a value of this annotation. Raises whatever the type raises for text that is none."""
    from .._rebuild import bare

    annotation = bare(annotation)
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _one_of(text, members)
    if origin in (typing.Union, types.UnionType):
        return _any_of(text, members)
    if annotation in _READERS:
        return _READERS[annotation](text)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _enum(text, annotation)
    kind = origin or annotation
    if isinstance(kind, type) and kind is not object and kind is not str:
        return _structured(text, annotation, kind)
    return text


def _bool(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise ValueError(text)


def _none(text: str) -> None:
    if text.lower() not in _NONE:
        raise ValueError(text)


_READERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    bool: _bool,
    int: int,
    float: float,
    complex: complex,
    Decimal: Decimal,
    UUID: UUID,
    Path: Path,
    bytes: str.encode,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
    timedelta: lambda text: timedelta(seconds=seconds(text)),
    types.NoneType: _none,
    None: _none,
}


def _one_of(text: str, members: Sequence[Any]) -> Any:
    for member in members:
        if str(member.value if isinstance(member, Enum) else member) == text:
            return member
    raise ValueError(text)


def _any_of(text: str, members: Sequence[Any]) -> Any:
    """Try what is narrower than text first; text itself fits everything."""
    for member in sorted(members, key=lambda member: member in (str, Any)):
        # "none" may be meant as a word where words are taken.
        if member in (types.NoneType, None) and str in members:
            continue
        try:
            return convert(text, member)
        except Exception:
            continue
    raise ValueError(text)


def _enum(text: str, cls: type[Enum]) -> Enum:
    if text in cls.__members__:
        return cls.__members__[text]
    return next(member for member in cls if str(member.value) == text)


def _structured(text: str, annotation: Any, kind: type) -> Any:
    """Read JSON for lists, mappings and models; a class that takes no JSON gets the text."""
    from .._rebuild import kind_of, rebuilder

    if kind not in (list, dict, tuple, set, frozenset) and not hasattr(kind, "__iter__") and kind_of(kind) is None:
        return text
    data = from_json(text, "it")
    rebuild = rebuilder(annotation)
    data = rebuild(data) if rebuild else data
    return kind(data) if kind in (tuple, set, frozenset) else data


# -- what is known of a function --------------------------------------------------------------------------------------
def of_function(fn: Callable[..., Any]) -> Parameters:
    """Return the parameters of a function at hand."""
    from .._rebuild import function_hints

    hints, _ = function_hints(fn)
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return Parameters()
    return _collect([(each.name, each.kind, hints.get(each.name, Any)) for each in parameters])


def of_text(signature: str) -> Parameters:
    """Return the parameters of a signature as a catalogue tells it: ``(x: int, *, deep: bool = False)``."""
    try:
        tree = ast.parse(f"def f{signature.strip()}: ...")
    except SyntaxError:
        return Parameters()
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        return Parameters()
    return _collect(_read(node.args))


_Kind = inspect.Parameter


def _read(given: ast.arguments) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    found += [(each.arg, _Kind.POSITIONAL_ONLY, _named_type(each.annotation)) for each in given.posonlyargs]
    found += [(each.arg, _Kind.POSITIONAL_OR_KEYWORD, _named_type(each.annotation)) for each in given.args]
    found += [(each.arg, _Kind.KEYWORD_ONLY, _named_type(each.annotation)) for each in given.kwonlyargs]
    if given.vararg:
        found.append((given.vararg.arg, _Kind.VAR_POSITIONAL, _named_type(given.vararg.annotation)))
    if given.kwarg:
        found.append((given.kwarg.arg, _Kind.VAR_KEYWORD, _named_type(given.kwarg.annotation)))
    return found


_NAMED = {kind.__name__: kind for kind in (*_READERS, list, dict) if isinstance(kind, type)}


def _named_type(node: ast.expr | None) -> Any:
    """Return a standard type by its name; the text of a catalogue is read, never run."""
    if isinstance(node, ast.Constant):
        return None if node.value is None else Any
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = _named_type(node.left), _named_type(node.right)
        return Any if Any in (left, right) else typing.Union[left, right]  # noqa: UP007  (made at run time)
    if isinstance(node, ast.Subscript):
        return _named_type(node.value)
    if isinstance(node, ast.Attribute):
        return _NAMED.get(node.attr, Any)
    return _NAMED.get(node.id, Any) if isinstance(node, ast.Name) else Any


def _collect(parameters: Sequence[tuple[str, Any, Any]]) -> Parameters:
    placed, named = (
        (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD),
        (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY),
    )
    by_place = [(name, hint) for name, kind, hint in parameters if kind in placed]
    rest = [hint for _, kind, hint in parameters if kind is _Kind.VAR_POSITIONAL]
    others = [hint for _, kind, hint in parameters if kind is _Kind.VAR_KEYWORD]
    return Parameters(
        positional=[hint for _, hint in by_place],
        names=[name for name, _ in by_place],
        named={name: hint for name, kind, hint in parameters if kind in named},
        rest=rest[0] if rest else Any,
        others=others[0] if others else Any,
    )
