"""``packhorse config``."""

from __future__ import annotations

import click

from . import _show
from ._session import Session, json_option, with_session


@click.command("config")
@json_option
@with_session
def config(session: Session, as_json: bool) -> None:
    """Show every setting, its value and where it came from. Passwords are masked."""
    found = session.settings().items()
    if as_json:
        rows = [{"name": each.name, "value": each.value, "source": each.source} for each in found]
        _show.document({"settings": rows})
        return
    _show.table(["setting", "value", "source"], [[_show.clean(part) for part in each] for each in found])
