"""Jobs counted in groups, in one pass."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Literal, NamedTuple

from .._looking import Seen
from .._record import FINAL, JobRecord
from .._told import number_of
from .._when import local
from .quantiles import Quantiles
from .timeline import Timeline

By = Literal["task", "queue", "host", "day", "hour", "exit", "by"]
BY: tuple[By, ...] = ("task", "queue", "host", "day", "hour", "exit", "by")
#: What stands where there is nothing to group by.
NONE = "-"
#: So many different causes of failures, and people who asked, are told apart; the others count as one.
MOST = 200
OTHERS = "(others)"
#: So many examples of each cause are named.
EXAMPLES = 3
_LONG = 160
_EXIT = "exit status "
_NUMBER = re.compile(r"\d+")


class Group:
    """Numbers of some jobs."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self.jobs = 0
        self.states: Counter[str] = Counter()
        self.retries = 0  #: runs after the first, of all jobs
        self.ran = Quantiles()  #: how long the last runs took
        self.waited = Quantiles()  #: from when they might have started to the last start
        self.cpu = 0.0  #: seconds, as far as it was told
        self.peak = 0  #: bytes, the largest told
        self.first: int | None = None  #: the first start
        self.last: int | None = None  #: the last end
        self.who: Counter[str] = Counter()

    def add(self, seen: Seen) -> None:
        """Count one more job."""
        job = seen.job
        self.jobs += 1
        self.states[job.state if job.state in FINAL else "open"] += 1
        self.retries += max(0, number_of(job) - 1)
        count_some(self.who, asked_by(job))
        self._times(job)
        usage = seen.usage
        self.cpu += _number(usage.get("cpu"))
        self.peak = max(self.peak, int(_number(usage.get("peak"))))

    def _times(self, job: JobRecord) -> None:
        if job.started_at is None:
            return
        self.first = job.started_at if self.first is None else min(self.first, job.started_at)
        self.waited.add(max(0, job.started_at - max(job.created_at, job.scheduled_at or 0)) / 1e6)
        if job.finished_at is not None:
            self.last = job.finished_at if self.last is None else max(self.last, job.finished_at)
            self.ran.add(max(0, job.finished_at - job.started_at) / 1e6)

    @property
    def wall(self) -> float | None:
        """Return the seconds from the first start to the last end."""
        return None if self.first is None or self.last is None else max(0, self.last - self.first) / 1e6


class Cause(NamedTuple):
    """Why jobs failed: those that failed in the same way."""

    task: str
    what: str  #: how a command ended, else the error's type and first line, of the newest one
    last: str  #: the last line of the newest one's error
    jobs: int
    examples: tuple[str, ...]  #: ids of the newest


class Tally:
    """Counts jobs, all together and by groups."""

    def __init__(self, by: Sequence[By], where: tzinfo | None = None, aliases: Mapping[str, str] | None = None) -> None:
        """``where``: the zone of days and hours; None: that of this machine. ``aliases``: other names of hosts."""
        self.by = tuple(by)
        self.all = Group()
        self.ends = Timeline()
        self._keys: list[Callable[[Seen], str]] = [_KEYS[each](where, aliases or {}) for each in by]
        self._groups: dict[tuple[str, ...], Group] = {}
        self._causes: dict[tuple[str, str], Cause] = {}

    def add(self, seen: Seen) -> None:
        """Count one more job; the newest come first."""
        key = tuple(each(seen) for each in self._keys)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group()
        group.add(seen)
        self.all.add(seen)
        if seen.job.finished_at is not None:
            self.ends.add(seen.job.finished_at, seen.job.state)
        if seen.job.state == "failed":
            self._blame(seen)

    @property
    def in_time(self) -> bool:
        """Tell whether the groups stand in the order of time."""
        return not {"day", "hour"}.isdisjoint(self.by)

    def groups(self) -> list[tuple[tuple[str, ...], Group]]:
        """Return the groups: by time where that is what they are grouped by, else the largest first."""
        if self.in_time:
            return sorted(self._groups.items())
        return sorted(self._groups.items(), key=lambda item: (-item[1].jobs, item[0]))

    # -- failures -----------------------------------------------------------------------------------------------------
    def _blame(self, seen: Seen) -> None:
        what, last = why_failed(seen.job)
        what = _ended_how(seen) or what
        # Numbers differ from job to job, and are no causes of their own.
        key = (seen.job.task, what if what.startswith(_EXIT) else _NUMBER.sub("#", what))
        if key not in self._causes and len(self._causes) >= MOST:
            key, what, last = ("", OTHERS), OTHERS, ""
        known = self._causes.get(key)
        if known is None:
            self._causes[key] = Cause(key[0], what, last, 1, (seen.job.id,))
        else:
            self._causes[key] = known._replace(jobs=known.jobs + 1, examples=(*known.examples, seen.job.id)[:EXAMPLES])

    def causes(self) -> list[Cause]:
        """Return why jobs failed, the most frequent first."""
        return sorted(self._causes.values(), key=lambda cause: (-cause.jobs, cause.task, cause.what))


