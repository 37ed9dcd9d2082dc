"""The ``{name}`` fields in the texts of a command, and what is put in their places. Pure.

In a declared command every ``{name}`` is a field and ``{{`` a brace. In a raw one only the names that were given are fields;
every other brace is left alone, since the words of a program are its own affair.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from .errors import BadArguments, BadOption

#: One text taken apart: literal text and the name of the field after it (with a star: of many words), or None.
Parts = tuple[tuple[str, str | None], ...]
#: What a field stands for: one text, or as many words as were given.
Value = str | tuple[str, ...]

#: The field that is always there: the private directory of the attempt.
WORKSPACE = "workspace"
#: How a name that is a field may look.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_LOOSE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_STRICT = re.compile(r"\{\{|\}\}|\{(\*?[A-Za-z_][A-Za-z0-9_]*)\}|[{}]")
_QUOTING = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|['\"]", re.DOTALL)
SHELL = "/bin/sh"


@lru_cache(maxsize=4096)
def take_apart(text: str) -> Parts:
    """Return the text of a declared command in its parts. Raises ``BadOption`` for a brace that begins or ends no field."""
    parts: list[tuple[str, str | None]] = []
    before, end = "", 0
    for match in _STRICT.finditer(text):
        before, end = before + text[end : match.start()], match.end()
        if match[1]:
            parts.append((before, match[1]))
            before = ""
        elif len(match[0]) == 2:
            before += match[0][0]
        else:
            raise BadOption(
                f"{text!r} has a '{match[0]}' that belongs to no {{name}}; write {match[0] * 2} for the brace itself."
            )
    return (*parts, (before + text[end:], None))


def take_apart_loosely(text: str, names: Collection[str]) -> Parts:
    """Return the text of a raw command in its parts: only these names are fields."""
    parts: list[tuple[str, str | None]] = []
    end = 0
    for match in _LOOSE.finditer(text) if "{" in text else ():
        if match[1] in names:
            parts.append((text[end : match.start()], match[1]))
            end = match.end()
    return (*parts, (text[end:], None))


class Fields:
    """The values of one call, put into texts.

    ``params`` are the values by name, ``workspace`` that directory. ``declared``: every brace counts. ``free``: names whose
    values may have slashes anywhere, since a check of their own allowed them. Raises ``BadArguments`` for a field without a value
    and for a value that does not fit its place, ``BadOption`` for a text that is no template.
    """

    __slots__ = ("_declared", "_free", "_used", "_values")

    def __init__(
        self, params: Mapping[str, Value], workspace: str, *, declared: bool, free: Collection[str] = ()
    ) -> None:
        self._values = {**params, WORKSPACE: workspace}
        self._declared = declared
        self._free = free
        self._used = {WORKSPACE}

    def text(self, template: str, where: str) -> str:
        """Return a text with its fields filled."""
        return "".join(before + self._one(field, where) for before, field in self._parts(template))

    def words(self, template: str, where: str) -> tuple[str, ...]:
        """Return the words of the command line that one word of a template stands for: ``{*name}`` for as many as were given."""
        parts = self._parts(template)
        if len(parts) == 2 and parts[0][0] == parts[1][0] == "" and (parts[0][1] or "").startswith("*"):
            return self._many(str(parts[0][1]), where)
        return (self.text(template, where),)

    def path(self, template: str, where: str) -> str:
        """Return a path with its fields filled. Only a field that it begins with may be a path itself; the others are names."""
        found = ""
        for before, field in self._parts(template):
            found += before
            value = self._one(field, where)
            if field is not None and found:
                self._must_be_name(field, value, f"{where} {template!r}")
            found += value
        return found

    def shell(self, template: str, where: str) -> tuple[str, ...]:
        """Return the command line that runs a line by the shell. Values go in as ``"$1"``, ``"$2"``, … and can never be code."""
        line, values = "", list[str]()
        for before, field in self._parts(template):
            line += before
            if field is None:
                continue
            if in_quotes(line):
                raise BadOption(
                    f"{where}: {{{field}}} stands in quotes in {template!r}; it is quoted anyway: leave them out."
                )
            given = self._many(field, where) if field.startswith("*") else (self._one(field, where),)
            line += " ".join(f'"${{{len(values) + place}}}"' for place in range(1, len(given) + 1))
            values += given
        return (SHELL, "-c", line, "sh", *values)

    def unused(self) -> list[str]:
        """Return the names whose values stand nowhere."""
        return [name for name in self._values if name not in self._used]

    def _parts(self, template: str) -> Parts:
        return take_apart(template) if self._declared else take_apart_loosely(template, self._values)

    def _one(self, field: str | None, where: str) -> str:
        if field is None:
            return ""
        if field.startswith("*"):
            raise BadOption(f"{where}: {{{field}}} is several words, so it must stand alone as a word of the command.")
        value = self._value(field, where)
        if isinstance(value, tuple):
            raise BadOption(
                f"{where}: '{field}' is several words, and stands here for one; write {{*{field}}} in the command."
            )
        return value

    def _many(self, field: str, where: str) -> tuple[str, ...]:
        value = self._value(field[1:], where)
        return (value,) if isinstance(value, str) else value

    def _value(self, name: str, where: str) -> Value:
        if name not in self._values:
            raise BadArguments(f"{where} needs the parameter '{name}', which was not given.")
        self._used.add(name)
        return self._values[name]

    def _must_be_name(self, field: str, value: str, where: str) -> None:
        bad = value in ("", ".", "..") or ("/" in value and field not in self._free) or ".." in value.split("/")
        if bad and field != WORKSPACE:
            raise BadArguments(
                f"{where}: '{field}' stands for one name within a path, and {value!r} is none: no slash, and not '', '.' or '..'."
            )


def in_quotes(line: str) -> bool:
    """Tell whether the end of a line of shell lies within quotes."""
    return any(match[0] in ("'", '"') for match in _QUOTING.finditer(line))


def fields_of(texts: Collection[str]) -> dict[str, bool]:
    """Return the names of the fields in texts of a declared command, in their order, and whether each is of many words."""
    found: dict[str, bool] = {}
    for text in texts:
        for _, field in take_apart(text):
            if field is not None and field != WORKSPACE:
                name = field.removeprefix("*")
                found[name] = found.get(name, False) or field.startswith("*")
    return found
