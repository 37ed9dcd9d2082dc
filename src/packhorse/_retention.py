"""How long what has ended is kept: table ``[retention]`` of the config file. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from ._durations import seconds, spoken
from ._record import State
from .errors import BadOption, ConfigError

_HOUR, _DAY = 3600.0, 86400.0
FOREVER = "forever"
#: What "forever" is where a number is needed.
_AGES = 100 * 365 * _DAY
_OUTCOMES: tuple[State, ...] = ("succeeded", "failed", "cancelled")


class Retention(NamedTuple):
    """Seconds from the end of a job; None: for ever."""

    succeeded: float | None = _DAY
    failed: float | None = 14 * _DAY
    cancelled: float | None = 14 * _DAY
    #: Records of commands stay at least so long, however they ended. It is stored with each of them by whoever enqueues it.
    commands: float | None = 365 * _DAY
    output: float | None = 30 * _DAY  #: what jobs logged and printed; the record may stay longer

    @property
    def keep(self) -> dict[State, float]:
        """Return what ``Store.prune`` takes: what is kept for ever is not named."""
        return {state: age for state in _OUTCOMES if (age := getattr(self, state)) is not None}


DEFAULT = Retention()


class NotSaid(Enum):
    """The type of ``NOT_SAID``."""

    NOT_SAID = "not said"


#: A task does not say how long its records are kept: None has a meaning of its own.
NOT_SAID: Final = NotSaid.NOT_SAID


def age(value: object, where: str) -> float | None:
    """Return how long something is kept, in seconds, None for ever: ``"30d"``, ``3600``, ``"forever"``. Raises ``BadOption``."""
    if value == FOREVER:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadOption(f'{where} takes a duration like "30d", or "forever"; not {value!r}.')
    found = seconds(value, where)
    if found < _HOUR:
        # A producer whose reply was lost asks again by the same id.
        raise BadOption(f"{where} = {value!r}: what has ended is kept for an hour at least.")
    return found


def retention_of(table: Mapping[str, Any], source: str) -> Retention:
    """Return what a ``[retention]`` table says. Raises ``ConfigError`` naming the key, and where it was read."""
    found: dict[str, float | None] = {}
    for name, value in table.items():
        if name not in Retention._fields:
            raise ConfigError(
                f"[retention] ({source}): unknown key '{name}'; there are {', '.join(Retention._fields)}."
            )
        try:
            found[name] = age(value, f"[retention] ({source}): {name}")
        except BadOption as error:
            raise ConfigError(str(error).removesuffix(f"  [{error.code}]")) from None
    return Retention(**found)


def shown(value: float | None) -> str:
    """Return how long something is kept, for people."""
    return FOREVER if value is None else spoken(value)


def kept_for(options: str | None, least: float | None) -> str:
    """Return a job's stored options, saying that its record stays at least so long after its end (None: for ever).

    ``Store.prune`` knows no task and no config file: what a job asks for beyond the rule of its outcome travels with the job.
    """
    data = json.loads(options) if options else {}
    wanted = round(_AGES if least is None else least)
    return json.dumps({**data, "kept_for": max(wanted, data.get("kept_for", 0))}, separators=(",", ":"))
