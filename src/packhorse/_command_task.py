"""Tasks that are commands, declared in ``[tasks.NAME]`` of packhorse.toml or ``[tool.packhorse.tasks.NAME]``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ._command import KEYS, Command, command_of, filled
from ._command_checks import COPY
from ._command_fields import NAME, Value, fields_of, in_quotes, take_apart
from ._names import is_given
from ._option_checks import CHECKS as OPTION_CHECKS
from ._options import Options, check
from ._parameter import Parameter, checked, missing_path, parameter
from ._retention import NOT_SAID, NotSaid, age
from ._templates import NAMES as TEMPLATES
from .errors import BadArguments, BadOption, ConfigError, PackhorseError

#: Where a command is only tried: any path will do.
TRIED_IN = "/workspace"
_OWN = ("command", "params", "doc", "keep")
_NOT_HERE = frozenset({"id", "at", "after", "name", "aliases"})
_OPTIONS = tuple(name for name in OPTION_CHECKS if name not in _NOT_HERE)
#: What ``params`` of a raw command are is another thing.
_KEYS = tuple(key for key in KEYS if key != "params")


class CommandTask(NamedTuple):
    """One declared command: what is run, its parameters, and the options of its jobs."""

    name: str
    command: Command
    params: Mapping[str, Parameter]
    options: Options  #: of the level of ``@task``
    doc: str = ""
    source: str = ""  #: for messages: the file
    keep: float | NotSaid | None = NOT_SAID  #: seconds for which its records stay at least; None: for ever

    def values(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of a call, checked and with the defaults. Raises ``BadArguments`` naming the parameter."""
        return with_defaults(self.params, call(self.name, self.params, given))

    def filled(self, given: Mapping[str, Any], workspace: str = TRIED_IN) -> Command:
        """Return the command of one call, with nothing left to fill. Raises ``BadArguments`` and ``BadOption``."""
        return self.fill(self.values(given), workspace)

    def fill(self, values: Mapping[str, Value], workspace: str = TRIED_IN) -> Command:
        """Do the same with what ``values`` returned."""
        free = [name for name, each in self.params.items() if each.match is not None]
        return filled(self.command, values, workspace, free)

    def missing(self, values: Mapping[str, Value]) -> str | None:
        """Say which path among what ``values`` returned is not there, looking at the files; None: none is missing."""
        found = (missing_path(self.params[name], name, value) for name, value in values.items())
        return next((each for each in found if each), None)

    @property
    def shown(self) -> str:
        """Return its command line, with its fields, as people read it."""
        import shlex

        return "; ".join(step[0] if self.command.shell else shlex.join(step) for step in self.command.steps)

    @property
    def signature(self) -> str:
        """Return how it is called: ``publish-book(*, book: str, extra: list[str] = [])``."""
        return self.name + spelled(self.params)


# -- a call -----------------------------------------------------------------------------------------------------------
def call(name: str, params: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Value]:
    """Return what was given for the parameters, checked. Raises ``BadArguments``."""
    for each in given:
        if each not in params:
            raise BadArguments(f"{name} has no parameter '{each}'{_close(each, params)} — {name}{spelled(params)}.")
    missing = [each for each, known in params.items() if each not in given and known.default is None and not known.many]
    if missing:
        raise BadArguments(f"{name} misses {', '.join(map(repr, missing))} — {name}{spelled(params)}.")
    return {each: checked(params[each], each, value, name) for each, value in given.items()}


def with_defaults(params: Mapping[str, Parameter], given: Mapping[str, Value]) -> dict[str, Value]:
    """Return all values of a call. What takes many and was not given is none."""
    return {name: given.get(name, () if known.default is None else known.default) for name, known in params.items()}


def spelled(params: Mapping[str, Parameter]) -> str:
    """Return the parameters as a signature."""
    words = []
    for name, known in params.items():
        default = known.default if known.default is not None else () if known.many else None
        shown = "" if default is None else f" = {list(default)!r}" if known.many else f" = {default!r}"
        words.append(f"{name}: {known.annotation}{shown}")
    return f"(*, {', '.join(words)})" if words else "()"


