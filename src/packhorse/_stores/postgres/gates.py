"""Which queues live workers serve. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable


def is_served(workers: Iterable[str | None]) -> Callable[[str], bool]:
    """Return what tells whether one of some live workers takes new work from a queue; given what each of them serves."""
    told = set(workers)
    if None in told:
        return lambda queue: True
    served = {queue for groups in told for group in json.loads(groups or "[]") for queue in group}
    return served.__contains__
