"""``packhorse relay``: jobs from an outbox to the job store, in a process of its own."""

from __future__ import annotations

import signal
import sys
from threading import Event
from typing import Any

import click

from . import _show
from ._session import Session, app_specs, with_session


@click.command()
@click.argument("app", nargs=-1)
@click.option(
    "--outbox", metavar="URL", help="Where the outbox is, if no APP says so; env:NAME reads it from the environment."
)
@click.option("--burst", is_flag=True, help="Move what is there, then exit.")
@with_session
def relay(session: Session, app: tuple[str, ...], outbox: str | None, burst: bool) -> None:
    """Bring jobs from the outbox in the application's database to the job store.

    A worker whose App has an outbox does so by itself; any number of relays may run at once.
    """
    from .. import _runtime
    from .._relay import relay_of

    found = _application(session, app, wanted=outbox is None)
    settings = session.settings(getattr(found, "store", None), getattr(found, "namespace", None))
    _log_to_stderr()
    work = relay_of(outbox or _outbox_of(found), lambda: _runtime.open_store(settings, create=False))
    total = work.run(_stopped(), once=burst)
    _show.echo(f"{total} job{'s' * (total != 1)} moved", err=True)


def _application(session: Session, typed: tuple[str, ...], *, wanted: bool) -> Any:
    specs = app_specs(session, typed)
    if session.app is not None or not (typed or (wanted and specs)):
        return session.app
    from .. import _registry

    return _registry.load(specs).app


def _outbox_of(app: Any) -> str:
    outbox = getattr(app, "outbox", None)
    if outbox is None:
        what = "no APP was given" if app is None else "this App has no outbox"
        raise click.UsageError(f'where is the outbox? {what}: App(outbox="env:DATABASE_URL"), or --outbox URL.')
    return str(outbox)


def _stopped() -> Event:
    """Return what is set by the signals that end a service."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
