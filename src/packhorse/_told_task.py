"""Calls of tasks whose code is elsewhere, by what a worker has told of them: their options hold here too."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._defaults import given_defaults
from ._draft import Draft, Target
from ._options import NONE, check
from ._templates import templates_of
from .errors import BadArguments, PackhorseError

if TYPE_CHECKING:
    from ._queue import Queue

_PARAMETER = inspect.Parameter


class ToldTarget(Target):
    """A task as its entry in a worker's catalogue tells of it."""

    __slots__ = ("signature",)

    def __init__(self, name: str, about: Mapping[str, Any]) -> None:
        """Options that a newer version told, and this one does not know, are left out."""
        super().__init__(name)
        self.signature = signature_of(str(about.get("signature", "")))
        try:
            self.options = check(given_defaults(about.get("options") or {}), f"@task {name}", "task")
        except PackhorseError:
            self.options = NONE
        self.templates = templates_of(self.options, lambda: self.signature, name)


def draft_of(
    queue: Queue, name: str, about: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Draft[Any]:
    """Return a draft for a queue. Raises ``BadArguments`` if the arguments do not fit and options need them."""
    target = ToldTarget(name, about)
    plan = queue._plan_of(target)
    if plan.per_call and target.signature is not None:
        try:
            target.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{name}{target.signature}: {error}. Not enqueued.") from None
    return Draft(plan, plan.encode(args, kwargs), args, kwargs)


def signature_of(text: str) -> inspect.Signature | None:
    """Return the signature in ``mail(to: str, *, subject: str = "")``; None for what is none. The text is read, never run."""
    try:
        (node,) = ast.parse(f"def f{text[text.index('(') :]}: ...").body
        return inspect.Signature(list(_parameters(node.args))) if isinstance(node, ast.FunctionDef) else None
    except (SyntaxError, ValueError):
        return None


def _parameters(given: ast.arguments) -> Iterator[inspect.Parameter]:
    places = [
        *((each.arg, _PARAMETER.POSITIONAL_ONLY) for each in given.posonlyargs),
        *((each.arg, _PARAMETER.POSITIONAL_OR_KEYWORD) for each in given.args),
    ]
    missing = len(places) - len(given.defaults)
    for (name, kind), default in zip(places, [None] * missing + list(given.defaults), strict=True):
        yield _PARAMETER(name, kind, default=_value(default))
    if given.vararg:
        yield _PARAMETER(given.vararg.arg, _PARAMETER.VAR_POSITIONAL)
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _PARAMETER(each.arg, _PARAMETER.KEYWORD_ONLY, default=_value(default))
    if given.kwarg:
        yield _PARAMETER(given.kwarg.arg, _PARAMETER.VAR_KEYWORD)


def _value(default: ast.expr | None) -> Any:
    """Return a default that is plain data; of others their text."""
    if default is None:
        return _PARAMETER.empty
    try:
        return ast.literal_eval(default)
    except ValueError:
        return ast.unparse(default)
