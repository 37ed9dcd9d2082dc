"""When a failed attempt is tried again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ._durations import Duration, seconds
from ._signals import Interrupted
from .errors import BadOption

#: An exception class, or its name ``module:qualname`` as it is stored: no class is imported for a payload.
Which = type[BaseException] | str

_MAX_RETRIES = 1_000_000


class Backoff:
    """How often, and after what delays, a failing job runs again.

    ``retries`` is the number of *further* attempts after the first; ``retry=5`` is ``Backoff(5)``. The delay before
    retry ``n`` (from 1) is uniformly random between 0 and ``min(cap, base * factor ** (n - 1))``: "full jitter", after Marc
    Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015. ``jitter=False`` takes the upper end.
    ``delays`` gives the delays one by one instead, without jitter; the last one serves for all that follow, and
    ``retries`` defaults to their number. Durations are seconds, ``"5m"`` or ``timedelta``.

    ``only`` and ``never`` say which exceptions are worth another attempt, subclasses included; they are matched in the
    process that ran the job, and stored by name. A time limit counts as a failure and is retried, whatever ``only`` says,
    unless ``never`` names ``Interrupted``.

    Raises ``BadOption`` for values that make no sense.
    """

    __slots__ = ("base", "cap", "delays", "factor", "jitter", "never", "only", "retries")

    def __init__(
        self,
        retries: int | None = None,
        *,
        base: Duration = 1,
        cap: Duration = "15m",
        factor: float = 2,
        jitter: bool = True,
        delays: Sequence[Duration] = (),
        only: tuple[type[BaseException], ...] = (Exception,),
        never: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.delays = tuple(seconds(d, "Backoff(delays=)") for d in delays)
        if retries is None:
            retries = len(self.delays)
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= _MAX_RETRIES:
            raise BadOption(f"retry takes a whole number from 0 to {_MAX_RETRIES:,}, not {retries!r}.")
        if not factor >= 1:
            raise BadOption(f"Backoff(factor=) must be at least 1, not {factor!r}.")
        self.retries = retries
        self.base = seconds(base, "Backoff(base=)")
        self.cap = seconds(cap, "Backoff(cap=)")
        self.factor = float(factor)
        self.jitter = jitter
        self.only: tuple[Which, ...] = _classes("only", only)
        self.never: tuple[Which, ...] = _classes("never", never)

    def wants(self, error: BaseException) -> bool:
        """Tell whether this exception is worth another attempt at all."""
        kind = type(error)
        wanted = issubclass(kind, Interrupted) or any(_is_a(kind, which) for which in self.only)
        return wanted and not self.refuses(kind)

    def refuses(self, kind: type[BaseException]) -> bool:
        """Tell whether ``never`` names this kind of error."""
        return any(_is_a(kind, which) for which in self.never)

    def delay(self, retry: int, rng: random.Random | None = None) -> float:
        """Return the seconds to wait before retry number ``retry``, counted from 1."""
        if self.delays:
            return self.delays[min(retry, len(self.delays)) - 1]
        # The exponent is bounded so that a million retries do not overflow a float; the cap has long been reached.
        upper = min(self.cap, self.base * self.factor ** min(retry - 1, 64))
        return (rng or random).uniform(0, upper) if self.jitter else upper

    def data(self) -> dict[str, Any]:
        """Return this as JSON data; exception classes become their names. ``of`` makes a ``Backoff`` of it again."""
        plain: dict[str, Any] = {"retries": self.retries}
        if self.delays:
            plain["delays"] = list(self.delays)
        else:
            plain.update(base=self.base, cap=self.cap, factor=self.factor, jitter=self.jitter)
        if _names(self.only) != _ANY:
            plain["only"] = _names(self.only)
        if self.never:
            plain["never"] = _names(self.never)
        return plain

    @classmethod
    def of(cls, value: int | Backoff | Mapping[str, Any]) -> Backoff:
        """Return ``retry=5`` or stored data as a ``Backoff``."""
        if isinstance(value, Backoff):
            return value
        if not isinstance(value, Mapping):
            return cls(value)
        stored = dict(value)
        only, never = stored.pop("only", None), stored.pop("never", None)
        backoff = cls(**stored)
        if only is not None:
            backoff.only = tuple(map(str, only))
        if never is not None:
            backoff.never = tuple(map(str, never))
        return backoff

    def __eq__(self, other: object) -> bool:
        """Compare all settings."""
        return isinstance(other, Backoff) and self.data() == other.data()

    def __hash__(self) -> int:
        """Hash the number of retries, which tells most of them apart."""
        return hash(self.retries)

    def __repr__(self) -> str:
        """Show the settings that differ from the defaults."""
        plain = Backoff(0)
        named = ", ".join(
            f"{n}={getattr(self, n)!r}"
            for n in self.__slots__
            if n != "retries" and getattr(self, n) != getattr(plain, n)
        )
        return f"Backoff({self.retries}{', ' + named if named else ''})"


def _classes(name: str, value: object) -> tuple[type[BaseException], ...]:
    classes = value if isinstance(value, tuple) else (value,)
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise BadOption(f"Backoff({name}=) takes a tuple of exception classes, not {cls!r}.")
    return classes


def _is_a(kind: type[BaseException], which: Which) -> bool:
    if isinstance(which, str):
        return any(_name(base) == which for base in kind.__mro__)
    return issubclass(kind, which)


def _names(wanted: tuple[Which, ...]) -> list[str]:
    return [which if isinstance(which, str) else _name(which) for which in wanted]


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


#: What ``only`` is unless it was given.
_ANY = [_name(Exception)]

#: Between crashes of one job: the first rerun comes at once, since most often it was the worker that died.
CRASH_BACKOFF = Backoff(2, base=1, cap="15m")
