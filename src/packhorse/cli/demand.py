"""``packhorse queues demand``: how many jobs could run now if there were slots for them."""

from __future__ import annotations

from typing import Any

import click

from .._demand import Demand, demand
from .._names import queue_name
from . import _show
from ._session import Session, json_option, with_session


@click.command("demand")
@click.argument("names", metavar="[QUEUE…]", nargs=-1)
@json_option
@with_session
def demand_(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Say how many jobs could run now if there were slots: the number by which workers are added and taken away.

    What waits for a time, another job, a name or a limit counts as far as it would be let go. A queue that nobody serves
    counts, a paused one does not.
    """
    wanted = tuple(queue_name(name, "QUEUE") for name in names)
    with session.open() as store:
        found = demand(store)
    queues = {name: each for name, each in found.queues.items() if not wanted or name in wanted}
    queues |= {name: Demand() for name in wanted if name not in queues}
    total = found.all if not wanted else _sum(queues, found.all.slots)
    if as_json:
        each = [{"name": name, **_data(of)} for name, of in queues.items()]
        _show.document({"queues": each, **_data(total), "estimate": found.estimate})
        return
    rows = [[_show.clean(name), *_numbers(of)] for name, of in queues.items()]
    head = ["queue", "run", "could start", "slots wanted", "slots"]
    _show.table(head, [*rows, ["all", *_numbers(total)]], right=range(1, 5))
    if found.estimate:
        _show.echo("at least: more jobs wait than were looked at", err=True)


def _sum(queues: dict[str, Demand], slots: int) -> Demand:
    """Return the demand of some queues; ``slots`` are those of all workers, each of which may serve several."""
    running, queued, waiting = (sum(each[place] for each in queues.values()) for place in range(3))
    return Demand(running, queued, waiting, slots)


def _data(of: Demand) -> dict[str, Any]:
    return {"running": of.running, "ready": of.ready, "wanted": of.wanted, "slots": of.slots}


def _numbers(of: Demand) -> list[str]:
    return [f"{number:,}" for number in (of.running, of.ready, of.wanted, of.slots)]
