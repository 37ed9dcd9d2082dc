"""A command: a program with arguments that is run as a job. What was asked for, how it is stored, and its fields filled. Pure.

A *raw* command brings its whole command line; its task is ``$`` and the base name of the program, and its payload
``[[argv…], {what differs from the default}]``. A *command task* is declared in a config file; its payload is
``[[], {parameter: value}]``, and its text stays with whoever runs it. Both are a ``Command`` whose fields ``filled`` fills.
"""

# Annotations are not put off here, as in _record.
import fnmatch
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from ._codec import PLAIN
from ._command_checks import CHECKS, COPY, OUTPUT_LIMIT, program, steps, text, words
from ._command_fields import SHELL, Fields, Value
from ._durations import seconds
from .errors import BadArguments, BadOption

#: How the task of a raw command begins.
RAW = "$"

_NOTHING: Mapping[Any, str] = MappingProxyType({})
_GLOB = frozenset("*?[")


class Ending(NamedTuple):
    """What an exit status means."""

    kind: Literal["ok", "snooze", "retry", "cancel", "fail"]
    delay: float | None = None  #: seconds; None: as the job's own rule says


class Command(NamedTuple):
    """What a command was told. The defaults are those of every way to give one.

    Before ``filled`` any text may have fields; after it there are none, ``steps`` are the very command lines to run, and the
    paths of ``inputs``, ``outputs`` and ``links`` are relative to the workspace and do not leave it.
    """

    steps: tuple[tuple[str, ...], ...] = ()  #: command lines, one after the other; the first that fails ends it
    params: Mapping[str, str] = _NOTHING  #: of a raw command: the values of its fields
    declared: bool = False  #: of a config file: every ``{name}`` is a parameter, and ``{{`` a brace
    shell: bool = False  #: each step is one line for ``/bin/sh``
    cwd: str | None = None  #: None: the workspace; a relative one is within it
    env: Mapping[str, str] = _NOTHING  #: added to the small environment that every command gets
    stdin: str | bytes | None = None  #: None: nothing, ``/dev/null``
    ok: tuple[int, ...] = (0,)  #: the exit statuses that count as success
    exits: Mapping[int, str] = cast(
        Mapping[int, str], _NOTHING
    )  #: "snooze:5m", "retry", "retry:30s", "cancel" or "fail"
    inputs: Mapping[str, str] = _NOTHING  #: path in the workspace → source, linked read-only; with ``copy:`` copied
    outputs: Mapping[str, str] = _NOTHING  #: path or glob in the workspace → destination; of a glob, a directory
    links: Mapping[str, str] = _NOTHING  #: path in the workspace → what is linked there and may be written to
    existing: Literal["fail", "merge", "replace"] = "fail"  #: what becomes of an output that is there already
    umask: int | None = None
    nice: int | None = None
    max_memory: int | None = None  #: bytes, of all its processes together
    max_cpu: float | None = None  #: seconds, of one process
    keep_output: bool | float = False  #: True: the whole output is kept in files; a number: for so many seconds
    keep_workspace: Literal["never", "failed", "always"] = "never"
    output_limit: int = OUTPUT_LIMIT  #: bytes of the end of each stream that are kept in the log
    enqueues: bool = False  #: it is told the store's URL, and may store jobs
    needs: tuple[str, ...] = ()  #: what its host must have: ``mount:/content``, ``program:ffmpeg``
    slots: int | Literal["all"] = 1  #: how many slots of a worker it takes

    @property
    def program(self) -> str:
        """Return the program that must be allowed: the first word of the first step, or the shell."""
        return SHELL if self.shell else self.steps[0][0]

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the programs of all steps, each once."""
        return (SHELL,) if self.shell else tuple(dict.fromkeys(step[0] for step in self.steps))

    @property
    def task(self) -> str:
        """Return the name of the task of a raw command: ``$publish.sh``."""
        return RAW + self.program.rpartition("/")[2]

    def ending(self, status: int) -> Ending:
        """Return what an exit status means."""
        meaning = self.exits.get(status)
        if meaning is None:
            return Ending("ok" if status in self.ok else "fail")
        kind, _, delay = meaning.partition(":")
        return Ending(cast(Any, kind), seconds(delay) if delay else None)


_FIELDS = frozenset(Command._fields)
_DEFAULT = Command()
#: Every key that a command takes beside its command line.
KEYS: tuple[str, ...] = ("steps", *CHECKS)


def is_raw(task: str) -> bool:
    """Tell whether this is the task of a raw command."""
    return task.startswith(RAW)


# -- from what people give --------------------------------------------------------------------------------------------
def command_of(argv: object, keys: Mapping[str, Any], where: str, *, declared: bool = False) -> Command:
    """Return a command of its command line and its keys, all checked. ``keys`` may have ``steps``, which run after ``argv``.

    Raises ``BadOption`` naming ``where`` and the key. With ``shell=True`` the command line is one word, the line.
    """
    unknown = [key for key in keys if key not in CHECKS and key != "steps"]
    if unknown:
        raise _unknown(unknown[0], where)
    if "existing" in keys and "overwrite" in keys:
        raise BadOption(f"{where}: existing and overwrite both say what becomes of an output that is there; give one.")
    found = {CHECKS[key][0]: CHECKS[key][1](value, f"{where}: {key}") for key, value in keys.items() if key != "steps"}
    shell = found.get("shell", False)
    lines: tuple[tuple[str, ...], ...] = () if argv is None else (words(argv, f"{where}: command", shell=shell),)
    lines += steps(keys.get("steps", ()), f"{where}: steps", shell=shell)
    made = Command(steps=lines, declared=declared, **found)
    _check_lines(made, where)
    _check_statuses(made, where)
    return made


def _unknown(key: str, where: str) -> BadOption:
    from difflib import get_close_matches

    close = get_close_matches(key, KEYS, 1)
    hint = f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(KEYS)}."
    return BadOption(f"{where}: '{key}' is nothing that a command takes. {hint}")


def _check_lines(command: Command, where: str) -> None:
    if not command.steps:
        raise BadOption(f"{where}: there is no command; it takes a program and its arguments.")
    for line in command.steps:
        if not command.shell:
            program(line[0], where)
        elif len(line) > 1 or not line[0].strip():
            raise BadOption(
                f"{where}: with shell the command is one text, a line for the shell; not {list(line)!r:.80}."
            )


def _check_statuses(command: Command, where: str) -> None:
    both = set(command.ok) & set(command.exits)
    if both:
        raise BadOption(f"{where}: exit status {min(both)} is both in ok and in exits; it can mean one thing only.")


# -- its stored form --------------------------------------------------------------------------------------------------
def stored(command: Command) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the arguments of the call that a raw command is stored as: its first step, and what differs from the default."""
    first, *more = command.steps
    given = {name: getattr(command, name) for name in _STORED if getattr(command, name) != getattr(_DEFAULT, name)}
    found = {name: _plain(value) for name, value in given.items()}
    if more:
        found["steps"] = [list(step) for step in more]
    return first, found


