"""The checks of what a command was given: each takes what was given under a key and returns what ``Command`` keeps. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ._command_fields import NAME, WORKSPACE
from ._durations import Duration, seconds
from .errors import BadOption

#: So many bytes of each stream are kept in the log.
OUTPUT_LIMIT = 64 * 1024

_SIZES = {
    "": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "t": 1000**4,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)
_ENDING = re.compile(r"(snooze|retry):(.+)|retry|cancel|fail")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What Packhorse itself says to every command.
_OURS = ("PACKHORSE_JOB_ID", "PACKHORSE_FD", "PACKHORSE_ATTEMPT")
COPY = "copy:"
_NEEDS = ("mount:", "program:")


# -- the command line -------------------------------------------------------------------------------------------------
def words(value: object, where: str, *, shell: bool = False) -> tuple[str, ...]:
    """Return one command line: a program and its arguments; for the shell, one line."""
    if shell and isinstance(value, str):
        return (text(value, where),)
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise BadOption(
            f"{where} takes a list: a program and its arguments, like ['publish.sh', 'b1']; not {value!r:.80}."
        )
    if not value:
        raise BadOption(f"{where} is empty; it begins with the program.")
    return tuple(text(word, f"{where}, word {place}") for place, word in enumerate(value, 1))


def steps(value: object, where: str, *, shell: bool = False) -> tuple[tuple[str, ...], ...]:
    """Return several command lines."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise BadOption(f"{where} takes a list of commands, each a list of words; not {value!r:.80}.")
    return tuple(words(step, f"{where}, step {place}", shell=shell) for place, step in enumerate(value, 1))


def program(value: str, where: str) -> str:
    """Return the program of a command: a bare name, or an absolute path."""
    if not value.rpartition("/")[2] or _CONTROL.search(value):
        raise BadOption(f"{where}: {value!r:.80} names no program.")
    if "/" in value and not value.startswith("/"):
        raise BadOption(
            f"{where}: the program {value!r:.80} is a relative path, and a worker is in another directory. "
            f"Give an absolute path, or the bare name of a program on the worker's PATH."
        )
    return value


def text(value: object, where: str) -> str:
    """Return a text that a program can be given."""
    if not isinstance(value, str):
        path = getattr(value, "__fspath__", None)
        value = path() if path is not None and not isinstance(value, type) else value
    if not isinstance(value, str):
        raise BadOption(f"{where} takes text, not {value!r:.80}.")
    if "\x00" in value:
        raise BadOption(f"{where}: {value!r:.80} contains a NUL byte, which no program can be given.")
    return value


def params(value: object, where: str) -> dict[str, str]:
    """Return the values of a raw command's fields, by name."""
    found = _mapping(value, where)
    for name in found:
        if not NAME.fullmatch(name) or name == WORKSPACE:
            raise BadOption(f"{where}: {name!r} cannot be a field: letters, digits and _, and not '{WORKSPACE}'.")
    return found


def environment(value: object, where: str) -> dict[str, str]:
    """Return what is added to the environment."""
    found = _mapping(value, where)
    for name in found:
        if not name or "=" in name:
            raise BadOption(f"{where}: {name!r} cannot be the name of an environment variable.")
        if name in _OURS:
            raise BadOption(f"{where}: {name} is set by Packhorse itself.")
    return found


def standard_input(value: object, where: str) -> str | bytes | None:
    """Return what the command reads."""
    if value is None or isinstance(value, (str, bytes)):
        return value
    raise BadOption(f"{where} takes text or bytes, not {value!r:.80}.")


# -- its files --------------------------------------------------------------------------------------------------------
def files(value: object, where: str) -> dict[str, str]:
    """Return paths in the workspace and what they lead to."""
    found = _mapping(value, where)
    for path, target in found.items():
        if not path or not target.removeprefix(COPY):
            raise BadOption(f"{where}: {path!r} = {target!r}: neither may be empty.")
    return found


def inputs(value: object, where: str) -> dict[str, str]:
    """Return the same for inputs."""
    return files(value, where)


def plain_files(value: object, where: str) -> dict[str, str]:
    """Return the same for outputs and links, which are never copied."""
    found = files(value, where)
    for target in found.values():
        if target.startswith(COPY):
            raise BadOption(f"{where}: {target!r}: only inputs can be copied.")
    return found


def existing(value: object, where: str) -> str:
    """Return what becomes of an output that is there already."""
    return _one_of(value, ("fail", "merge", "replace"), where)


def overwrite(value: object, where: str) -> str:
    """Return the same, said as ``overwrite = true``."""
    return "replace" if flag(value, where) else "fail"


def keep_workspace(value: object, where: str) -> str:
    """Return when the workspace is kept."""
    return _one_of(value, ("never", "failed", "always"), where)


def keep_output(value: object, where: str) -> bool | float:
    """Return whether, or how long, the whole output is kept."""
    return value if isinstance(value, bool) else seconds(cast(Duration, value), where)


