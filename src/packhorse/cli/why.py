"""``packhorse why``."""

from __future__ import annotations

from typing import Any

import click

from .. import _why
from .._batches import flow_of, numbers
from .._record import STATES
from .._store import Store
from .._why_queue import explain_flow
from . import _show
from ._job import call_text, one, short
from ._session import Session, json_option, with_session


@click.command("why")
@click.argument("job", required=False)
@click.option("--batch", metavar="N", help="What the jobs of a batch wait for, or of 812-815.")
@json_option
@with_session
def why(session: Session, job: str | None, batch: str | None, as_json: bool) -> None:
    """Say in one sentence why JOB is where it is, or what the jobs of a batch wait for.

    JOB is an id, or its last 8 characters.
    """
    if (job is None) == (batch is None):
        raise click.UsageError("Give a JOB, or --batch.")
    with session.open() as store:
        if batch is not None:
            _batches(store, [flow_of(number) for number in numbers(batch)], as_json)
            return
        assert job is not None
        record = one(store, job)
        answer = _why.explain(store, record)
    if as_json:
        about = {"id": record.id, "state": record.state, "why": answer.text, "kind": answer.kind}
        _show.document({**about, "facts": answer.facts})
        return
    _show.echo(f"{_show.state(record.state)}  {call_text(record, 80)}  {short(record.id)}")
    _show.echo(f"  {_show.clean(answer.text)}")


def _batches(store: Store, flows: list[str], as_json: bool) -> None:
    flows = [each for each in flows if store.flows([each])]
    if as_json:
        _show.document({"batches": [_document(store, each) for each in flows]})
        return
    for each in flows:
        _tell(store, each)
    if not flows:
        _show.echo("no such batch")


def _document(store: Store, flow: str) -> dict[str, Any]:
    queues: list[dict[str, Any]] = [
        {
            "queue": queue.name,
            "counts": dict(queue.counts),
            "why": [{"why": each.text, "kind": each.kind, "facts": each.facts} for each in reasons],
        }
        for queue, reasons in explain_flow(store, flow)
    ]
    counts: dict[Any, int] = dict(store.flows([flow])[0].counts)
    return {"flow": flow, "counts": counts, "queues": queues}


def _tell(store: Store, flow: str) -> None:
    counts = store.flows([flow])[0].counts
    shown = [f"{counts[state]:,} {state}" for state in STATES if counts.get(state)]
    _show.echo(f"{_show.bold(flow)}  {', '.join(shown)}")
    found = explain_flow(store, flow)
    for queue, reasons in found:
        for each in reasons:
            _show.echo(_show.clean(f"  in queue '{queue.name}': {each.text}" if len(found) > 1 else f"  {each.text}"))
    if not found:
        _show.echo(
            "  nothing of it waits" + ("" if counts.get("running") else f"; see  packhorse report --flow {flow}")
        )
