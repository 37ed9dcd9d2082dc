"""What can be shown of a group of jobs: for people, for programs, and for tables of both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, NamedTuple

from .._durations import spoken
from .._when import local, rfc3339
from ..errors import BadOption
from .tally import Group


class Column(NamedTuple):
    """One number of a group."""

    name: str
    value: Callable[[Group], Any]  #: durations in seconds, times in µs, sizes in bytes
    kind: str = "count"  #: "count", "seconds", "time", "bytes" or "text"
    about: str = ""

    def data(self, group: Group) -> Any:
        """Return it for programs: times as RFC 3339."""
        value = self.value(group)
        if self.kind == "seconds":
            return None if value is None else round(value, 3)
        return rfc3339(value) if self.kind == "time" else value

    def text(self, group: Group, where: tzinfo | None = None) -> str:
        """Return it for people."""
        value = self.value(group)
        if value is None or (value in (0, "") and self.kind in ("seconds", "bytes", "text")):
            return ""
        return _TEXTS[self.kind](value, where)


def size(value: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:,.0f} {unit}"


_TEXTS: dict[str, Callable[[Any, tzinfo | None], str]] = {
    "count": lambda value, _: f"{value:,}",
    "seconds": lambda value, _: spoken(value),
    "time": lambda value, where: local(value, where).strftime("%Y-%m-%d %H:%M:%S"),
    "bytes": lambda value, _: size(value),
    "text": lambda value, _: str(value),
}


def _state(name: str) -> Callable[[Group], int]:
    return lambda group: group.states[name]


def _who(group: Group) -> str:
    named = [name for name, _ in group.who.most_common(3)]
    more = len(group.who) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


COLUMNS = {
    column.name: column
    for column in (
        Column("jobs", lambda group: group.jobs, about="jobs"),
        Column("succeeded", _state("succeeded"), about="of them succeeded"),
        Column("failed", _state("failed"), about="failed"),
        Column("cancelled", _state("cancelled"), about="cancelled"),
        Column("open", _state("open"), about="not ended"),
        Column("retries", lambda group: group.retries, about="runs after the first"),
        Column("p50", lambda group: group.ran.at(0.5), "seconds", "half of the last runs took no longer"),
        Column("p95", lambda group: group.ran.at(0.95), "seconds", "95 of 100 took no longer"),
        Column("max", lambda group: group.ran.largest, "seconds", "the longest run"),
        Column("total", lambda group: group.ran.total, "seconds", "all last runs together"),
        Column("wait50", lambda group: group.waited.at(0.5), "seconds", "half waited no longer for their start"),
        Column("wait95", lambda group: group.waited.at(0.95), "seconds", "95 of 100 waited no longer"),
        Column("cpu", lambda group: group.cpu, "seconds", "processor time of commands"),
        Column("peak", lambda group: group.peak, "bytes", "the most memory that a command used"),
        Column("first", lambda group: group.first, "time", "the first start"),
        Column("last", lambda group: group.last, "time", "the last end"),
        Column("wall", lambda group: group.wall, "seconds", "from the first start to the last end"),
        Column("who", _who, "text", "who asked"),
    )
}
#: What is shown where nothing else was asked for.
USUAL = ("jobs", "succeeded", "failed", "cancelled", "open", "retries", "p50", "p95", "first", "last", "wall", "who")


def chosen(text: str | None, option: str) -> list[Column]:
    """Return the columns named, or the usual ones. Raises ``BadOption``."""
    names = [name.strip() for name in text.split(",") if name.strip()] if text else USUAL
    for name in names:
        if name not in COLUMNS:
            raise BadOption(f"{option}: there is no column '{name}'. There are: {', '.join(COLUMNS)}.")
    return [COLUMNS[name] for name in dict.fromkeys(names)]
