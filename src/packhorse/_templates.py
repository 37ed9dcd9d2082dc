"""Options with ``{argument}`` fields, as ``@task`` may have them: filled at each enqueue from the call's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._names import key_list
from ._options import Options
from ._reference import Reference
from .errors import BadOption

if TYPE_CHECKING:
    from inspect import Signature

#: One template taken apart: literal text and the name of the argument after it, or None.
Parts = tuple[tuple[str, str | None], ...]

#: The options whose texts may have fields.
NAMES = ("tags", "reserves", "shares", "limit", "unique")


class Templates:
    """The options of one task that have fields, each taken apart once."""

    __slots__ = ("_parts", "_signature", "_where")

    def __init__(self, options: Mapping[str, Sequence[str]], signature: Signature | None, where: str) -> None:
        """Check that every field names an argument. Raises ``BadOption``."""
        self._where = where if where.startswith("[") else f"@task {where}"
        self._signature = signature
        self._parts = {
            name: [self._take_apart(text, f"{self._where}: {name}") for text in texts]
            for name, texts in options.items()
        }

    def among(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return which of these options have fields."""
        return tuple(name for name in names if name in self._parts)

    def fill(self, names: Iterable[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, tuple[str, ...]]:
        """Return these options for one call, which is known to fit the function. Raises ``BadName`` for what cannot be a key,
        ``BadOption`` for an argument that is not known yet."""
        assert self._signature is not None
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: self._filled(name, bound.arguments) for name in names}

    def _filled(self, name: str, arguments: dict[str, Any]) -> tuple[str, ...]:
        where = f"{self._where}: {name}"
        return key_list([_put_in(parts, arguments, where) for parts in self._parts[name]], where)

    def _take_apart(self, text: str, where: str) -> Parts:
        from string import Formatter

        try:
            parts = [(before, field, spec, how) for before, field, spec, how in Formatter().parse(text)]
        except ValueError as error:
            raise BadOption(f"{where}: {text!r} is no template: {error}. Write {{{{ for a brace.") from None
        for _, field, spec, how in parts:
            if field is not None and (spec or how or not self._names(field)):
                raise BadOption(
                    f"{where}: {{{field}}} in {text!r} is not an argument of the function. Write {{{{ for a brace."
                )
        return tuple((before, field) for before, field, _, _ in parts)

    def _names(self, field: str) -> bool:
        parameter = self._signature.parameters.get(field) if self._signature else None
        return parameter is not None and parameter.kind.name not in ("VAR_POSITIONAL", "VAR_KEYWORD")


def templates_of(options: Options, signature: Callable[[], Signature | None], where: str) -> Templates | None:
    """Return the options of a task that have fields; None if none has."""
    given = options.given()
    texts = {name: _texts(given[name]) for name in NAMES if name in given}
    found = {name: each for name, each in texts.items() if needed(each)}
    return Templates(found, signature(), where) if found else None


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, bool):
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def needed(texts: Iterable[str]) -> bool:
    """Tell whether any of these texts has a brace at all."""
    return any("{" in text or "}" in text for text in texts)


def _put_in(parts: Parts, arguments: dict[str, Any], where: str) -> str:
    return "".join(text + (_text(arguments[field], field, where) if field is not None else "") for text, field in parts)


def _text(value: Any, field: str, where: str) -> str:
    if isinstance(value, Reference):
        raise BadOption(
            f"{where} has the field {{{field}}}, but that argument is the result of job {value.id}, which is not known yet. "
            f"Nothing stored. Give the option itself with using(…)."
        )
    return str(value)
