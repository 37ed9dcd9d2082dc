"""``packhorse jobs edit``: change jobs that wait."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from .._durations import seconds
from .._looking import look
from .._names import queue_name
from .._record import BATCH, PAYLOAD_LIMIT, WAITING, JobRecord, State
from .._steering import NEVER, Edit
from .._store import Store
from .._when import parse
from .._why import live, serves
from ..errors import BadArguments, BadOption, BadState
from . import _show
from ._act import refuse_closed
from ._choosing import meant_jobs
from ._job import one, short
from ._names import known_tasks
from ._session import Session, json_option, with_session
from ._which import asked


class _Done(NamedTuple):
    """What became of the jobs that were meant."""

    changed: int
    refused: Counter[State]  #: by the state they are in
    gone: int


@click.command("edit")
@click.argument("words", metavar="JOB…|KEY:VALUE…", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every job that waits.")
@click.option("-q", "--queue", metavar="QUEUE", help="Where they wait from now on.")
@click.option("--priority", metavar="N", help="-100 to 100, higher first.")
@click.option("--delay", metavar="5m", help="Not before so long; 0: now.")
@click.option("--at", metavar="TIME", help="Not before 15:00, or a date and time.")
@click.option("--expires", metavar="TIME", help="Cancelled if not started by then: 2h, 15:00 or never.")
@click.option("--timeout", metavar="1h", help="Time limit of an attempt; none: without.")
@click.option("--retry", metavar="N", help="Further attempts in all.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help='Instead of theirs, several times; "": none.')
@click.option("--meta", metavar="K=V", multiple=True, help="Added to theirs; K:=JSON, and K:=null takes it away.")
@click.option("--args", "args_json", metavar="JSON", help="All positional arguments, of one job.")
@click.option("--kwargs", "kwargs_json", metavar="JSON", help="All keyword arguments, of one job.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@with_session
def edit(
    session: Session, words: tuple[str, ...], every: bool, yes: bool, dry_run: bool, as_json: bool, **given: Any
) -> None:
    """Change jobs that wait; running and ended ones stay as they are.

    Which: ids, or conditions that all hold: state: task: queue: tag: flow: batch: since: until: text: host: exit: tz:, as in
    queue:mail state:queued,scheduled.
    """
    ids, conditions = asked(words)
    if bool(ids) + bool(conditions) + every != 1:
        raise click.UsageError("Say which jobs to edit: ids, or conditions such as queue:mail, or --all.")
    change = _change(given)
    with session.open() as store:
        refuse_closed(store)
        found = [one(store, each) for each in ids] if ids else None
        change = change._replace(payload=_payload(store, found, given["args_json"], given["kwargs_json"]))
        if change.empty:
            raise click.UsageError("Say what to change, such as --queue or --priority.")
        meant = [job.id for job in found] if found else _matching(store, conditions)
        _warn(store, change.queue)
        _do(store, list(dict.fromkeys(meant)), change, yes or bool(ids), dry_run, as_json, bool(ids))


# -- what to change ---------------------------------------------------------------------------------------------------
def _change(given: dict[str, Any]) -> Edit:
    from .._options import UNSET, check, stored

    options = check(_said(given), "jobs edit")
    parts = {name: value for name, value in options.given().items() if name in Edit._fields and name != "tags"}
    if given["expires"] is not None and given["expires"].lower() == "never":
        parts["expires_at"] = NEVER
    if given["queue"] is not None:
        parts["queue"] = queue_name(given["queue"], "jobs edit: --queue")
    if options.tags is not UNSET:
        parts["tags"] = json.dumps(options.tags)
    return Edit(**parts)._replace(options=stored(options))


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """Return the job options that were given, in the form that ``using`` takes."""
    found = {name: given[name] for name in ("delay",) if given[name] is not None}
    found |= {name: _whole(given[name]) for name in ("priority", "retry") if given[name] is not None}
    if given["at"] is not None:
        found["at"] = parse(given["at"], "--at")
    if given["expires"] is not None and given["expires"].lower() != "never":
        found["expires"] = _expiry(given["expires"])
    if given["timeout"] is not None:
        found["timeout"] = None if given["timeout"].lower() == "none" else given["timeout"]
    if given["tags"]:
        found["tags"] = [tag for tag in given["tags"] if tag]
    if given["meta"]:
        found["meta"] = _meta(given["meta"])
    return found


def _whole(text: str) -> int | str:
    """Return a whole number; the check of the option tells what anything else is."""
    try:
        return int(text)
    except ValueError:
        return text


def _expiry(text: str) -> Any:
    try:
        return seconds(text, "--expires")
    except BadOption:
        return parse(text, "--expires")


def _meta(words: Sequence[str]) -> dict[str, Any]:
    from ._values import from_json

    found = {}
    for word in words:
        key, mark, value = word.partition("=")
        if not mark or not key.strip(":"):
            raise BadOption(f"--meta takes K=V or K:=JSON, like --meta ticket=17; not {word!r}.")
        found[key.removesuffix(":")] = from_json(value, f"--meta {word}") if key.endswith(":") else value
    return found


def _payload(store: Store, found: list[JobRecord] | None, args_json: str | None, kwargs_json: str | None) -> str | None:
    """Return other arguments for the one job; those not given stay. They must fit what a live worker tells of the task,
    and make a command that could be submitted so."""
    if args_json is None and kwargs_json is None:
        return None
    if found is None or len(found) != 1:
        raise click.UsageError("--args and --kwargs change exactly one job, named by its id.")
    (job,) = found
    stored_args, stored_kwargs = json.loads(job.payload)
    args = stored_args if args_json is None else _read(args_json, "--args")
    kwargs = stored_kwargs if kwargs_json is None else _read(kwargs_json, "--kwargs")
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise BadArguments("--args takes a JSON list and --kwargs a JSON object. Nothing changed.")
    from ._refitting import refitted

    payload = refitted(store, job, json.dumps([args, kwargs], separators=(",", ":")))
    _fit(store, job, args, kwargs)
    if len(payload) > PAYLOAD_LIMIT:
        raise BadArguments(f"the arguments take {len(payload):,} bytes, more than {PAYLOAD_LIMIT:,}. Nothing changed.")
    return payload


def _read(text: str, where: str) -> Any:
    """Return JSON in the form in which arguments are stored."""
    from ._values import from_json

    from_json(text, where)
    return json.loads(text)


def _fit(store: Store, job: JobRecord, args: list[Any], kwargs: dict[str, Any]) -> None:
    from .._told_task import signature_of

    signature = signature_of(str(known_tasks(store).get(job.task, {}).get("signature", "")))
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadArguments(f"{job.task}{signature}: {error}. Nothing changed.") from None


# -- which, and doing it ----------------------------------------------------------------------------------------------
def _matching(store: Store, conditions: dict[str, Any]) -> list[str]:
    meant = meant_jobs(store, conditions).among(sorted(WAITING))
    return [seen.job.id for part in look(store, meant) for seen in part.found]


def _warn(store: Store, queue: str | None) -> None:
    """Say on stderr what will keep the jobs from running in their new queue."""
    alive = live(store.workers(), store.now())
    if queue is not None and alive and not any(serves(worker, queue) for worker in alive):
        _show.echo(f"Warning: no live worker listens to queue '{queue}'.  [E141]", err=True)


def _do(store: Store, ids: list[str], change: Edit, sure: bool, dry: bool, as_json: bool, named: bool) -> None:
    planned = _edit(store, ids, change, dry=True)
    done = planned
    if not dry and planned.changed:
        if not _show.agree(f"{_show.count(planned.changed, 'job')} will be changed. Go on?", yes=sure):
            _show.echo("nothing done")
            return
        done = _edit(store, ids, change, dry=False)
    if as_json:
        _show.document({"changed": done.changed, "refused": dict(done.refused), "gone": done.gone, "dry_run": dry})
    else:
        _show.echo(_told(done, dry))
    if named and done.refused and not dry:
        raise BadState(_refused(store, ids))


def _edit(store: Store, ids: list[str], change: Edit, *, dry: bool) -> _Done:
    changed = refused = 0
    states: Counter[State] = Counter()
    for start in range(0, len(ids), BATCH):
        answer = store.edit(ids[start : start + BATCH], change, dry=dry)
        changed, refused = changed + len(answer.done), refused + len(answer.refused)
        states.update(job.state for job in store.get(answer.refused))
    return _Done(changed, states, len(ids) - changed - refused)


def _told(done: _Done, dry: bool) -> str:
    would = "would be changed" if dry else "changed"
    parts = [f"{_show.count(done.changed, 'job')} {would}"]
    if done.refused:
        why = ", ".join(f"{number:,} {state}" for state, number in sorted(done.refused.items()))
        parts.append(f"{_show.count(done.refused.total(), 'other')} cannot be: {why}")
    if done.gone:
        parts.append(f"{_show.count(done.gone, 'job')} gone meanwhile")
    return "; ".join(parts) if done.changed or done.refused or done.gone else "no job matches"


def _refused(store: Store, ids: list[str]) -> str:
    those = [job for job in store.get(ids) if job.state not in WAITING]
    named = ", ".join(f"{short(job.id)} is {job.state}" for job in those[:5])
    return f"{_show.count(len(those), 'job')} cannot be changed: {named}. Only a job that waits can be; requeue an ended one."
