"""``packhorse report``."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from typing import Any

import click

from .. import _looking
from .._looking import Meant
from .._reporting.columns import COLUMNS, Column, chosen
from .._reporting.tally import BY, By, Tally
from .._store import Store
from .._url import mask
from .._when import rfc3339
from ..errors import BadOption
from . import _show
from ._choosing import aliases, filters, meant_jobs, zone_of
from ._session import Session, json_option, with_session

#: Causes of failures that are printed under a table.
_CAUSES = 10
_TELL_EVERY = 0.2


@click.command("report")
@click.option("--by", "by", metavar="WHAT", multiple=True, help=f"{', '.join(BY)}; several: task,day. Default: task.")
@filters
@click.option("--columns", metavar="A,B,…", help=f"Of {', '.join(COLUMNS)}.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the groups as CSV.")
@click.option("--html", metavar="FILE", help="Write a page with plots, in one file.")
@json_option
@with_session
def report(session: Session, by: tuple[str, ...], columns: str | None, html: str | None, **given: Any) -> None:
    """Count jobs in groups: how many, how they ended, how long they ran, who asked.

    Days and hours are those of the end of a job; --since and --until are about its enqueue. Durations are those of the last run
    of each job; p50 and p95 are right within 1 %.
    """
    as_json, as_csv = given.pop("as_json"), given.pop("as_csv")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    groups, shown, where = _by(by), chosen(columns, "--columns"), zone_of(given)
    if html is not None:
        _check_place(html)
    with session.open() as store:
        meant = meant_jobs(store, given)
        tally = Tally(groups, where, aliases())
        _count(store, meant, tally)
        made = store.now()
    which = meant.filters[0]
    told = {"since": rfc3339(which.since), "until": rfc3339(which.until), "made_at": rfc3339(made)}
    if html is not None:
        _write_page(html, tally, _said(given), mask(store.url), made, where, shown)
    _print(tally, shown, told, where, as_json=as_json, as_csv=as_csv, quiet=html is not None)


def _by(words: tuple[str, ...]) -> list[By]:
    names = [name.strip().lower() for word in words for name in word.split(",") if name.strip()] or ["task"]
    for name in names:
        if name not in BY:
            raise BadOption(f"--by: '{name}' is nothing to group by. There are: {', '.join(BY)}.")
    return list(dict.fromkeys(names))  # type: ignore[arg-type]


# -- counting ---------------------------------------------------------------------------------------------------------
def _count(store: Store, meant: Meant, tally: Tally) -> None:
    with _told_progress() as tell:
        searched = 0
        for part in _looking.look(store, meant):
            for seen in part.found:
                tally.add(seen)
            searched += part.searched
            tell(tally.all.jobs, min(searched, part.total), part.total)


@contextmanager
def _told_progress() -> Iterator[Callable[[int, int, int], None]]:
    """Say on a terminal how far a long count is, and take it away again."""
    began = last = time.monotonic()
    shown = False

    def tell(found: int, searched: int, total: int) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if sys.stderr.isatty() and now - began > 1 and now - last > _TELL_EVERY:
            last, shown = now, True
            click.echo(f"\r{found:,} jobs found, {searched:,} of {total:,} looked at ", err=True, nl=False)

    try:
        yield tell
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)


# -- printing ---------------------------------------------------------------------------------------------------------
def _print(
    tally: Tally,
    shown: Sequence[Column],
    told: dict[str, Any],
    where: tzinfo | None,
    *,
    as_json: bool,
    as_csv: bool,
    quiet: bool,
) -> None:
    if as_json:
        _show.document(_document(tally, shown, told))
    elif as_csv:
        _csv(tally, shown)
    elif not quiet:
        _table(tally, shown, where)


def _document(tally: Tally, shown: Sequence[Column], told: dict[str, Any]) -> dict[str, Any]:
    def data(group: Any) -> dict[str, Any]:
        return {each.name: dict(group.who) if each.name == "who" else each.data(group) for each in shown}

    return {
        "by": list(tally.by),
        **told,
        "groups": [{**dict(zip(tally.by, key, strict=True)), **data(group)} for key, group in tally.groups()],
        "all": data(tally.all),
        "failures": [
            {
                "task": each.task,
                "error": each.what,
                "last": each.last,
                "jobs": each.jobs,
                "examples": list(each.examples),
            }
            for each in tally.causes()
        ],
    }


def _csv(tally: Tally, shown: Sequence[Column]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*tally.by, *(each.name for each in shown if each.name not in tally.by)])
    columns = [each for each in shown if each.name not in tally.by]
    for key, group in tally.groups():
        writer.writerow([*key, *("" if (value := each.data(group)) is None else value for each in columns)])


def _table(tally: Tally, shown: Sequence[Column], where: tzinfo | None) -> None:
    if not tally.all.jobs:
        _show.echo("no job matches")
        return
    groups = tally.groups()
    rows = [[*map(_show.clean, key), *_cells(group, shown, where)] for key, group in groups]
    if len(groups) > 1:
        rows.append([_show.bold("all"), *[""] * (len(tally.by) - 1), *_cells(tally.all, shown, where)])
    first = len(tally.by)
    right = [first + place for place, each in enumerate(shown) if each.kind in ("count", "seconds", "bytes")]
    _show.table([*tally.by, *(each.name for each in shown)], rows, right=right)
    _failures(tally)


def _cells(group: Any, shown: Sequence[Column], where: tzinfo | None) -> list[str]:
    cells = [_show.clean(each.text(group, where)) for each in shown]
    return [
        _show.colour(cell, "red") if each.name == "failed" and group.states["failed"] else cell
        for each, cell in zip(shown, cells, strict=True)
    ]


def _failures(tally: Tally) -> None:
    causes = tally.causes()
    if not causes:
        return
    _show.echo(_show.bold("\nWhy jobs failed"))
    for cause in causes[:_CAUSES]:
        said = f"{cause.task}: {cause.what}" if cause.task else cause.what
        last = f"  ({cause.last})" if cause.last else ""
        example = f"   such as {cause.examples[0][-8:]}" if cause.examples else ""
        _show.echo(f"  {_show.colour(f'{cause.jobs:,} ×', 'red')} {_show.clean(said + last)}{example}")
    if len(causes) > _CAUSES:
        _show.echo(f"  and {len(causes) - _CAUSES:,} other causes (--json)")


# -- the page ---------------------------------------------------------------------------------------------------------
def _check_place(path: str) -> None:
    """Find out before a long count that the page could not be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise BadOption(f"--html: there is no directory {folder}.")
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise BadOption(f"--html: {path} cannot be written.")


def _write_page(
    path: str, tally: Tally, what: str, store: str, made: int, where: tzinfo | None, shown: Sequence[Column]
) -> None:
    from .._reporting.page import Heading, page

    text = page(tally, Heading(what, store, made, where), shown)
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise BadOption(f"--html: {path} cannot be written: {error.strerror}.") from error
    _show.echo(f"{_show.count(tally.all.jobs, 'job')} in {path}", err=True)


def _said(given: dict[str, Any]) -> str:
    """Return in words which jobs the report is about."""
    words = []
    for name, value in given.items():
        if value and name != "tz":
            said = ", ".join(value) if isinstance(value, tuple) else str(value)
            words.append(f"{ {'states': 'state', 'exits': 'exit', 'hosts': 'host'}.get(name, name) } {said}")
    return " · ".join(words) or "all jobs"
