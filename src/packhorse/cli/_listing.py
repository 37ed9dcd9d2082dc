"""``packhorse jobs list``: one page of jobs, and the columns it can have."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from .._batches import number_of as batch_of
from .._job_data import as_data
from .._looking import PAGE, Meant, Part, Seen, Wanted, look
from .._reporting.columns import size
from .._reporting.tally import asked_by, why_failed
from .._store import Store
from .._when import clock
from .._why import attempt_number
from .._why_error import loads
from ..errors import BadOption
from . import _show
from ._job import call_text, moments, short

#: What no index finds is looked for so long; then the list says how far it came.
_PATIENCE = 2.0


class Look(NamedTuple):
    """What the cells of a list are made with."""

    names: Mapping[str, str]  #: of workers, by id
    aliases: Mapping[str, str]  #: of hosts
    now: int
    where: tzinfo | None


Cell = Callable[[Seen, Look], str]


def _clock(name: str) -> Cell:
    def cell(seen: Seen, about: Look) -> str:
        moment = getattr(seen.job, name)
        return "" if moment is None else clock(moment, about.now, about.where)

    return cell


def _host(seen: Seen, about: Look) -> str:
    return about.aliases.get(seen.host or "", seen.host or "")


def _when(seen: Seen, about: Look) -> str:
    job = seen.job
    moment = job.finished_at or job.started_at
    return clock(moment, about.now, about.where) if moment else moments(job, about.now)[2]


def _because(seen: Seen, _: Look) -> str:
    if seen.job.state != "failed":
        return seen.job.reason or ""
    what, last = why_failed(seen.job)
    return f"{what} ({last})" if last else what


def _used(name: str, text: Callable[[Any], str]) -> Cell:
    return lambda seen, _: text(seen.usage[name]) if isinstance(seen.usage.get(name), (int, float)) else ""


COLUMNS: dict[str, Cell] = {
    "id": lambda seen, _: short(seen.job.id),
    "full-id": lambda seen, _: seen.job.id,
    "state": lambda seen, _: _show.state(seen.job.state),
    "task": lambda seen, _: call_text(seen.job, 60),
    "queue": lambda seen, _: _show.clean(seen.job.queue),
    "try": lambda seen, _: str(attempt_number(seen.job)),
    "waited": lambda seen, about: moments(seen.job, about.now)[0],
    "ran": lambda seen, about: moments(seen.job, about.now)[1],
    "when": _when,
    # The name of a worker that has left is not kept, but its host may be.
    "worker": lambda seen, about: about.names.get(seen.job.worker or "") or _host(seen, about),
    "host": lambda seen, about: _host(seen, about),
    "exit": lambda seen, _: "" if seen.exit is None else str(seen.exit),
    "by": lambda seen, _: asked_by(seen.job),
    "created": _clock("created_at"),
    "started": _clock("started_at"),
    "finished": _clock("finished_at"),
    "cpu": _used("cpu", lambda value: f"{value:.1f} s"),
    "peak": _used("peak", size),
    "tags": lambda seen, _: ", ".join(map(str, loads(seen.job.tags) or [])),
    "flow": lambda seen, _: seen.job.flow or "",
    "batch": lambda seen, _: str(batch_of(seen.job.flow) or ""),
    "because": _because,
}
_USUAL = ("id", "state", "task", "queue", "try", "waited", "ran", "when", "worker")
_RIGHT = {"try", "waited", "ran", "exit", "cpu", "peak", "batch"}
#: These were made for a terminal already, colours and all.
_READY = {"state", "task"}


def chosen(text: str | None) -> Sequence[str]:
    """Return the names of columns asked for, or the usual ones. Raises ``BadOption``."""
    names = [name.strip() for name in text.split(",") if name.strip()] if text else list(_USUAL)
    for name in names:
        if name not in COLUMNS:
            raise BadOption(f"--columns: there is no column '{name}'. There are: {', '.join(COLUMNS)}.")
    return list(dict.fromkeys(names))


def table(found: Sequence[Seen], names: Sequence[str], about: Look) -> None:
    """Print jobs, one line each."""
    rows = [[_cell(name, seen, about) for name in names] for seen in found]
    _show.table(names, rows, right=[place for place, name in enumerate(names) if name in _RIGHT])


def _cell(name: str, seen: Seen, about: Look) -> str:
    text = COLUMNS[name](seen, about)
    return text if name in _READY else _show.clean(text)


def data(seen: Seen, about: Look) -> dict[str, Any]:
    """Return a job of a list as JSON data."""
    host = about.aliases.get(seen.host or "", seen.host)
    return {**as_data(seen.job, dict(about.names)), "host": host, "exit": seen.exit}


# -- looking ----------------------------------------------------------------------------------------------------------
def page(store: Store, meant: Meant, limit: int, after: int | None) -> Part:
    """Return the newest jobs that match, and where to go on; what no index finds is looked for in a bounded time."""
    if meant.wanted == Wanted():
        return next(look(store, meant, limit, after))
    until = time.monotonic() + _PATIENCE
    found: list[Seen] = []
    searched = 0
    for part in look(store, meant, max(limit, PAGE // 2), after):
        found += part.found
        searched += part.searched
        if len(found) > limit:
            return Part(found[:limit], found[limit - 1].job.seq, min(searched, part.total), part.total)
        if part.next is None or len(found) == limit or time.monotonic() > until:
            break
    return Part(found, part.next, min(searched, part.total), part.total)