_STORED = tuple(name for name in Command._fields if name not in ("steps", "declared"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


def of_payload(payload: str, task: str) -> Command:
    """Return the raw command of a stored call. Raises ``BadOption`` for a key that only a newer version knows."""
    args, keys = PLAIN.decode_call(payload)
    return command_of(args, keys, task)


# -- its fields filled ------------------------------------------------------------------------------------------------
def filled(command: Command, params: Mapping[str, Value], workspace: str, free: Iterable[str] = ()) -> Command:
    """Return the command with all fields filled and its paths checked: what is to be run in this ``workspace``.

    ``params`` are the values by name, all of them; a tuple is as many words as given. ``free`` are those that may have slashes
    within a path. Raises ``BadArguments`` for a value that is missing, used nowhere (raw commands) or does not fit its place,
    and ``BadOption`` for a path that leaves the workspace or lies within another.
    """
    fields = Fields(params, workspace, declared=command.declared, free=frozenset(free))
    made = command._replace(
        steps=tuple(_line(command, step, fields) for step in command.steps),
        shell=False,
        cwd=_directory(command.cwd, fields, workspace),
        env={name: fields.text(value, f"env {name}") for name, value in command.env.items()},
        stdin=fields.text(command.stdin, "stdin") if isinstance(command.stdin, str) else command.stdin,
        inputs=_files(command.inputs, fields, "inputs"),
        outputs=_files(command.outputs, fields, "outputs"),
        links=_files(command.links, fields, "links"),
        needs=tuple(_prefixed(need, fields, "needs") for need in command.needs),
    )
    if not command.declared and (unused := fields.unused()):
        raise BadArguments(
            f"the parameter '{unused[0]}' is used nowhere: no {{{unused[0]}}} in the command or its paths."
        )
    _check_apart(made)
    return made


def _line(command: Command, step: tuple[str, ...], fields: Fields) -> tuple[str, ...]:
    if command.shell:
        return fields.shell(step[0], "command")
    found = tuple(word for each in step for word in fields.words(each, "command"))
    for word in found:
        text(word, "command")
    if not command.declared and found[:1] != step[:1]:
        raise BadArguments(f"the program {step[0]!r} has a field; which program runs must be said outright.")
    return (program(found[0], "command"), *found[1:])


def _directory(cwd: str | None, fields: Fields, workspace: str) -> str:
    if cwd is None:
        return workspace
    found = fields.path(cwd, "cwd")
    return found if found.startswith("/") else f"{workspace}/{inside(found, 'cwd')}".rstrip("/.")


def _files(given: Mapping[str, str], fields: Fields, what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, target in given.items():
        place = inside(fields.path(path, what), what)
        if place == ".":
            raise BadOption(f"{what}: {path!r} is the workspace itself; name something in it.")
        if place in found:
            raise BadOption(f"{what}: {place!r} is given twice.")
        found[place] = _prefixed(target, fields, what)
    return found


def _prefixed(target: str, fields: Fields, what: str) -> str:
    """Fill a target, which may have a word and a colon before its path."""
    mark = next((each for each in (COPY, "mount:", "program:") if target.startswith(each)), "")
    found = fields.path(target.removeprefix(mark), what)
    return mark + (found if mark == "program:" else _absolute(found, what))


def inside(path: str, where: str) -> str:
    """Return a path within the workspace in its plain form. Raises ``BadOption`` if it leaves it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\x00" in path:
        raise BadOption(f"{where}: {path!r} leaves the workspace; give a path within it, like 'out/page.tif'.")
    return "/".join(parts) or "."


def _absolute(path: str, where: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or "\x00" in path:
        raise BadOption(
            f"{where}: {path!r} must be an absolute path without '..': a worker is in another directory than you."
        )
    return "/" + "/".join(part for part in parts if part not in ("", "."))


# -- paths that are in each other's way -------------------------------------------------------------------------------
def is_glob(path: str) -> bool:
    """Tell whether an output's path means all files of a form."""
    return not _GLOB.isdisjoint(path)


def fixed_part(path: str) -> str:
    """Return the directory in which a glob looks; of a plain path, the path."""
    parts = path.split("/")
    plain = next((place for place, part in enumerate(parts) if is_glob(part)), len(parts))
    return "/".join(parts[:plain])


def _check_apart(command: Command) -> None:
    places = [
        *((path, "input") for path in command.inputs),
        *((path, "link") for path in command.links),
        *((path, "output") for path in command.outputs if not is_glob(path)),
    ]
    for place, (path, kind) in enumerate(places):
        for other, its_kind in places[place + 1 :]:
            if _within(path, other) or _within(other, path):
                raise _in_the_way(f"{its_kind} {other!r}", f"{kind} {path!r}")
    for glob in filter(is_glob, command.outputs):
        _check_glob(glob, places)
    _check_destinations(command)


def _check_glob(glob: str, places: list[tuple[str, str]]) -> None:
    for path, kind in places:
        if _within(fixed_part(glob), path) or fnmatch.fnmatchcase(path, glob):
            raise _in_the_way(f"output {glob!r}", f"{kind} {path!r}")


def _check_destinations(command: Command) -> None:
    plain = [target for path, target in command.outputs.items() if not is_glob(path)]
    for place, target in enumerate(plain):
        for other in plain[place + 1 :]:
            if _within(target, other) or _within(other, target):
                raise _in_the_way(f"the output to {other!r}", f"the output to {target!r}")


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/")


def _in_the_way(one: str, other: str) -> BadOption:
    return BadOption(f"{one} and {other} lie one within the other, so one of them would be lost; keep them apart.")
