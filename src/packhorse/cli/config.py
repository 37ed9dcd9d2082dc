"""``packhorse config``."""

from __future__ import annotations

from dataclasses import replace

import click

from .._settings import Setting
from . import _show
from ._session import Session, json_option, with_session


@click.command("config")
@json_option
@with_session
def config(session: Session, as_json: bool) -> None:
    """Show every setting, its value and where it came from. Passwords are masked."""
    found = _items(session)
    if as_json:
        rows = [{"name": each.name, "value": each.value, "source": each.source} for each in found]
        _show.document({"settings": rows})
        return
    _show.table(["setting", "value", "source"], [[_show.clean(part) for part in each] for each in found])


def _items(session: Session) -> list[Setting]:
    """Return every setting; that no store is named is a finding here, and no error."""
    from ..errors import NoStore

    try:
        return session.settings().items()
    except NoStore:
        rest = replace(session, store="memory://").settings().items()
        return [Setting("store", "-", "none named and none found (packhorse explain E105)"), *rest[1:]]
