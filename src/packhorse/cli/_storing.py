"""Storing many jobs that were asked for: all are checked first, then stored batch by batch, in constant memory."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .._batches import flow_of, next_number, number_of
from .._record import BATCH, FINAL, JobRecord
from .._store import Store
from .._when import clock
from ..errors import BadArguments, BadOption, BadState, ConfigError, PackhorseError, StoreError
from . import _show
from ._drafting import Drafting
from ._inside import joined
from ._job import short
from ._lines import Entry, Lines, Listed
from ._session import Session

if TYPE_CHECKING:
    from .._draft import Draft
    from .._job import Job

#: So many bad lines are shown, and of a dry run so many good ones.
_SHOWN, _TRIED = 50, 3
_LOOK = 0.25
_COMMAND_LINE = 500


class Source(NamedTuple):
    """Where the jobs come from."""

    entries: Lines | Listed
    name: str  #: of the file; empty: the command line
    by_line: bool  #: its jobs have the ids of their lines

    @property
    def single(self) -> bool:
        """Tell whether the command line asks for one job."""
        return not self.by_line and self.entries.size == 1


class Checked(NamedTuple):
    """What the first way through found."""

    total: int
    first: str  #: id of the first job
    tried: tuple[str, ...]  #: the first few, for people


def submitted(
    session: Session,
    source: Source,
    *,
    queue: str | None,
    options: Mapping[str, Any],
    sets: Mapping[str, Any],
    resume: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
    as_text: bool = False,
) -> int:
    """Check all, store all, and say in which batch. Returns the exit code."""
    with session.open(create=True) as store:
        inherited = joined(store)
        if wait and inherited is not None:
            raise click.UsageError("--wait inside a job of a flow would wait for that job itself.")
        drafting = Drafting(session, store, queue=queue, options=options, sets=sets, as_text=as_text)
        checked = _checked(source, drafting)
        if dry_run:
            return _tried(checked, as_json)
        drafting.flow = _flow(store, source, checked, resume, options.get("flow", inherited))
        stored = _stored_all(session, source, drafting, checked.total)
        return _told(store, stored, drafting.flow, wait=wait, as_json=as_json)


# -- the first way through ----------------------------------------------------------------------------------------------
def _checked(source: Source, drafting: Drafting) -> Checked:
    """Make every draft once and keep none. Raises ``BadOption`` if any is wrong, after telling which."""
    total, first, wrong = 0, "", 0
    tried: list[str] = []
    with _bar("checking", source.entries.size, hidden=not source.by_line) as moved:
        for entry in source.entries:
            total += 1
            moved(source.entries.done)
            try:
                draft = _draft(entry, drafting)
            except (ConfigError, StoreError):
                raise  # no line's fault
            except PackhorseError as error:
                if source.single:
                    raise
                wrong += 1
                if wrong <= _SHOWN:
                    _show.echo(f"{_where(source, entry)}{_plain(error)}", err=True)
                continue
            first = first or draft._id or ""
            if len(tried) < _TRIED:
                tried.append(_shown(draft))
    if wrong:
        raise _wrong(source, wrong, total)
    if not total:
        raise BadArguments(f"{source.name or 'the command line'} asks for no job. Nothing stored.")
    return Checked(total, first, tuple(tried))


def _draft(entry: Entry, drafting: Drafting) -> Draft[Any]:
    if entry.error is not None:
        raise entry.error
    return drafting.draft(entry)


def _where(source: Source, entry: Entry) -> str:
    return f"line {entry.number}: " if source.by_line else ""


def _plain(error: PackhorseError) -> str:
    text = str(error).removesuffix(f"  [{error.code}]")
    for end in (" Nothing stored.", " Not enqueued.", " Nothing enqueued."):
        text = text.replace(end, "")
    return f"{text}  [{error.code}]"


def _wrong(source: Source, wrong: int, total: int) -> BadOption:
    if not source.by_line:
        return BadOption(f"{_show.count(wrong, 'job')} of {total:,} cannot be stored, see above. Nothing stored.")
    more = f" (the first {_SHOWN} are above)" if wrong > _SHOWN else ""
    return BadOption(
        f"{_show.count(wrong, 'line')} of {total:,} in {source.name} cannot be stored{more}. Nothing stored."
    )


def _shown(draft: Draft[Any]) -> str:
    from ._job import call_text_of

    return f"{call_text_of(draft.task, draft._payload)}   queue {draft.queue}"


def _tried(checked: Checked, as_json: bool) -> int:
    if as_json:
        _show.document({"jobs": checked.total, "stored": 0, "dry_run": True})
        return 0
    _show.echo(f"{_show.count(checked.total, 'job')} would be stored; nothing was")
    for text in checked.tried:
        _show.echo(f"  {text}")
    if checked.total > len(checked.tried):
        _show.echo(f"  … and {checked.total - len(checked.tried):,} more")
    return 0


# -- which batch ----------------------------------------------------------------------------------------------------------
def _flow(store: Store, source: Source, checked: Checked, resume: bool, flow: str | None) -> str:
    """Return the flow of the jobs: the one given, that of an earlier submit of the same file, or a new batch."""
    earlier = store.get([checked.first]) if source.by_line and checked.first else []
    if earlier and not resume:
        raise _again(store, source, earlier[0])
    if earlier and number_of(earlier[0].flow) is not None:
        return str(earlier[0].flow)
    return flow if flow is not None else flow_of(next_number(store))


def _again(store: Store, source: Source, first: JobRecord) -> BadState:
    number = number_of(first.flow)
    batch = f" as batch {number}" if number is not None else ""
    copy = f"\n  To run all of it again:  packhorse jobs copy --batch {number}" if number is not None else ""
    return BadState(
        f"{source.name} was submitted before{batch}, at {clock(first.created_at, store.now())}: its first line is job "
        f"{short(first.id)}, {first.state}. Nothing stored.\n"
        f"  If that was cut short, --resume stores the lines that are missing.{copy}"
    )


# -- the second way through -----------------------------------------------------------------------------------------------
class Stored(NamedTuple):
    """What the second way through did."""

    total: int
    existing: int  #: of these so many were there already
    last: str  #: id of the last job


def _stored_all(session: Session, source: Source, drafting: Drafting, total: int) -> Stored:
    done = existing = 0
    last = ""
    put = _putting(session)
    try:
        with _bar("storing", total, hidden=total < BATCH) as moved:
            for group in _groups(source, drafting):
                jobs = put(group)
                done += len(jobs)
                existing += sum(job.existing for job in jobs)
                last = jobs[-1].id
                moved(done)
    except (PackhorseError, KeyboardInterrupt):
        _cut_short(source, done, total, drafting.flow)
        raise
    return Stored(done, existing, last)


def _groups(source: Source, drafting: Drafting) -> Iterator[list[Draft[Any]]]:
    drafts = (_draft(entry, drafting) for entry in source.entries)
    while group := list(islice(drafts, BATCH)):
        yield group


def _putting(session: Session) -> Callable[[list[Draft[Any]]], list[Job[Any]]]:
    from .. import _bulk, _runtime

    connection, by = _runtime.at(session.settings()), _by()
    around = session.app.around_enqueue if session.app is not None else ()
    return lambda drafts: _bulk.put_within(around, lambda some, who: _bulk.put(connection, some, who), drafts, by)


def _by() -> str:
    """Return who submits: the person, the program, and what was typed."""
    from .run import who

    words = ["***" if "://" in word else word for word in sys.argv[1:]]  # a store's URL may have its password in it
    return json.dumps({**json.loads(who()), "command": shlex.join(["packhorse", *words])[:_COMMAND_LINE]})


def _cut_short(source: Source, done: int, total: int, flow: str | None) -> None:
    again = "; for the rest, the same again with --resume" if source.by_line else ""
    _show.echo(f"stored {done:,} of {total:,} jobs, in {_batch(flow)}{again}", err=True)


@contextmanager
def _bar(label: str, length: int, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on a terminal only."""
    if hidden or not sys.stderr.isatty():
        yield lambda position: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda position: bar.update(position - bar.pos)


