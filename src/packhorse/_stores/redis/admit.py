"""The waiting rules: who may go, what is in the way, limits, flows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..._admission import Admitted, FlowRecord, Holders, LimitRecord, Obstacle, ObstacleKind, Settings
from ..._record import DEFAULT_STEP, FINAL, STATES, Mode, State
from ..._rules import limit as limit_of
from ..._store import BATCH
from .revive import Reviving
from .states import LETTERS

#: One script examines so many jobs at most: it shall not hold others up.
STEP = 100
#: Why it stopped: it would have taken long; or as many were examined as it was told.
_FOR_ITS_LENGTH, _FULL = 1, 2
#: So often ``obstacles`` asks while much has changed that nobody has looked at.
_TRIES = 1000


class Admitting(Reviving):
    """The verbs of the waiting rules."""

    def admit(self, limit: int = BATCH) -> Admitted:
        """Let go what waits and has no obstacle: one round."""
        admitted, cancelled, left = 0, 0, limit
        while True:
            queued, ended, more, cut, waits, following, examined, revives = self._run("admit", min(left, STEP))
            changes = 1 if queued or ended else 0
            self._did(changes)
            admitted += queued
            cancelled += ended
            is_part = cut == _FOR_ITS_LENGTH or (cut == _FULL and left > STEP)
            left -= examined
            if not more or not is_part or left <= 0:
                break
        if revives:
            self._revive(limit)
            more = waits = True
        self.freed = False
        return _answer(admitted, cancelled, more, waits, following)

    def _admitted(self, answer: list[Any]) -> Admitted:
        """Return what the answer of one script means. What a requeue began is left to the next ``admit``."""
        admitted, cancelled, more, _, waits, following, _, revives = answer
        self._did(1 if admitted or cancelled else 0)
        self.freed = False
        return _answer(admitted, cancelled, more or revives, waits or revives, following)

    def obstacles(self, ids: Sequence[str]) -> list[Obstacle | None]:
        """Return what is in the way of each job."""
        return [found for start in range(0, len(ids), STEP) for found in self._obstacles(ids[start : start + STEP])]

    def _obstacles(self, ids: Sequence[str]) -> list[Obstacle | None]:
        for _ in range(_TRIES):
            behind, *answer = self._run("obstacles", *ids)
            if not behind:
                return [_obstacle(words) for words in answer[0]]
        return [None] * len(ids)

    def holders(self, name: str, modes: Sequence[Mode], limit: int = 20) -> Holders:
        """Return how many hold a name, and the oldest of them."""
        count, ids = self._run("holders", name, "".join(modes), limit)
        return Holders(count, tuple(ids))

    def holding(self, names: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return how many hold each of these names, by mode."""
        parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
        return [(each[0], each[1], each[2]) for part in parts for each in self._run("holding", *part)]

    # -- limits -------------------------------------------------------------------------------------------------
    def limits(self) -> list[LimitRecord]:
        """Return what is declared, by name."""
        exact, wild, *_ = self._run("limits", "")
        return _limits(exact, wild)

    def set_limits(self, values: Mapping[str, str | None], *, by: str = "", app: str | None = None) -> list[str]:
        """Declare limits, all or none; return the names for which something changed, sorted."""
        words: list[str] = []
        for name, value in values.items():
            words += (name, "" if value is None else _declaration(value, by, app, None))
        if not words:
            return []
        done, stirred = self._run("set_limits", app or "", *words)
        self._did(1 if done else 0, stirred)
        return sorted(done)

    def export_settings(self) -> Settings:
        """Return the limits, how far each rate is used up, and the steps of queues."""
        exact, wild, rates, steps = self._run("limits", "all")
        return Settings(tuple(_limits(exact, wild)), _pairs(rates), _pairs(steps))

    def import_settings(self, settings: Settings) -> None:
        """Set them as they were elsewhere."""
        words = {
            "limits": [
                [record.name, _declaration(record.value, record.by, record.app, record.set_at)]
                for record in settings.limits
            ],
            "rates": [[name, str(tat)] for name, tat in settings.rates],
            "steps": [[queue, "" if step == DEFAULT_STEP else str(step)] for queue, step in settings.steps],
        }
        self._did(self._run("import_settings", json.dumps(words)), 1)

    # -- flows --------------------------------------------------------------------------------------------------
    def flows(self, names: Sequence[str] | None = None, limit: int = 50, after: str | None = None) -> list[FlowRecord]:
        """Return flows, all or these, newest first, from behind ``after``."""
        named = () if names is None else ("named", *names)
        return [_flow(*row) for row in self._run("flows", limit, after or "", *named)]


def _answer(admitted: int, cancelled: int, more: int, waits: int, following: str) -> Admitted:
    return Admitted(admitted, cancelled, bool(more), bool(waits), int(following) / 1_000_000 if following else None)


def _obstacle(words: list[str]) -> Obstacle | None:
    if not words:
        return None
    kind, name, holder, since, place, at = words
    return Obstacle(cast(ObstacleKind, kind), name, holder or None, _number(since), _number(place), _number(at))


def _pairs(words: list[str]) -> tuple[tuple[str, int], ...]:
    """Return names with their numbers, by name."""
    return tuple(sorted(zip(words[::2], map(int, words[1::2]), strict=True)))


def _number(text: str) -> int | None:
    return int(text) if text else None


def _declaration(value: str, by: str, app: str | None, at: int | None) -> str:
    """Return a limit as it is kept: its text, and what that means."""
    read = limit_of(value)
    found: dict[str, Any] = {
        "value": value,
        "by": by or None,
        "app": app,
        "at": None if at is None else str(at),
        "places": read.places,
        "interval": None if read.places is not None else read.interval,
        "burst": read.burst,
    }
    return json.dumps({name: part for name, part in found.items() if part is not None})


def _limits(*hashes: list[str]) -> list[LimitRecord]:
    found = [(name, json.loads(text)) for pairs in hashes for name, text in zip(pairs[::2], pairs[1::2], strict=True)]
    return [
        LimitRecord(name, each["value"], each.get("by", ""), each.get("app"), int(each.get("at", 0)))
        for name, each in sorted(found, key=lambda pair: pair[0])
    ]


def _flow(name: str, created: str, tally: list[str]) -> FlowRecord:
    numbers = dict(zip(tally[::2], map(int, tally[1::2]), strict=True))
    counts: dict[State, int] = {state: numbers[LETTERS[state]] for state in STATES if numbers.get(LETTERS[state])}
    return FlowRecord(name, counts, int(created), numbers.get("ended") if counts.keys() <= FINAL else None)
