"""``packhorse jobs``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .. import _why
from .._durations import seconds
from .._job_data import as_data, attempt_data
from .._looking import Meant, Part
from .._store import JobFilter, Store
from . import _listing, _show
from ._act import Verb, act, act_on
from ._choosing import STATES, aliases, filters, meant_jobs, zone_of
from ._group import LazyGroup
from ._job import one, short, tell, worker_names
from ._session import Session, json_option, with_session
from .edit import edit

F = TypeVar("F", bound=Callable[..., Any])


@click.group("jobs", cls=LazyGroup)
def jobs() -> None:
    """Find jobs and act on them. JOB is an id, or its last 8 characters."""


jobs.add_command(edit)


# -- looking ----------------------------------------------------------------------------------------------------------
@jobs.command("list")
@filters
@click.option("--columns", metavar="A,B,…", help=f"Of {', '.join(_listing.COLUMNS)}.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--after", type=int, metavar="CURSOR", help="Go on where a list ended.")
@json_option
@with_session
def list_(session: Session, limit: int, after: int | None, columns: str | None, as_json: bool, **given: Any) -> None:
    """Show jobs, newest first."""
    named, where = _listing.chosen(columns), zone_of(given)
    with session.open() as store:
        found = _listing.page(store, meant_jobs(store, given), limit, after)
        about = _listing.Look(worker_names(store.workers(dead=True)), aliases(), store.now(), where)
    if as_json:
        rows = [_listing.data(seen, about) for seen in found.found]
        _show.document({"jobs": rows, "next": found.next, "searched": found.searched, "total": found.total})
        return
    if found.found:
        _listing.table(found.found, named, about)
    _more(found)


def _more(part: Part) -> None:
    if not part.found and part.next is None:
        _show.echo("no job matches")
    if part.next is not None:
        seen = f"searched {part.searched:,} of {part.total:,}; " if part.searched < part.total else ""
        _show.echo(f"{seen}more: --after {part.next}", err=True)


@jobs.command()
@click.argument("job")
@click.option("--full-traceback", is_flag=True, help="With the frames of libraries.")
@json_option
@with_session
def show(session: Session, job: str, full_traceback: bool, as_json: bool) -> None:
    """Show all that is known of JOB, with its attempts."""
    with session.open() as store:
        record = one(store, job)
        why = _why.explain(store, record)
        if not as_json:
            tell(store, record, why.text, full=full_traceback)
            return
        names = worker_names(store.workers(dead=True))
        attempts = [attempt_data(attempt, names) for attempt in store.attempts(record.id)]
    _show.document({**as_data(record, names), "why": why.text, "attempts": attempts})


@jobs.command()
@click.argument("job")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Only of the attempt with this number.")
@json_option
@with_session
def logs(session: Session, job: str, attempt: int | None, as_json: bool) -> None:
    """Print what JOB logged and printed, the newest 64 KiB of each attempt."""
    with session.open() as store:
        record = one(store, job)
        numbers = {each.token: each.number for each in store.attempts(record.id)}
        kept = [(numbers.get(token, record.attempt), text, dropped) for token, text, dropped in store.log(record.id)]
    kept = [each for each in kept if attempt in (None, each[0])]
    if as_json:
        parts = [{"attempt": number, "text": text, "dropped": dropped} for number, text, dropped in kept]
        _show.document({"id": record.id, "logs": parts})
        return
    _print_logs(kept)


def _print_logs(kept: list[tuple[int, str, int]]) -> None:
    if not kept:
        _show.echo("nothing was logged", err=True)
    for number, text, dropped in kept:
        if len(kept) > 1:
            _show.echo(_show.bold(f"-- attempt {number}"))
        if dropped:
            _show.echo(f"… {dropped:,} characters before this were not kept")
        _show.echo(_show.clean_lines(text.rstrip("\n")))


# -- acting -----------------------------------------------------------------------------------------------------------
def _acting(verb: Verb) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in (
            click.option("--dry-run", is_flag=True, help="Only count."),
            click.option("-y", "--yes", is_flag=True, help="Do not ask."),
            click.option("--all", "every", is_flag=True, help="Every job that this is possible for."),
            filters,
            click.argument("ids", metavar="[JOB…]", nargs=-1),
        ):
            command = option(command)
        return command

    return add


def _go(session: Session, verb: Verb, ids: tuple[str, ...], given: dict[str, Any], **more: Any) -> None:
    yes, dry_run, every = given.pop("yes"), given.pop("dry_run"), given.pop("every")
    with session.open() as store:
        meant = meant_jobs(store, given)
        if ids:
            _named(store, verb, ids, meant, yes, dry_run, more)
            return
        if meant.empty:
            if not every:
                raise click.UsageError(f"Say which jobs to {verb}: ids, or options such as --state, or --all.")
            meant = meant.among(STATES)
        act(store, verb, meant, yes=yes, dry_run=dry_run, **more)


def _named(
    store: Store, verb: Verb, ids: tuple[str, ...], meant: Meant, yes: bool, dry_run: bool, more: dict[str, Any]
) -> None:
    if not meant.empty:
        raise click.UsageError("Give ids or options that choose jobs, not both.")
    if dry_run:
        act(store, verb, _just(store, ids), dry_run=True)
        return
    # What can be done again needs no question where the jobs were named one by one; a deleted job is gone.
    if verb == "delete":
        named = ", ".join(short(one(store, each).id) for each in ids)
        if not _show.agree(f"{_show.count(len(ids), 'job')} will be deleted: {named}. Go on?", yes=yes):
            _show.echo("nothing done")
            return
    act_on(store, verb, ids, **more)


def _just(store: Store, ids: tuple[str, ...]) -> Meant:
    return Meant((JobFilter(ids=tuple(dict.fromkeys(one(store, each).id for each in ids))),))


@jobs.command()
@_acting("cancel")
@click.option("--reason", default="", help="Why, kept with the job.")
@with_session
def cancel(session: Session, ids: tuple[str, ...], reason: str, **given: Any) -> None:
    """Cancel jobs: those that wait at once, those that run are asked to stop."""
    _go(session, "cancel", ids, given, reason=reason)


@jobs.command()
@_acting("requeue")
@click.option("--delay", default="0", metavar="5m", help="Not before so long.")
@with_session
def requeue(session: Session, ids: tuple[str, ...], delay: str, **given: Any) -> None:
    """Run ended jobs once more, and scheduled or retrying ones now."""
    _go(session, "requeue", ids, given, delay=seconds(delay, "--delay"))


@jobs.command()
@_acting("delete")
@with_session
def delete(session: Session, ids: tuple[str, ...], **given: Any) -> None:
    """Delete jobs with their attempts and logs. Running ones are refused."""
    _go(session, "delete", ids, given)


@jobs.command()
@click.argument("ids", metavar="[JOB…]", nargs=-1)
@filters
@click.option("--set", "sets", metavar="NAME=VALUE", multiple=True, help="Another value; NAME+=VALUE adds one.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@with_session
def copy(session: Session, ids: tuple[str, ...], sets: tuple[str, ...], **given: Any) -> int:
    """Store jobs again, as new ones in a new batch.

    command+=--force adds a word to commands without parameters. Each copy has the id of its original in meta, as copied_from.
    """
    from ._copying import copied

    how = {name: given.pop(name) for name in ("dry_run", "yes", "as_json")}
    with session.open() as store:
        meant = meant_jobs(store, given)
        if ids and not meant.empty:
            raise click.UsageError("Give ids or options that choose jobs, not both.")
        if not ids and meant.empty:
            raise click.UsageError("Say which jobs to copy: ids, or options such as --batch and --state.")
        return copied(session, store, _just(store, ids) if ids else meant, sets, **how)
