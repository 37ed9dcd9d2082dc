"""Acting on jobs by filter: counted first, asked about, then done batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from .._closed import refusal
from .._looking import Meant
from .._record import FINAL, State
from .._store import Changed, JobFilter, Store
from ..errors import BadState
from ._job import one, short
from ._session import me
from ._show import agree, count, echo

Verb = Literal["cancel", "requeue", "delete"]
_DONE = {"cancel": "cancelled", "requeue": "requeued", "delete": "deleted"}


def act(
    store: Store,
    verb: Verb,
    meant: Meant,
    *,
    yes: bool = False,
    dry_run: bool = False,
    ask: bool = True,
    reason: str = "",
    delay: float = 0.0,
) -> None:
    """Do one thing to every job that is meant, saying how many; ``ask`` first unless ``yes``."""
    call = _call(store, verb, reason, delay)
    pieces = list(meant.pieces(store))
    planned = _joined([call(each, True) for each in pieces])
    number = len(planned.done) + len(planned.asked)
    many = f"{number:,}+ jobs" if planned.more else count(number, "job")
    if dry_run or not number:
        echo(f"{many} would be {_DONE[verb]}{_refusals(planned)}" if number else _nothing(planned, verb))
        return
    if ask and not agree(f"{many} will be {_DONE[verb]}. Go on?", yes=yes):
        echo("nothing done")
        return
    _report(verb, (change for each in pieces for change in _all(call, each)))


def _joined(changes: Sequence[Changed]) -> Changed:
    return Changed(
        done=tuple(job for each in changes for job in each.done),
        asked=tuple(job for each in changes for job in each.asked),
        refused=tuple(job for each in changes for job in each.refused),
        more=any(each.more for each in changes),
    )


def act_on(store: Store, verb: Verb, ids: tuple[str, ...], *, reason: str = "", delay: float = 0.0) -> None:
    """Do one thing to the jobs named; one whose state does not allow it is an error, after the others were done."""
    found = [one(store, each) for each in ids]
    call = _call(store, verb, reason, delay)
    changes = list(_all(call, JobFilter(ids=tuple(dict.fromkeys(record.id for record in found)))))
    _report(verb, changes)
    refused = {each for change in changes for each in change.refused}
    if refused:
        states = {record.id: record.state for record in found}
        raise BadState(_not_allowed(verb, {each: states[each] for each in sorted(refused)}))


def _call(store: Store, verb: Verb, reason: str, delay: float) -> Callable[[JobFilter, bool], Changed]:
    if verb == "cancel":
        return lambda which, dry: store.cancel(which, by=me(), reason=reason, dry=dry)
    if verb == "requeue":
        refuse_closed(store)
        return lambda which, dry: store.requeue(which, delay=delay, by=me(), dry=dry)
    return lambda which, dry: store.delete(which, dry=dry)


def refuse_closed(store: Store) -> None:
    """A job that is requeued or changed where no job is handed out any more would never run so."""
    to = store.frozen()
    if to is not None:
        raise refusal(store.url, store.namespace, to)


def _all(call: Callable[[JobFilter, bool], Changed], which: JobFilter) -> Iterator[Changed]:
    """Call until nothing more changes: one call touches a batch at most."""
    seen: set[str] = set()
    while True:
        change = call(which, False)
        touched = {*change.done, *change.asked}
        yield change
        # Running jobs match again after they were asked to stop: only what is new counts as progress.
        if not change.more or touched <= seen:
            return
        seen |= touched


def _report(verb: Verb, changes: Iterator[Changed] | list[Changed]) -> None:
    done: set[str] = set()
    asked: set[str] = set()
    for change in changes:
        done.update(change.done)
        asked.update(change.asked)
    if done:
        echo(f"{count(len(done), 'job')} {_DONE[verb]}")
    if asked:
        echo(f"{count(len(asked), 'running job')} asked to stop")


def _refusals(planned: Changed) -> str:
    if not planned.refused:
        return ""
    return f"; {count(len(planned.refused), 'other')} cannot be, in the state they are in"


def _nothing(planned: Changed, verb: Verb) -> str:
    if planned.refused:
        found = count(len(planned.refused), "job")
        return f"nothing to do: {found} found, none can be {_DONE[verb]} in its present state"
    return "no job matches"


def _not_allowed(verb: Verb, states: dict[str, State]) -> str:
    named = ", ".join(f"{short(job)} is {state}" for job, state in list(states.items())[:5])
    if verb == "cancel":
        rule = "Only a job that has not ended can be cancelled."
    elif verb == "requeue":
        running = "running" in states.values()
        rule = (
            "It is going to run anyway."
            if not running and not FINAL & set(states.values())
            else ("A running job cannot be requeued: cancel it first, then requeue it.")
        )
    else:
        rule = "A running job cannot be deleted: cancel it first."
    return f"{count(len(states), 'job')} cannot be {_DONE[verb]}: {named}. {rule}"
