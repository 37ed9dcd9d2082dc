"""The running number of what is submitted together: a batch is the flow ``batch-N``."""

from __future__ import annotations

import json
import re

from . import _owning
from ._owning import Change
from ._schedule_record import Book
from ._store import Store
from .errors import BadOption

#: Under which name the last number is kept, beside what is known of the builds of applications: that is the one text of a
#: namespace that is changed by comparison, and no application has such a name.
_KEPT = "#batches"
#: So many flows are looked at in one call.
_PAGE = 1000
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
#: So many batches can be named at once.
_MOST = 1000


def flow_of(number: int) -> str:
    """Return the flow of a batch."""
    return f"batch-{number}"


def number_of(flow: str | None) -> int | None:
    """Return the number of a batch; None for a flow that is none."""
    found = (flow or "").removeprefix("batch-")
    return int(found) if flow and flow != found and found.isascii() and found.isdecimal() else None


def numbers(text: str) -> range:
    """Return what ``812`` or ``812-815`` names. Raises ``BadOption``."""
    match = _RANGE.fullmatch(text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not 0 <= last - first < _MOST:
        raise BadOption(f"--batch takes a number, or two like 812-815; not {text!r}.")
    return range(first, last + 1)


def next_number(store: Store) -> int:
    """Take the next number of this namespace, for good: no two callers get the same, and 1 is the first."""
    taken = 0

    def take(book: Book) -> Change:
        nonlocal taken
        kept = json.loads(book.builds)
        taken = 1 + (kept[_KEPT] if _KEPT in kept else _highest(store))
        return Change(builds=json.dumps({**kept, _KEPT: taken}))

    _owning.apply(store, take)
    return taken


def _highest(store: Store) -> int:
    """Return the highest number there is: jobs may have come from another store, where the numbers were counted."""
    found, after = 0, None
    while True:
        flows = store.flows(limit=_PAGE, after=after)
        found = max([found, *(number_of(flow.id) or 0 for flow in flows)])
        if len(flows) < _PAGE:
            return found
        after = flows[-1].id
