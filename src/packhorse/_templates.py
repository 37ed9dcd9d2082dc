"""Tags with ``{argument}`` fields, as ``@task`` may have them: filled at each enqueue from the call's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ._names import key_list
from ._signature import signature_of
from .errors import BadOption

#: One template taken apart: literal text and the name of the argument after it, or None.
Parts = tuple[tuple[str, str | None], ...]


class Templates:
    """The tags of one task, taken apart once."""

    __slots__ = ("_parts", "_signature", "_where")

    def __init__(self, tags: Iterable[str], fn: Callable[..., Any], where: str) -> None:
        """Check that every field names an argument of ``fn``. Raises ``BadOption``."""
        self._where = f"@task {where}: tags"
        self._signature = signature_of(fn)
        self._parts = [self._take_apart(tag) for tag in tags]

    def fill(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        """Return the tags of one call, which is known to fit the function. Raises ``BadName`` for what cannot be a key."""
        assert self._signature is not None
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return key_list([_filled(parts, bound.arguments) for parts in self._parts], self._where)

    def _take_apart(self, tag: str) -> Parts:
        from string import Formatter

        try:
            parts = [(text, field, spec, how) for text, field, spec, how in Formatter().parse(tag)]
        except ValueError as error:
            raise BadOption(f"{self._where}: {tag!r} is no template: {error}. Write {{{{ for a brace.") from None
        for _, field, spec, how in parts:
            if field is not None and (spec or how or not self._names(field)):
                raise BadOption(
                    f"{self._where}: {{{field}}} in {tag!r} is not an argument of the function. Write {{{{ for a brace."
                )
        return tuple((text, field) for text, field, _, _ in parts)

    def _names(self, field: str) -> bool:
        parameter = self._signature.parameters.get(field) if self._signature else None
        return parameter is not None and parameter.kind.name not in ("VAR_POSITIONAL", "VAR_KEYWORD")


def needed(tags: Iterable[str]) -> bool:
    """Tell whether any of these tags has a brace at all."""
    return any("{" in tag or "}" in tag for tag in tags)


def _filled(parts: Parts, arguments: dict[str, Any]) -> str:
    return "".join(text + (str(arguments[field]) if field is not None else "") for text, field in parts)
