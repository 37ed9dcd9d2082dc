"""The parameters of a command task: what each may be, checked where a job is enqueued and again before it starts."""

# Annotations are not put off here, as in _record.
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ._command_checks import flag, text
from ._command_fields import NAME, WORKSPACE, Value
from .errors import BadArguments, BadOption

_KINDS = ("dir", "file")
_IS: dict[str, Any] = {"dir": os.path.isdir, "file": os.path.isfile}
_SAID = {"dir": "a directory", "file": "a file"}


class Parameter(NamedTuple):
    """What one parameter of a command task may be. The names are those of the table in the config file."""

    many: bool = False  #: any number of texts
    default: Value | None = None  #: None: it must be given
    split: str | None = None  #: one text is taken apart at this
    match: str | None = None  #: a regular expression that each text must match wholly
    path: str | None = None  #: "dir" or "file": each is the absolute path of one that is there
    under: str | None = None  #: each is a path below this one
    one_of: tuple[str, ...] | None = None
    within: bool = False  #: it stands within a path, for one name; found out, never given

    @property
    def annotation(self) -> str:
        """Return what it is in a signature."""
        return "list[str]" if self.many else "str"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON data, for those who have no config file."""
        given = {name: value for name, value in self._asdict().items() if value != _PLAIN[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


_PLAIN = Parameter()._asdict()


# -- from a table -----------------------------------------------------------------------------------------------------
def parameter(name: str, table: Any, where: str) -> Parameter:
    """Return one parameter of its table, checked. Raises ``BadOption``."""
    if not NAME.fullmatch(name) or name == WORKSPACE:
        raise BadOption(f"{where}: a parameter has letters, digits and _ in its name, and is not '{WORKSPACE}'.")
    if not isinstance(table, Mapping):
        raise BadOption(f'{where} takes a table, like {{ default = "x" }}; not {table!r:.80}.')
    for key in table:
        if key not in _CHECKS:
            raise BadOption(f"{where}: '{key}' is unknown; there are: {', '.join(_CHECKS)}.")
    found = {key: _CHECKS[key](value, f"{where}: {key}") for key, value in table.items()}
    made = Parameter(**found)
    made = made._replace(many=made.many or made.split is not None)
    return made if made.default is None else made._replace(default=_default(made, name, where))


def restored(plain: Mapping[str, Any]) -> Parameter:
    """Return a parameter of JSON data; what only a newer version knows is left out."""
    known: dict[str, Any] = {name: plain[name] for name in Parameter._fields if name in plain}
    for name, value in known.items():
        known[name] = tuple(value) if isinstance(value, list) else value
    return Parameter(**known)


def _default(found: Parameter, name: str, where: str) -> Value:
    try:
        return checked(found, name, found.default, where)
    except BadArguments as error:
        raise BadOption(f"{where}: its default does not fit: {str(error).removesuffix(f'  [{error.code}]')}") from None


def _given_default(value: Any, where: str) -> Value:
    return tuple(text(each, where) for each in value) if isinstance(value, list) else text(value, where)


def _some_text(value: Any, where: str) -> str:
    if not text(value, where):
        raise BadOption(f"{where} is empty.")
    return str(value)


def _pattern(value: Any, where: str) -> str:
    try:
        re.compile(text(value, where))
    except re.error as error:
        raise BadOption(f"{where}: {value!r} is no regular expression: {error}.") from None
    return str(value)


def _kind(value: Any, where: str) -> str:
    if value not in _KINDS:
        raise BadOption(f"{where} is one of {', '.join(_KINDS)}; not {value!r:.80}.")
    return str(value)


def _choices(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise BadOption(f"{where} takes a list of texts, not {value!r:.80}.")
    return tuple(text(each, where) for each in value)


def _below(value: Any, where: str) -> str:
    path = text(value, where)
    if not path.startswith("/") or ".." in path.split("/"):
        raise BadOption(f"{where} takes an absolute path without '..', not {path!r:.80}.")
    return path.rstrip("/") or "/"


_CHECKS: dict[str, Any] = {
    "many": flag,
    "default": _given_default,
    "split": _some_text,
    "match": _pattern,
    "path": _kind,
    "under": _below,
    "one_of": _choices,
}


# -- a value ----------------------------------------------------------------------------------------------------------
def checked(known: Parameter, name: str, given: Any, where: str) -> Value:
    """Return the value of a parameter as it is stored. Looks at no file. Raises ``BadArguments``."""
    if known.many:
        texts = tuple(_texts(known, name, given, where))
        for each in texts:
            _check(known, name, each, where)
        return texts
    found = _text(name, given, where)
    _check(known, name, found, where)
    return found


def missing_path(known: Parameter, name: str, value: Value) -> str | None:
    """Say what is wrong with the paths of a parameter, looking at the files; None: nothing is."""
    for each in (value,) if isinstance(value, str) else value:
        if known.under is not None and not _is_below(os.path.realpath(each), os.path.realpath(known.under)):
            return f"'{name}' must lie below {known.under}, and {each!r} leads to {os.path.realpath(each)!r}."
        if known.path is not None and not _IS[known.path](each):
            return f"'{name}' must be {_SAID[known.path]}, and there is none at {each!r}."
    return None


def _texts(known: Parameter, name: str, given: Any, where: str) -> list[str]:
    if isinstance(given, (list, tuple)):
        return [_text(name, each, where) for each in given]
    one = _text(name, given, where)
    if known.split is None:
        return [one]
    return [part.strip() for part in one.split(known.split) if part.strip()]


def _text(name: str, given: Any, where: str) -> str:
    path = getattr(given, "__fspath__", None)
    found = path() if path is not None and not isinstance(given, type) else given
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str):
        raise BadArguments(f"{where}: the parameter '{name}' takes text, not {given!r:.80}.")
    if "\x00" in found:
        raise BadArguments(f"{where}: '{name}' contains a NUL byte, which no program can be given: {found!r:.80}.")
    return found


def _check(known: Parameter, name: str, value: str, where: str) -> None:
    wrong = _wrong(known, value)
    if wrong:
        raise BadArguments(f"{where}: '{name}' {wrong}; not {value!r:.80}.")


def _wrong(known: Parameter, value: str) -> str | None:
    parts = value.split("/")
    if known.one_of is not None and value not in known.one_of:
        return f"is one of {', '.join(known.one_of)}"
    if known.match is not None and not re.fullmatch(known.match, value):
        return f"must match {known.match}"
    if (known.path or known.under) and (not value.startswith("/") or ".." in parts):
        return "is an absolute path without '..'"
    if known.under is not None and not _is_below(value, known.under):
        return f"must lie below {known.under}"
    if known.within and (value in ("", ".", "..") or ".." in parts or ("/" in value and known.match is None)):
        return "stands for one name within a path: no slash, and not '', '.' or '..'"
    return None


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root.rstrip('/')}/")
