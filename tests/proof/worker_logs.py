"""What the workers' logs say of the server's outages. Silence is a failure, and so is saying it twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .outages import Outage
from .workers import Life

AWAY, BACK, REFUSED = "(quiet until it changes", "the store is back after", "unhealthy for "
#: A worker has served for so long before it must notice that the server is gone, and notices it within so long (seconds);
#: it may stand still for a part of that.
_SETTLED, _NOTICED = 5.0, 8.0
#: A server that is back sooner may not be missed at all (seconds): an idle worker asks each second, and a store opens its
#: connection anew by itself where that answers the call.
_MISSED = 3.0
#: The clocks of two processes, and the time that a line needs.
_SLACK = 0.2


@dataclass(slots=True)
class Told:
    """What was found."""

    away: int = 0
    back: int = 0
    seconds: list[float] = field(default_factory=list)  #: from the server's return to the line that says so
    wrong: list[str] = field(default_factory=list)


def tell(lives: Sequence[Life], outages: Sequence[Outage], stopped: Sequence[tuple[float, float]] = ()) -> Told:
    """Hold the logs against the outages; a worker that was ``stopped`` so long finds that its call had no answer in time."""
    causes = [*((o.began, o.ready) for o in outages), *stopped]
    told = Told()
    for life in lives:
        spells = list(_spells(life, told))
        told.away += len(spells)
        told.back += sum(end is not None for _, end in spells)
        for began, ended in spells:
            _has_a_cause(told, life, outages, began, ended, causes)
        for outage in outages:
            if _lived_through(life, outage) and not _covered(spells, outage):
                told.wrong.append(f"{life.log.name} says nothing of the outage at {_clock(outage.began)}")
    return told


def _spells(life: Life, told: Told) -> Iterator[tuple[float, float | None]]:
    """Yield (away, back) of one worker; back is None if it did not live to see it."""
    began: float | None = None
    for at, message in _lines(life.log):
        if message.startswith(REFUSED):
            told.wrong.append(f"{life.log.name} says at {_clock(at)} that it was refused: {message}")
        elif AWAY in message:
            if began is not None:
                told.wrong.append(f"{life.log.name} says twice that the store is away, at {_clock(at)} again")
            began = at
        elif message.startswith(BACK):
            if began is None:
                told.wrong.append(f"{life.log.name} says that the store is back, and had not said that it was away")
            else:
                yield began, at
            began = None
    if began is not None:
        if life.ended is None:
            told.wrong.append(f"{life.log.name} says that the store is away, and never that it is back")
        yield began, None


def _has_a_cause(
    told: Told, life: Life, outages: Sequence[Outage], began: float, ended: float | None,
    causes: Sequence[tuple[float, float]],
) -> None:  # fmt: skip
    if not any(start - _SLACK <= began <= end + _NOTICED for start, end in causes):
        told.wrong.append(f"{life.log.name} says that the store is away at {_clock(began)}, and it was not")
    elif ended is not None:
        # A spell may span several outages; the last return before the line is the one that it tells of.
        returns = [o.ready for o in outages if o.ready <= ended + _SLACK]
        told.seconds.append(max(0.0, ended - max(returns, default=ended)))


def _lived_through(life: Life, outage: Outage) -> bool:
    """A kill breaks every connection. A pause may be so short that no call notices."""
    end = life.ended if life.ended is not None else float("inf")
    whole = life.began + _SETTLED * outage.slower < outage.began and outage.ready + _NOTICED < end
    return whole and outage.killed and outage.ready - outage.began >= _MISSED


def _covered(spells: Sequence[tuple[float, float | None]], outage: Outage) -> bool:
    return any(
        began <= outage.ready + _NOTICED and (ended is None or ended >= outage.began - _SLACK)
        for began, ended in spells
    )


def _lines(path: Path) -> Iterator[tuple[float, str]]:
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            record: dict[str, Any] = json.loads(line)
            yield datetime.fromisoformat(record["timestamp"]).timestamp(), record["message"]


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"[:-3]
