"""``packhorse move``: all jobs of one store to another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from . import _show
from ._moving import watcher
from ._session import Session, json_option, open_store, with_session

if TYPE_CHECKING:
    from .._move import Moved, Plan
    from .._settings import Settings
    from .._store import Store

#: Clocks of two stores that differ by so much (seconds) are told of.
_OFF = 2.0


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="[TO]", required=False)
@click.option("--dry-run", is_flag=True, help="Count, and say what would happen.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", metavar="TIME", help="Wait so long for running jobs (5m). Default: for ever.")
@click.option("--release", is_flag=True, help="Take back running jobs whose workers are dead.")
@click.option("--reopen", is_flag=True, help="Open FROM again, which a move has closed.")
@click.option("--force", is_flag=True, help="With --reopen: also where jobs may run twice then.")
@json_option
@with_session
def move(
    session: Session,
    source: str,
    target: str | None,
    dry_run: bool,
    yes: bool,
    timeout: str | None,
    release: bool,
    reopen: bool,
    force: bool,
    as_json: bool,
) -> int | None:
    """Move all jobs from one store to another, with everything that belongs to them.

    FROM and TO are URLs, or env:NAME for one in an environment variable, so that no password stands on the command line. FROM is
    closed first, and TO is not opened before every job was copied and compared: none is lost, and none runs twice.
    Interrupted, run it again. FROM keeps its copies, and names TO to whoever still asks it.
    """
    if reopen:
        _reopen(session, source, target, force)
        return None
    if force:
        raise click.UsageError("--force goes with --reopen.")
    if target is None:
        raise click.UsageError("Missing argument 'TO'.")
    here, there = _settings(session, source, "FROM"), _settings(session, target, "TO")
    if dry_run:
        _plan(here, there, as_json)
        return None
    with _opened(here) as from_store, _opened(there, create=True) as to_store:
        return _run(from_store, to_store, _seconds(timeout), release, yes, as_json)


def _seconds(text: str | None) -> float | None:
    from .._durations import seconds

    return None if text is None else seconds(text, "--timeout")


# -- stores -----------------------------------------------------------------------------------------------------------
def _settings(session: Session, typed: str, name: str) -> Settings:
    """Return the store meant by FROM or TO."""
    from .._settings import resolve
    from .._url import mask

    url, source = typed, name
    if typed.startswith("env:"):
        variable = typed.removeprefix("env:")
        url, source = os.environ.get(variable, ""), f"{name}, from the environment variable {variable}"
        if not url:
            raise click.UsageError(f"{name} is {typed}, but the environment variable {variable} is not set.")
    elif mask(url) != url:
        _show.echo(
            f"move: the password in {name} can be read by everybody on this host, in the list of processes and in the history of "
            f"the shell; write  env:NAME  and put the URL into a variable, or add  ?password_file=PATH",
            err=True,
        )
    found = resolve(url, namespace=session.namespace)._replace(source=source)
    return _not_memory(found)


def _not_memory(found: Settings) -> Settings:
    if found.url.startswith("memory:"):
        raise click.UsageError(f"{found.source}: a memory store lives in one process only; it has no jobs to be moved.")
    return found


@contextmanager
def _opened(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    store = open_store(settings, create=create)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _target_as_it_is(settings: Settings) -> Iterator[Store]:
    """Give TO without making it: where there is no file yet, an empty store stands for it."""
    from .. import _runtime

    path = settings.url.removeprefix("sqlite:///").partition("?")[0].replace("%3F", "?").replace("%25", "%")
    if settings.url.startswith("sqlite:") and not os.path.exists(path):
        store = _runtime.new_memory_store(lambda: time.time_ns() // 1000)
        yield store
        store.close()
        return
    with _opened(settings) as found:
        yield found


# -- moving -----------------------------------------------------------------------------------------------------------
def _plan(here: Settings, there: Settings, as_json: bool) -> None:
    from .._move import Move
    from .._url import mask

    with _opened(here) as from_store, _target_as_it_is(there) as to_store:
        plan = Move(from_store, to_store, watcher()).plan()
    if as_json:
        _show.document({
            "from": mask(here.url), "to": mask(there.url), "dry_run": True, "stage": plan.stage, "jobs": plan.jobs,
            "queues": {name: dict(counts) for name, counts in plan.counts.items()}, "paused": list(plan.paused),
            "clock_ahead": round(plan.ahead, 3),
        })  # fmt: skip
        return
    _show_plan(plan, mask(here.url), mask(there.url))
    _show.echo(_next_steps(plan))


def _show_plan(plan: Plan, here: str, there: str) -> None:
    from .._durations import spoken

    states = ", ".join(f"{_show.symbol(state)} {number:,} {state}" for state, number in plan.states.items())
    paused = f"; paused: {', '.join(plan.paused)}" if plan.paused else ""
    _show.echo(f"FROM  {_show.clean(here)}  {_show.count(plan.jobs, 'job')}{': ' + states if states else ''}{paused}")
    copied = f"{_show.count(plan.there, 'job')} there already" if plan.there else "empty"
    _show.echo(f"TO    {_show.clean(there)}  {copied}")
    if abs(plan.ahead) >= _OFF:
        way, when = ("ahead of", "earlier") if plan.ahead > 0 else ("behind", "later")
        _show.echo(
            f"The clock of TO is {spoken(abs(plan.ahead))} {way} FROM's. Times are moved as they are: what is due later starts "
            f"so much {when}. Set the clocks first if that matters."
        )


def _next_steps(plan: Plan) -> str:
    if plan.stage == "moved":
        return "nothing would be done: these jobs have been moved already"
    running = plan.states.get("running", 0)
    wait = f", {_show.count(running, 'running job')} would be waited for" if running else ""
    begin = "the move would go on" if plan.stage == "resumed" else "FROM would be closed"
    return f"{begin}{wait}, every job copied and compared, then TO opened. Nothing was changed."


def _run(here: Store, there: Store, timeout: float | None, release: bool, yes: bool, as_json: bool) -> int | None:
    from .._move import Disturbed, Move
    from ..errors import PackhorseError

    watch = watcher()
    mover = Move(here, there, watch, timeout=timeout, release=release)
    plan = mover.plan()
    if not as_json:
        _show_plan(plan, here.url, there.url)
    if plan.stage == "new" and not _show.agree("FROM will be closed until its jobs are in TO. Go on?", yes=yes):
        _show.echo("nothing done")
        return None
    began = time.monotonic()
    try:
        done = mover.run()
    except KeyboardInterrupt:
        _unfinished(watch.began)
        return 130
    except Disturbed:  # which says itself what is next
        raise
    except PackhorseError:
        _unfinished(watch.began)
        raise
    finally:
        watch.close()
    _report(done, here.url, there.url, time.monotonic() - began, as_json)
    return None


def _unfinished(began: bool) -> None:
    if began:
        _show.echo(
            "move: stopped before its end; no job is lost, and TO is not open yet. Run the same command again to go on.\n"
            "  To give it up:  packhorse move --reopen FROM",
            err=True,
        )


def _report(done: Moved, here: str, there: str, took: float, as_json: bool) -> None:
    from .._durations import spoken

    if as_json:
        about: dict[str, Any] = {"from": here, "to": there, **done._asdict(), "sha256": list(done.blocks)}
        del about["blocks"]
        _show.document({**about, "states": dict(done.states), "seconds": round(took, 3)})
        return
    if done.already:
        _show.echo("these jobs have been moved already; nothing was done")
        return
    if done.released:
        _show.echo(f"{_show.count(done.released, 'running job')} of dead workers taken back")
    rate = f", {done.copied / took:,.0f} a second" if done.copied > 1000 else ""
    _show.echo(f"✓ {_show.count(done.jobs, 'job')} moved and compared in {spoken(took)}{rate}")
    _show.echo(f"  TO is open, FROM is closed and names it. Workers and programs:  PACKHORSE_URL={_show.clean(there)}")


# -- undoing ----------------------------------------------------------------------------------------------------------
def _reopen(session: Session, source: str, target: str | None, force: bool) -> None:
    from .._move import reopen

    if target is not None:
        raise click.UsageError("--reopen takes one store: the one that was closed.")
    with _opened(_settings(session, source, "FROM")) as store:
        closed = reopen(store, force=force)
        url = _show.clean(store.url)
    if closed is None:
        _show.echo(f"{url} was open; nothing changed")
        return
    _show.echo(f"▶ {url} is open again")
    if closed.how == "moving":
        _show.echo(f"  {_show.clean(closed.url)} keeps the copies made so far, and stays closed")
