"""Flows: sets of jobs, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..._admission import FlowRecord
from ..._record import FINAL
from ._tables import Tables


def flows(tables: Tables, names: Sequence[str] | None, limit: int, after: str | None) -> list[FlowRecord]:
    """Return flows, newest first."""
    if after is not None and after not in tables.flows:
        return []
    wanted = tables.flows.keys() if names is None else tables.flows.keys() & set(names)
    order = sorted(((tables.flows[name].created_at, name) for name in wanted), reverse=True)
    behind = [name for at, name in order if after is None or (at, name) < (tables.flows[after].created_at, after)]
    return [_flow(tables, name) for name in behind[:limit]]


def _flow(tables: Tables, name: str) -> FlowRecord:
    counts = Counter(job.state for job in tables.linked("member", name))
    times = tables.flows[name]
    return FlowRecord(name, dict(counts), times.created_at, times.ended_at if counts.keys() <= FINAL else None)
