"""``packhorse why``."""

from __future__ import annotations

import click

from .. import _why
from . import _show
from ._job import call_text, one, short
from ._session import Session, json_option, with_session


@click.command("why")
@click.argument("job")
@json_option
@with_session
def why(session: Session, job: str, as_json: bool) -> None:
    """Say in one sentence why JOB is where it is.

    JOB is an id, or its last 8 characters.
    """
    with session.open() as store:
        record = one(store, job)
        answer = _why.explain(store, record)
    if as_json:
        about = {"id": record.id, "state": record.state, "why": answer.text, "kind": answer.kind}
        _show.document({**about, "facts": answer.facts})
        return
    _show.echo(f"{_show.state(record.state)}  {call_text(record, 80)}  {short(record.id)}")
    _show.echo(f"  {_show.clean(answer.text)}")