# -- how it ends ------------------------------------------------------------------------------------------------------
def accepted(value: object, where: str) -> tuple[int, ...]:
    """Return the exit statuses that count as success."""
    given = [value] if isinstance(value, int) else value
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or not given:
        raise BadOption(f"{where} takes a list of exit statuses, like [0, 3]; not {value!r:.80}.")
    return tuple(dict.fromkeys(_status(each, where) for each in given))


def exits(value: object, where: str) -> dict[int, str]:
    """Return what exit statuses mean: ``{75: "snooze:5m"}``."""
    if not isinstance(value, Mapping):
        raise BadOption(f'{where} takes a table of exit statuses, like {{75 = "snooze:5m"}}; not {value!r:.80}.')
    return {_status(status, where): _meaning(ending, f"{where}, status {status}") for status, ending in value.items()}


def _status(value: object, where: str) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 255:
        raise BadOption(f"{where}: an exit status is a whole number from 0 to 255, not {value!r:.80}.")
    return number


def _meaning(value: object, where: str) -> str:
    match = _ENDING.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadOption(f"{where} means 'snooze:5m', 'retry', 'retry:30s', 'cancel' or 'fail'; not {value!r:.80}.")
    if match[2]:
        seconds(match[2], where)
    return match[0]


# -- what it may use --------------------------------------------------------------------------------------------------
def umask(value: object, where: str) -> int:
    """Return a umask; text is octal."""
    if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{1,4}", value):
        value = int(value.removeprefix("0o"), 8)
    return _number(value, 0, 0o777, where, 'a umask, like "0022" (octal)')


def nice(value: object, where: str) -> int:
    """Return a niceness."""
    return _number(value, -20, 19, where, "a whole number from -20 to 19")


def memory(value: object, where: str) -> int:
    """Return bytes; text may have a unit."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        value = int(float(match[1]) * _SIZES[match[2].lower()]) if match[2].lower() in _SIZES else value
    return _number(value, 1, 2**62, where, 'bytes, or text like "2GiB" or "500M"')


def cpu(value: object, where: str) -> float:
    """Return seconds of CPU time."""
    return seconds(cast(Duration, value), where) or _none_at_all(where)


def _none_at_all(where: str) -> float:
    raise BadOption(f"{where} of 0 would stop every run at once; leave it out for no limit.")


def needs(value: object, where: str) -> tuple[str, ...]:
    """Return what a host must have: ``mount:/content``, ``program:ffmpeg``."""
    given = [value] if isinstance(value, str) else value
    if isinstance(given, bytes) or not isinstance(given, Sequence):
        raise BadOption(f"{where} takes a list like ['mount:/content', 'program:ffmpeg'], not {value!r:.80}.")
    return tuple(dict.fromkeys(_need(each, where) for each in given))


def _need(value: object, where: str) -> str:
    need = text(value, where)
    kind, mark, what = need.partition(":")
    fits = what.startswith(("/", "{")) if kind == "mount" else bool(what) and not _CONTROL.search(what)
    if kind + mark in _NEEDS and fits:
        return need
    raise BadOption(f"{where}: {need!r} must be 'mount:' and an absolute path, or 'program:' and a name.")


def slots(value: object, where: str) -> int | str:
    """Return how many slots of a worker it takes."""
    return "all" if value == "all" else _number(value, 1, 10_000, where, "a number of slots from 1, or 'all'")


def output_limit(value: object, where: str) -> int:
    """Return the bytes of each stream that are kept in the log."""
    return min(memory(value, where), OUTPUT_LIMIT)


def flag(value: object, where: str) -> bool:
    """Return a yes or no."""
    if isinstance(value, bool):
        return value
    raise BadOption(f"{where} is true or false, not {value!r:.80}.")


# -- steps ------------------------------------------------------------------------------------------------------------
def _mapping(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise BadOption(f"{where} takes a table of names and texts, not {value!r:.80}.")
    return {text(name, where): text(each, f"{where}: {name!r}") for name, each in value.items()}


def _one_of(value: object, known: Sequence[str], where: str) -> str:
    if isinstance(value, str) and value in known:
        return value
    raise BadOption(f"{where} is one of {', '.join(known)}; not {value!r:.80}.")


def _number(value: object, low: int, high: int, where: str, wanted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadOption(f"{where} takes {wanted}; not {value!r:.80}.")
    return value


#: Each key beside the command line itself: the field of ``Command`` that it sets, and its check.
CHECKS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "params": ("params", params),
    "inputs": ("inputs", inputs),
    "outputs": ("outputs", plain_files),
    "links": ("links", plain_files),
    "existing": ("existing", existing),
    "overwrite": ("existing", overwrite),
    "cwd": ("cwd", text),
    "env": ("env", environment),
    "stdin": ("stdin", standard_input),
    "shell": ("shell", flag),
    "ok": ("ok", accepted),
    "exits": ("exits", exits),
    "umask": ("umask", umask),
    "nice": ("nice", nice),
    "max_memory": ("max_memory", memory),
    "max_cpu": ("max_cpu", cpu),
    "keep_output": ("keep_output", keep_output),
    "keep_workspace": ("keep_workspace", keep_workspace),
    "output_limit": ("output_limit", output_limit),
    "enqueues": ("enqueues", flag),
    "needs": ("needs", needs),
    "slots": ("slots", slots),
}