def _ended_how(seen: Seen) -> str:
    """Return how a failed command ended, without its arguments; "" of one that could not be run, and of functions."""
    if _object(seen.job.error).get("type") != "ExitStatus" or seen.exit is None:
        return ""
    return f"killed by {seen.exit}" if isinstance(seen.exit, str) else f"{_EXIT}{seen.exit}"


def why_failed(job: JobRecord) -> tuple[str, str]:
    """Return type and first line of a failed job's error, or its reason; and the last line of the error, if that is another."""
    error = _object(job.error)
    lines = [line.strip() for line in str(error.get("message", "")).split("\n") if line.strip()]
    kind, first = str(error.get("type", "")), lines[0] if lines else ""
    # The code of a command's error says as much as its type: its text begins with the exit status.
    what = first if kind == "ExitStatus" and first else ": ".join(part for part in (kind, first) if part)
    last = lines[-1] if len(lines) > 1 else ""
    return (what or job.reason or "no error was told")[:_LONG], last[:_LONG]


def count_some(counts: Counter[str], name: str) -> None:
    """Count a name; when there are too many, all new ones together."""
    counts[name if name in counts or len(counts) < MOST else OTHERS] += 1


# -- what jobs are grouped by -----------------------------------------------------------------------------------------
def asked_by(job: JobRecord) -> str:
    """Return who asked for a job: the user, the login user behind it, or the schedule."""
    about = _object(job.by)
    if about.get("schedule"):
        return f"schedule {about['schedule']}"
    user, login = about.get("user"), about.get("login")
    if user is None:
        return NONE
    return str(user) if login in (None, user) else f"{user} ({login})"


def _when(pattern: str) -> Callable[[tzinfo | None, Mapping[str, str]], Callable[[Seen], str]]:
    def of(where: tzinfo | None, _: Mapping[str, str]) -> Callable[[Seen], str]:
        def key(seen: Seen) -> str:
            ended = seen.job.finished_at
            return NONE if ended is None else local(ended, where).strftime(pattern)

        return key

    return of


_KEYS: dict[By, Callable[[tzinfo | None, Mapping[str, str]], Callable[[Seen], str]]] = {
    "task": lambda _, __: lambda seen: seen.job.task,
    "queue": lambda _, __: lambda seen: seen.job.queue,
    "host": lambda _, aliases: lambda seen: aliases.get(seen.host or NONE, seen.host or NONE),
    "day": _when("%Y-%m-%d"),
    "hour": _when("%Y-%m-%d %H:00"),
    "exit": lambda _, __: lambda seen: NONE if seen.exit is None else str(seen.exit),
    "by": lambda _, __: lambda seen: asked_by(seen.job),
}


def _object(text: str | None) -> dict[str, Any]:
    found = json.loads(text) if text else None
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
