"""``packhorse queues why``."""

from __future__ import annotations

import click

from .._names import queue_name
from .._record import STATES, QueueRecord
from .._why_queue import explain_queue
from . import _show
from ._session import Session, json_option, with_session


@click.command("why")
@click.argument("name", metavar="QUEUE")
@json_option
@with_session
def why(session: Session, name: str, as_json: bool) -> None:
    """Say what holds QUEUE up: its waiting jobs, summed up by what they wait for."""
    name = queue_name(name, "QUEUE")
    with session.open() as store:
        queue = next((each for each in store.queues([name]) if each.name == name), QueueRecord(name))
        reasons = explain_queue(store, queue)
    if as_json:
        found = [{"why": each.text, "kind": each.kind, "facts": each.facts} for each in reasons]
        _show.document({"queue": name, "counts": dict(queue.counts), "why": found})
        return
    _show.echo(f"{_show.bold(name)}  {_counts(queue)}")
    for each in reasons:
        _show.echo(f"  {_show.clean(each.text)}")
    if not reasons:
        _show.echo("  nothing waits in it")


def _counts(queue: QueueRecord) -> str:
    shown = [f"{queue.counts[state]:,} {state}" for state in STATES if queue.counts.get(state)]
    return ", ".join(shown) or "no job"