# -- the end --------------------------------------------------------------------------------------------------------------
def _batch(flow: str | None) -> str:
    number = number_of(flow)
    return f"batch {number}" if number is not None else f"flow {_show.clean(flow)}"


def _told(store: Store, stored: Stored, flow: str | None, *, wait: bool, as_json: bool) -> int:
    if stored.total == 1:
        return _told_one(store, stored.last, flow, wait=wait, as_json=as_json)
    from .run import warn

    new = stored.total - stored.existing
    if as_json and not wait:
        _show.document(_summary(stored, flow))
        return 0
    if not as_json:
        there = f", {stored.existing:,} were stored before" if stored.existing else ""
        for record in store.get([stored.last]):
            warn(store, record)  # most often all of them are of one kind
        _show.echo(f"{_show.count(new, 'job')} stored in {_batch(flow)}{there}   packhorse flows show {_quoted(flow)}")
    return _waited(store, stored, flow, as_json) if wait else 0


def _told_one(store: Store, job: str, flow: str | None, *, wait: bool, as_json: bool) -> int:
    from .run import awaited, shown

    code = awaited(store, job, as_json) if wait else shown(store, job, as_json)
    if not as_json:
        _show.echo(f"  {_batch(flow)}", err=wait)
    return code


def _summary(stored: Stored, flow: str | None) -> dict[str, Any]:
    new = stored.total - stored.existing
    return {"batch": number_of(flow), "flow": flow, "jobs": stored.total, "stored": new, "existing": stored.existing}


def _quoted(flow: str | None) -> str:
    return shlex.quote(_show.clean(flow))


def _waited(store: Store, stored: Stored, flow: str | None, as_json: bool) -> int:
    counts = _ended(store, flow)
    bad = {state: counts.get(state, 0) for state in ("failed", "cancelled")}
    if as_json:
        _show.document({**_summary(stored, flow), "counts": counts})
    else:
        parts = [
            f"{counts.get('succeeded', 0):,} succeeded",
            *(f"{each:,} {state}" for state, each in bad.items() if each),
        ]
        _show.echo(", ".join(parts))
    return 1 if any(bad.values()) else 0


def _ended(store: Store, flow: str | None) -> dict[str, int]:
    """Wait until every member has ended; return them by state."""
    assert flow is not None
    counts: dict[str, int] = _counts(store, flow)
    with _bar("waiting", sum(counts.values()), hidden=False) as moved:
        while (ended := _final(counts)) < sum(counts.values()):
            moved(ended)
            store.wait(_LOOK)
            counts = _counts(store, flow)
        moved(ended)
    return counts


def _counts(store: Store, flow: str) -> dict[str, int]:
    found = store.flows([flow])
    return dict(found[0].counts) if found else {}  # type: ignore[arg-type]


def _final(counts: Mapping[str, int]) -> int:
    return sum(counts.get(state, 0) for state in FINAL)
