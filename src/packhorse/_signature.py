"""Whether arguments fit a function, said at enqueue and in words."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._options import JobOptions
from .errors import BadArguments

# Loaded for calls that need a closer look, and for messages.
if TYPE_CHECKING:
    import inspect

_OPTIONS = frozenset(JobOptions.__annotations__)
_VARIADIC = 0x04 | 0x08  # inspect.CO_VARARGS, CO_VARKEYWORDS
_signatures: WeakKeyDictionary[Any, inspect.Signature | None] = WeakKeyDictionary()


def check_call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> None:
    """Raise ``BadArguments`` if ``fn(*args, **kwargs)`` would be a wrong call. ``name`` is the task's, for the message.

    Decorated functions count as what they wrap. A function whose signature Python does not know is not checked.
    """
    if not kwargs and len(args) in fitting(fn):
        return
    signature = signature_of(fn)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadArguments(_message(signature, args, kwargs, name, str(error))) from None


def fitting(fn: Callable[..., Any] | None) -> range:
    """Return how many positional arguments surely fit ``fn``, if it gets no others; empty where a closer look is needed."""
    if type(fn) is not types.FunctionType:
        return range(0)
    code = fn.__code__
    if code.co_kwonlyargcount or code.co_flags & _VARIADIC:
        return range(0)
    return range(code.co_argcount - len(fn.__defaults__ or ()), code.co_argcount + 1)


def signature_of(fn: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature, found once; None if Python does not know it."""
    try:
        return _signatures[fn]
    except (KeyError, TypeError):
        pass
    import inspect

    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        signature = None
    try:
        _signatures[fn] = signature
    except TypeError:
        pass  # not every callable can be referred to weakly
    return signature


def shown(fn: Callable[..., Any], name: str) -> str:
    """Return the call as people write it: ``mail(to: str, *, subject: str = "")``."""
    quick = _quickly_spelled(fn)
    if quick is None:
        signature = signature_of(fn)
        quick = spelled(signature) if signature else "(…)"
    return short(name) + quick


def _quickly_spelled(fn: Callable[..., Any]) -> str | None:
    """Return what ``spelled`` returns, for most functions: workers publish it at start, and ``inspect`` takes long to load."""
    if type(fn) is not types.FunctionType or {"__wrapped__", "__signature__"} & fn.__dict__.keys():
        return None
    code, notes = fn.__code__, fn.__annotations__
    if not all(isinstance(note, str) or type(note) is type for note in notes.values()):
        return None
    if code.co_flags & _VARIADIC or code.co_posonlyargcount:
        return None
    given = dict(zip(reversed(code.co_varnames[: code.co_argcount]), reversed(fn.__defaults__ or ()), strict=False))
    given.update(fn.__kwdefaults__ or {})
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    words = [_spelled_one(name, notes, given) for name in names]
    if code.co_kwonlyargcount:
        words.insert(code.co_argcount, "*")
    return f"({', '.join(words)})"


def _spelled_one(name: str, notes: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    if name not in notes:
        return f"{name}={given[name]!r}" if name in given else name
    note = notes[name]
    kind = note if isinstance(note, str) else _class_name(note)
    return f"{name}: {kind} = {given[name]!r}" if name in given else f"{name}: {kind}"


def _class_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def spelled(signature: inspect.Signature) -> str:
    """Return a signature as text, annotations as they stand in the code."""
    parameters = [
        parameter.replace(annotation=_Source(parameter.annotation))
        if parameter.annotation is not parameter.empty
        else parameter
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class _Source:
    """An annotation that prints without quotes and without ``typing.``."""

    def __init__(self, annotation: Any) -> None:
        if not isinstance(annotation, str):
            from inspect import formatannotation

            annotation = formatannotation(annotation)
        self.text: str = annotation

    def __repr__(self) -> str:
        return self.text


def short(name: str) -> str:
    """Return the last part of a task's name."""
    return name.rpartition(":")[2].rpartition(".")[2]


def _message(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str, error: str
) -> str:
    call = f"{short(name)}{spelled(signature)}"
    for key in kwargs:
        if key in _OPTIONS and key not in signature.parameters:
            return (
                f"'{key}' is not an argument of {call}; job options go in "
                f".using({key}={kwargs[key]!r}).enqueue({short(name)}, …). Not enqueued."
            )
    return f"enqueue({short(name)}, …) {_what(signature, args, kwargs) or error} — {call}. Not enqueued."


def _what(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    parameters = signature.parameters.values()
    kinds = {parameter.kind.name for parameter in parameters}
    takes = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    unknown = [f"'{key}'" for key in kwargs if key not in signature.parameters]
    if unknown and "VAR_KEYWORD" not in kinds:
        return f"has no argument {', '.join(unknown)}"
    if len(args) > len(takes) and "VAR_POSITIONAL" not in kinds:
        return f"takes {len(takes)} positional argument{'' if len(takes) == 1 else 's'}, not {len(args)}"
    missing = [f"'{p.name}'" for p in _required(signature, takes[len(args) :]) if p.name not in kwargs]
    return f"misses {', '.join(missing)}" if missing else None


def _required(signature: inspect.Signature, left: list[inspect.Parameter]) -> list[inspect.Parameter]:
    named = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    return [p for p in (*left, *named) if p.default is p.empty]
