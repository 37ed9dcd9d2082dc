"""``packhorse submit``: commands as jobs, one by one or by the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .._command_fields import Fields, take_apart_loosely
from .._job_json import Asked
from ..errors import BadArguments
from ._command_words import files, program_here, split_options, values
from ._lines import Lines, Listed, each_path, form_of, open_file
from ._session import Session, json_option, with_session
from ._storing import Source, submitted


@click.command("submit", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND…]")
@click.option("-q", "--queue", metavar="QUEUE", help="Default: the task's own, else 'default'.")
@click.option("--task", metavar="TASK", help="Jobs of this task, instead of a command.")
@click.option(
    "-o", "--option", "options", metavar="KEY=VALUE", multiple=True, help="Any job option; cwd=, env.X=, ok=0,3 …"
)
@click.option("--set", "sets", metavar="NAME=VALUE", multiple=True, help="A parameter, for {NAME} in the command.")
@click.option(
    "--input", "inputs", metavar="PATH=SOURCE", multiple=True, help="Link SOURCE into the workspace (copy:…)."
)
@click.option("--output", "outputs", metavar="PATH=DEST", multiple=True, help="Move it there at the end.")
@click.option("--each", metavar="GLOB", help="One job for each path; {path} {name} {stem} {dir}.")
@click.option("--from", "source", metavar="FILE", help="Jobs of a .jsonl or .csv file; - is stdin.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="Of --from, if its name does not say.")
@click.option("--resume", is_flag=True, help="Store what an earlier submit of this file left out.")
@click.option("--dry-run", is_flag=True, help="Check everything, store nothing.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit 1 if a job does not succeed.")
@json_option
@with_session
def submit(session: Session, **given: Any) -> int:
    """Store jobs: of one COMMAND, for each path of a GLOB, or all of a file.

    Each line of a .jsonl file is one job: {"task": "publish-book", "kwargs": {"book": "b1"}, "priority": 5} or {"command":
    ["prog", "a"], "inputs": {…}}. In a .csv file the columns are the parameters of --task. All lines are checked
    before any is stored. What is stored together is a numbered batch.
    """
    _check_usage(given)
    if given["source"] is not None:
        given["form"] = form_of(given["source"], given["form"])
    options, keys = split_options(given["options"])
    if given["source"] is not None:
        _refuse_keys(keys, given, "--from", "the lines of the file have their own")
        with open_file(given["source"]) as file:
            codec = {} if session.app is None else {"codec": session.app.codec}
            lines = Lines(file, given["task"], given["form"], **codec)
            return _submitted(session, Source(lines, given["source"], by_line=True), options, given)
    return _submitted(session, Source(Listed(_listed(given, keys)), "", by_line=False), options, given)


def _submitted(session: Session, source: Source, options: dict[str, Any], given: Mapping[str, Any]) -> int:
    sets = values(given["sets"]) if given["task"] and given["each"] is None else {}
    return submitted(
        session, source, queue=given["queue"], options=options, sets=sets, resume=given["resume"],
        dry_run=given["dry_run"], wait=given["wait"], as_json=given["as_json"],
        as_text=source.by_line and given["form"] == "csv",
    )  # fmt: skip


def _check_usage(given: Mapping[str, Any]) -> None:
    asked = [name for name in ("command", "task", "source") if given[name]]
    if not asked:
        raise click.UsageError("Give a command (packhorse submit -- PROGRAM …), or --task, or --from FILE.")
    if given["command"] and len(asked) > 1:
        raise click.UsageError("Give a command, or --task, or --from; not several.")
    if given["source"] and given["each"]:
        raise click.UsageError("Give --from or --each, not both.")
    if given["resume"] and not given["source"]:
        raise click.UsageError("--resume goes with --from FILE.")
    if given["source"] and not given["task"] and form_of(given["source"], given["form"]) == "csv":
        raise click.UsageError("A .csv file needs --task: its columns are that task's parameters.")
    if given["source"] and given["sets"] and not given["task"]:
        raise click.UsageError("With --from, --set goes with --task.")


def _refuse_keys(keys: Mapping[str, Any], given: Mapping[str, Any], with_what: str, why: str) -> None:
    named = [f"-o {key}" for key in keys]
    named += [f"--{name.removesuffix('s')}" for name in ("inputs", "outputs") if given[name]]
    if named:
        raise click.UsageError(f"{named[0]} does not go with {with_what}: {why}.")


# -- what the command line itself asks for ------------------------------------------------------------------------------
def _listed(given: Mapping[str, Any], keys: dict[str, Any]) -> list[Asked]:
    paths = [None] if given["each"] is None else each_path(given["each"])
    if not paths:
        raise BadArguments(f"--each {given['each']}: there is no such path here. Nothing stored.")
    if given["task"]:
        _refuse_keys(keys, given, "--task", "the task has its own")
        each = values(given["sets"])
        return [Asked(task=given["task"], kwargs={} if path is None else _filled(each, path)) for path in paths]
    return [_command(given, keys, path) for path in paths]


def _filled(sets: Mapping[str, Any], path: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values for one path; only the names of its parts are fields in them."""
    fields = Fields(path, "", declared=False)
    return {name: fields.text(value, "--set") if isinstance(value, str) else value for name, value in sets.items()}


def _command(given: Mapping[str, Any], keys: Mapping[str, Any], path: Mapping[str, Any] | None) -> Asked:
    made = dict(keys)
    argv = program_here(given["command"], keys)
    for key, option in (("inputs", "--input"), ("outputs", "--output")):
        if given[key]:
            made[key] = {**made.get(key, {}), **files(given[key], option)}
    params = values(given["sets"])
    if path is not None:
        params = _filled(params, path)
        params |= {name: value for name, value in path.items() if name not in params and _has_field(name, argv, made)}
    if params:
        made["params"] = params
    return Asked(command=argv, keys=made)


def _has_field(name: str, argv: Sequence[str], keys: Mapping[str, Any]) -> bool:
    texts = [*argv, *(word for step in keys.get("steps", ()) for word in step)]
    texts += [text for key in ("cwd", "stdin") if isinstance(text := keys.get(key), str)]
    for key in ("inputs", "outputs", "links", "env"):
        texts += [text for pair in keys.get(key, {}).items() for text in pair]
    return any(len(take_apart_loosely(text, (name,))) > 1 for text in texts)