def _close(name: str, params: Mapping[str, Parameter]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, params, 1)
    return f"; did you mean '{close[0]}'?" if close else ""


# -- reading the tables -----------------------------------------------------------------------------------------------
def read_tasks(tables: Mapping[str, Any], file: str | None) -> dict[str, CommandTask]:
    """Return the command tasks of a config file. Raises ``ConfigError`` naming file, table, key and what is allowed."""
    return {name: _read(name, table, file or "") for name, table in tables.items()}


def _read(name: str, table: Any, file: str) -> CommandTask:
    where = f"[tasks.{name}]"
    try:
        return _task_of(name, table, where, file)
    except PackhorseError as error:
        said = str(error).removesuffix(f"  [{error.code}]").replace(" Nothing stored.", "")
        raise ConfigError(f"{file}: {said}" if said.startswith(where) else f"{file}: {where}: {said}") from error


def _task_of(name: str, table: Any, where: str, file: str) -> CommandTask:
    if not is_given(name):
        raise BadOption(f"{where}: a task's name has 1 to 100 of the characters a-z 0-9 _ . and -.")
    if not isinstance(table, Mapping):
        raise BadOption(f"{where} must be a table.")
    _refuse_unknown(table, where)
    command = _command_of(table, where, os.path.dirname(file))
    options = {key: table[key] for key in table if key in _OPTIONS}
    params = _params_of(table, command, options, where)
    found = check(options, where, "task")
    doc = table.get("doc", "")
    if not isinstance(doc, str):
        raise BadOption(f"{where}: doc takes text, not {doc!r:.80}.")
    _try(command, params)
    keep = age(table["keep"], f"{where}: keep") if "keep" in table else NOT_SAID
    return CommandTask(name, command, params, found, doc, file, keep)


def _try(command: Command, params: Mapping[str, Parameter]) -> None:
    """Fill a command with made-up names, so that a path that can never be right is told here and not by every job."""
    places = (*command.inputs, *command.outputs, *command.links, command.cwd or "")
    if any(place.startswith("{") for place in places):
        return
    made: dict[str, Value] = {name: name if each.within else f"/{name}" for name, each in params.items()}
    many: dict[str, Value] = {name: (name,) for name, each in params.items() if each.many}
    filled(command, made | many, TRIED_IN)


def _refuse_unknown(table: Mapping[str, Any], where: str) -> None:
    known = (*_OWN, *_KEYS, *_OPTIONS)
    for key in table:
        if key not in known:
            from difflib import get_close_matches

            close = get_close_matches(key, known, 1)
            raise BadOption(
                f"{where}: '{key}' is unknown{f'; did you mean {close[0]!r}?' if close else '.'} There are: {', '.join(known)}."
            )


def _command_of(table: Mapping[str, Any], where: str, folder: str) -> Command:
    if ("command" in table) == ("steps" in table):
        raise BadOption(f'{where} takes either command = ["program", "{{argument}}"] or steps = [[…], […]].')
    given = _placed(table, folder)
    keys = {key: given[key] for key in given if key in _KEYS}
    return command_of(given.get("command"), keys, where, declared=True)


