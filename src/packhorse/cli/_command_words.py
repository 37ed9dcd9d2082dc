"""Words of a command line that say what a command is given: ``K=V``, ``K:=JSON``, ``-o KEY=VALUE``, ``PATH=SOURCE``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from .._command import KEYS
from .._command_checks import COPY
from .._job_json import OPTIONS
from ..errors import BadArguments, BadOption
from ._options import job_options
from ._values import from_json

_YES_NO = {"true": True, "yes": True, "false": False, "no": False}


def values(words: Iterable[str], where: str = "--set") -> dict[str, Any]:
    """Return what ``K=V`` and ``K:=JSON`` say; a name that comes several times is a list. Raises ``BadArguments``."""
    found: dict[str, Any] = {}
    for word in words:
        name, mark, value = word.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not mark or not name.isidentifier():
            raise BadArguments(f"{where} takes NAME=VALUE or NAME:=JSON, not {word!r}. Nothing enqueued.")
        made = from_json(value, f"'{word}'") if is_json else value
        found[name] = [*_listed(found[name]), made] if name in found else made
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# -- options ----------------------------------------------------------------------------------------------------------
def split_options(given: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the job options and the keys of a command that ``-o KEY=VALUE`` says."""
    keys: dict[str, Any] = {}
    rest: list[str] = []
    for word in given:
        name = word.partition("=")[0].removesuffix(":")
        if name.partition(".")[0] in KEYS:
            _put(keys, word)
        else:
            _check(name)
            rest.append(word)
    return job_options(rest), keys


def _check(name: str) -> None:
    """Refuse what is no name at all, with the nearest of both kinds."""
    known = [*OPTIONS, *KEYS]
    if name.partition(".")[0] in known:
        return
    close = get_close_matches(name, known, 1)
    hint = f" Did you mean '{close[0]}'?" if close else f" Keys of a command are {', '.join(KEYS)}."
    raise BadOption(f"-o {name}: '{name}' is not an option of a job, and no key of a command.{hint} Nothing stored.")


def _put(keys: dict[str, Any], word: str) -> None:
    name, mark, value = word.partition("=")
    if not mark:
        raise BadOption(f"-o takes KEY=VALUE, like -o nice=10; not {word!r}.")
    key, dot, part = name.removesuffix(":").partition(".")
    made = from_json(value, f"-o {word}") if name.endswith(":") else _READERS.get(key, str)(value)
    if dot:
        keys.setdefault(key, {})[part] = made
    else:
        keys[key] = made


def _flag(text: str) -> Any:
    return _YES_NO.get(text.lower(), text)


def _number(text: str) -> Any:
    return int(text) if text.removeprefix("-").isdecimal() else text


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


_READERS: dict[str, Callable[[str], Any]] = {
    "shell": _flag,
    "overwrite": _flag,
    "enqueues": _flag,
    "keep_output": _flag,
    "nice": _number,
    "slots": _number,
    "ok": _list,
    "needs": _list,
}


# -- files ------------------------------------------------------------------------------------------------------------
def files(words: Sequence[str], option: str) -> dict[str, str]:
    """Return what ``PATH=SOURCE`` says; a relative source begins in the working directory. Raises ``BadOption``."""
    found: dict[str, str] = {}
    for word in words:
        path, mark, target = word.partition("=")
        if not mark or not path or not target:
            raise BadOption(f"{option} takes PATH=TARGET: a path in the workspace, and what it leads to; not {word!r}.")
        if path in found:
            raise BadOption(f"{option}: {path!r} is given twice.")
        found[path] = _placed(target)
    return found


def _placed(target: str) -> str:
    copied = target.startswith(COPY)
    path = target.removeprefix(COPY)
    path = path if path.startswith(("/", "{")) else os.path.abspath(path)
    return COPY + path if copied else path


def program_here(argv: Sequence[str], keys: Mapping[str, Any]) -> list[str]:
    """Return a command line whose program, if it is a relative path, begins in the working directory."""
    if not argv or keys.get("shell") is True or "/" not in argv[0]:
        return list(argv)
    return [os.path.abspath(argv[0]), *argv[1:]]
