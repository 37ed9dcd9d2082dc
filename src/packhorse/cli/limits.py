"""``packhorse queues limit``: how many jobs of a name may run at once, or how often one may start."""

from __future__ import annotations

from typing import Any

import click

from .._admission import LimitRecord
from .._limits import checked_limits
from .._store import Store
from .._when import clock, rfc3339
from . import _show
from ._session import Session, json_option, me, with_session


@click.command("limit")
@click.argument("name", metavar="[NAME", required=False)
@click.argument("value", metavar="[VALUE]]", required=False)
@click.option("--delete", is_flag=True, help="Take it back; without any, its jobs wait.")
@click.option("--list", "every", is_flag=True, help="Show all (as without NAME).")
@json_option
@with_session
def limit(session: Session, name: str | None, value: str | None, delete: bool, every: bool, as_json: bool) -> None:
    """Show or set the limit NAME: a number of jobs at once, or a rate.

    VALUE is 4, 10/1s or "30/1m burst 10". NAME may be tenant:* for all that begin so; the longest such name holds, and a
    whole name before it. What is set here wins over what code declares.
    """
    if ((value is not None or delete) and (name is None or every)) or (value is not None and delete):
        raise click.UsageError("Say NAME VALUE to set a limit, NAME --delete to take it back, or neither to look.")
    with session.open(create=value is not None) as store:
        if name is not None and value is not None:
            _set(store, name, value)
        elif name is not None and delete:
            _delete(store, name)
        found = [each for each in store.limits() if every or name in (None, each.name)]
        now = store.now()
    if as_json:
        _show.document({"limits": [_data(each) for each in found]})
    elif value is None and not delete:
        _list(found, name, now)


def _set(store: Store, name: str, value: str) -> None:
    checked = checked_limits({name: value}, "queues limit")
    before = _before(store, name)
    if not store.set_limits(checked, by=me()):
        _show.echo(f"{name} = {checked[name]} already; nothing changed", err=True)
        return
    instead = f"  (was {before.value}, {_whose(before)})" if before else ""
    _show.echo(f"{_show.clean(name)} = {checked[name]}{instead}", err=True)


def _delete(store: Store, name: str) -> None:
    before = _before(store, name)
    if before is None or not store.set_limits({name: None}, by=me()):
        _show.echo(f"{_show.clean(name)} is declared nowhere; nothing changed", err=True)
        return
    again = f"; the next worker of {before.app} declares it again" if before.app else ""
    _show.echo(f"{_show.clean(name)} has no limit of its own any more{again}", err=True)


def _before(store: Store, name: str) -> LimitRecord | None:
    return next((each for each in store.limits() if each.name == name), None)


def _list(found: list[LimitRecord], name: str | None, now: int) -> None:
    if not found:
        what = "no limit is declared" if name is None else f"{_show.clean(name)} is declared nowhere"
        _show.echo(f"{what}; to declare one:  packhorse queues limit {_show.clean(name or 'smtp')} 4")
        return
    rows = [[_show.clean(each.name), each.value, _show.clean(_whose(each)), clock(each.set_at, now)] for each in found]
    _show.table(["limit", "value", "set by", "when"], rows)


def _whose(record: LimitRecord) -> str:
    return f"the code of {record.app}" if record.app is not None else record.by or "somebody"


def _data(record: LimitRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "value": record.value,
        "app": record.app,
        "by": record.by or None,
        "set_at": rfc3339(record.set_at),
    }