def _placed(table: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return a table whose relative paths begin where its file is. What has another form than it should is left as it is."""
    found = dict(table)
    if table.get("shell") is not True:
        if isinstance(table.get("command"), list):
            found["command"] = _line_at(table["command"], folder)
        if isinstance(table.get("steps"), list):
            found["steps"] = [_line_at(step, folder) for step in table["steps"]]
    for key in ("inputs", "outputs", "links"):
        if isinstance(table.get(key), Mapping):
            found[key] = {path: _target_at(target, folder) for path, target in table[key].items()}
    return found


def _line_at(line: Any, folder: str) -> Any:
    if not isinstance(line, list) or not line or not isinstance(line[0], str) or "/" not in line[0]:
        return line
    return [_at(line[0], folder), *line[1:]]


def _target_at(target: Any, folder: str) -> Any:
    if not isinstance(target, str) or not target.removeprefix(COPY):
        return target
    return COPY + _at(target.removeprefix(COPY), folder) if target.startswith(COPY) else _at(target, folder)


def _at(path: str, folder: str) -> str:
    return path if path.startswith(("/", "{")) else os.path.normpath(os.path.join(folder, path))


def _params_of(
    table: Mapping[str, Any], command: Command, options: Mapping[str, Any], where: str
) -> dict[str, Parameter]:
    """Return the parameters in the order in which they are met, with what the table says of them."""
    said = table.get("params", {})
    if not isinstance(said, Mapping):
        raise BadOption(f"{where}: params takes a table of tables, not {said!r:.80}.")
    found = {name: parameter(name, each, f"{where}: params.{name}") for name, each in said.items()}
    fields = fields_of(list(_texts(command))) | fields_of(list(_template_texts(options)))
    for name in fields:
        if not NAME.fullmatch(name):
            raise BadOption(f"{where}: {{{name}}} is too long for the name of a parameter.")
    for name in found:
        if name not in fields:
            raise BadOption(f"{where}: params.{name} is used nowhere: there is no {{{name}}}.")
    stars = _stars(command, found, where)
    within = set(_within(command))
    made = {name: found.get(name, Parameter(many=name in stars)) for name in fields}
    _refuse_many(options, made, where)
    return {name: each._replace(within=name in within) for name, each in made.items()}


def _stars(command: Command, said: Mapping[str, Parameter], where: str) -> set[str]:
    """Return which fields are any number of words. Such a one stands alone as a word of a command, and nowhere else."""
    words = [word for step in command.steps for word in step]
    many = {name for name, starred in fields_of(list(_texts(command))).items() if starred}
    many |= {name for name, each in said.items() if each.many}
    for text in _texts(command):
        for _, field in take_apart(text):
            alone = text in words and (command.shell or text == f"{{{field}}}")
            if field is not None and field.removeprefix("*") in many and not (field.startswith("*") and alone):
                raise BadOption(
                    f"{where}: '{field.removeprefix('*')}' is any number of words, so it is written {{*name}}, alone as a "
                    f"word of the command; not as in {text!r}."
                )
    return many


def _refuse_many(options: Mapping[str, Any], params: Mapping[str, Parameter], where: str) -> None:
    for name, starred in fields_of(list(_template_texts(options))).items():
        if starred or params[name].many:
            raise BadOption(
                f"{where}: '{name}' is any number of words, and a key or tag takes one; leave it out of those."
            )


def _texts(command: Command) -> Iterator[str]:
    """Return all texts of a command that may have fields, those of its command lines first."""
    for step in command.steps:
        for word in step:
            yield word
            if command.shell:
                _refuse_quoted(word)
    yield from (each for each in (command.cwd, command.stdin) if isinstance(each, str))
    yield from command.env.values()
    yield from command.needs
    yield from _paths(command)


def _paths(command: Command) -> Iterator[str]:
    for files in (command.inputs, command.outputs, command.links):
        for path, target in files.items():
            yield path
            yield target


def _refuse_quoted(line: str) -> None:
    before = ""
    for text, field in take_apart(line):
        before += text
        if field is not None and in_quotes(before):
            raise BadOption(f"{{{field}}} stands in quotes in {line!r}; a value is quoted anyway: leave them out.")


def _within(command: Command) -> Iterator[str]:
    """Yield the fields that stand within a path, so that their values are single names."""
    for path in (*_paths(command), *command.needs, command.cwd or ""):
        bare = path.removeprefix("copy:").removeprefix("mount:").removeprefix("program:")
        before = ""
        for text, field in take_apart(bare):
            before += text
            if field is not None and before:
                yield field
            before += field or ""


def _template_texts(options: Mapping[str, Any]) -> Iterator[str]:
    for name in TEMPLATES:
        given = options.get(name, ())
        yield from (given,) if isinstance(given, str) else (each for each in _listed(given) if isinstance(each, str))


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
